"""Hard cuts inside a clip."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class SceneCuts(SingleClipMetric):
    """Number of hard cuts: places where hue, saturation and value change at once by `threshold` or more."""

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "cuts"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "rule and threshold of ContentDetector in PySceneDetect 0.6 (BSD-3-Clause), without its shortest "
        "scene length"
    )

    threshold: float = Field(27.0, gt=0)

    def measure(self, clip: AnalysedClip) -> float | str:
        """Over all pairs of neighbours."""
        return float((clip.pair_statistics.hsv_change >= self.threshold).sum())
