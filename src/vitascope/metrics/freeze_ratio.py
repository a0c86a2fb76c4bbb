"""Frozen and repeated frames."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class FreezeRatio(SingleClipMetric):
    """Share of frames that repeat the one before, up to what a video codec changes in a still."""

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "own definition, vitascope.flow.likeness.is_duplicate: under a quarter of a grey level on average and "
        "under two in every block of 16 x 16 pixels"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Over all pairs of neighbours."""
        return float(clip.pair_statistics.repeated.mean())
