"""Borders of coding blocks."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class Blockiness(SingleClipMetric):
    """Step across the borders of 8 x 8 blocks over the step inside them, the mean over time; 1 is none.

    A clip whose frames were resized after coding has its borders elsewhere, and they are not seen.
    """

    unit: ClassVar[str] = "ratio"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "after Wang, Sheikh and Bovik, No-reference perceptual quality assessment of JPEG compressed images, "
        "ICIP 2002: its border term as a ratio, without its fitted weights"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over the frames."""
        return float(clip.frame_statistics.blockiness.mean())
