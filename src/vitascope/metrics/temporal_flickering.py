"""Flicker between neighbouring frames."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class TemporalFlickering(SingleClipMetric):
    """How little neighbouring frames differ: 1 for a still clip.

    Motion lowers it as much as flicker does, so the benchmark runs it on clips that shall stand still; read
    it beside the warp error, which tells the two apart.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/temporal_flickering.py, Apache-2.0"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """One minus the mean absolute difference over 255."""
        return float(1 - clip.pair_statistics.difference.mean() / 255)
