"""What the metrics have in common that look at one clip alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics.base import Metric, Score


class SingleClipMetric(Metric):
    """A metric of one clip without a reference, of at least `min_frames` frames."""

    min_frames: ClassVar[int] = 1

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: RequestError if it is too short."""
        if clip.num_frames < self.min_frames:
            raise RequestError(
                f"{self.name} needs at least {self.min_frames} frames; this clip has {clip.num_frames}",
                param="num_frames",
            )
        measured = self.measure(AnalysedClip.of(clip))
        return self.unmeasured(measured) if isinstance(measured, str) else self.scored(measured)

    @abstractmethod
    def measure(self, clip: AnalysedClip) -> float | str:
        """The value, or the reason why there is none."""
