"""Colourfulness of the frames."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class Colourfulness(SingleClipMetric):
    """How colourful the frames are, the mean over time; 0 is grey, 15 slightly, 109 extremely colourful."""

    unit: ClassVar[str] = "levels"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "neither"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = (
        "Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 5007, 2003"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over the frames."""
        return float(clip.frame_statistics.colourfulness.mean())
