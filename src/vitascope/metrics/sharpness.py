"""Sharpness of the frames."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class Sharpness(SingleClipMetric):
    """How sharp the frames are: the variance of the Laplacian of their luma, the mean over time.

    Noise raises it too, and it grows with the resolution: compare clips of one size and prompt.
    """

    unit: ClassVar[str] = "squared levels"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "neither"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = "Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000"

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over the frames."""
        return float(clip.frame_statistics.sharpness.mean())
