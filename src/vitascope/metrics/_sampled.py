"""What the metrics have in common that look at single pictures out of a clip."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics.base import Metric, Score


def middle_samples(clip: Clip, count: int) -> Pixels:
    """The frames in the middle of `count` equal stretches; a shorter clip's last frame is repeated.

    Shape: (count, H, W, 3). Source: Vchitect/VBench 45e79ec, vbench/utils.py, get_frame_indices, Apache-2.0.
    """
    edges = np.linspace(0, clip.num_frames, min(count, clip.num_frames) + 1).astype(int)
    places = [int(start + end - 1) // 2 for start, end in pairwise(edges)]
    places += [places[-1]] * (count - len(places))
    return np.stack([clip.frames[place : place + 1][0] for place in places])


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
