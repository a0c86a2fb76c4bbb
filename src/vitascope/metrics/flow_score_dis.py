"""Amount of motion."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class FlowScoreDis(SingleClipMetric):
    """How far pixels move from frame to frame, the mean over all pixels and pairs.

    Values of another flow method are not comparable with it.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "pixels"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "neither"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "EvalCrafter (Liu et al., CVPR 2024), Flow-Score; flow by OpenCV DIS on frames of a shorter side of "
        "256, scaled back, instead of RAFT"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean flow, in pixels of the clip's own size."""
        return float(clip.motion.mean.mean() / clip.working_scale)
