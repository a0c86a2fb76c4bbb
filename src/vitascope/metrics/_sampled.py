"""What the metrics have in common that look at single pictures out of a clip."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics.base import Metric, Score


class SampledFramesMetric(Metric):
    """A metric of single pictures, the mean over at most `num_frames` evenly spaced frames of the clip."""

    min_side: ClassVar[int] = 16

    num_frames: int = Field(8, ge=1)

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at.

        Raises: RequestError if its frames are too small, WeightsMissing.
        """
        if min(clip.height, clip.width) < self.min_side:
            raise RequestError(
                f"{self.name} needs frames of {self.min_side} x {self.min_side} or more, "
                f"not {clip.width} x {clip.height}"
            )
        parameters = self.load(Placement()) if modules is None else modules
        values = [self.measure(frame, parameters) for frame in AnalysedClip.of(clip).samples(self.num_frames)]
        return self.scored(float(np.mean(values)))

    @abstractmethod
    def measure(self, frame: Pixels, parameters: Any) -> float:
        """The value of one frame. Shape: (H, W, 3) uint8 RGB."""
