"""Crushed shadows and burnt lights."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class ExposureClipping(SingleClipMetric):
    """Share of pixels that are nearly black (luma to 5) or nearly white (from 250).

    Black borders count: measure the clip without its letterbox.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = "own definition; the bounds 5 and 250 are ours"

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over the frames."""
        statistics = clip.frame_statistics
        return float((statistics.dark_share + statistics.bright_share).mean())
