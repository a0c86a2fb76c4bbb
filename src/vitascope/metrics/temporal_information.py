"""Change from frame to frame."""

from __future__ import annotations

from typing import ClassVar, Literal

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class TemporalInformation(SingleClipMetric):
    """How much changes from frame to frame: the spread of the difference of their luma (TI)."""

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "levels"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "neither"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = "ITU-T P.910 (10/2023), 7.8.2; luma by BT.601 weights over the full range 0..255"

    over_time: Literal["max", "mean"] = "max"

    def measure(self, clip: AnalysedClip) -> float | str:
        """The largest value over time as the recommendation says, or the mean."""
        values = clip.pair_statistics.luma_change_std
        return float(values.max() if self.over_time == "max" else values.mean())
