"""Frozen and repeated frames."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class FreezeRatio(SingleClipMetric):
    """Share of frames that repeat the one before.

    `tolerance` is the mean absolute difference, as a share of the full range, up to which a frame counts
    as the same.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "rule and default of the freezedetect filter of FFmpeg 7 (noise 0.001), on RGB instead of its YUV "
        "planes and without its shortest duration"
    )

    tolerance: float = Field(0.001, ge=0, le=1)

    def measure(self, clip: AnalysedClip) -> float | str:
        """Over all pairs of neighbours."""
        return float((clip.pair_statistics.difference / 255 <= self.tolerance).mean())
