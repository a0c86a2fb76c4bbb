"""Hard cuts inside a clip."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class SceneCuts(SingleClipMetric):
    """Number of hard cuts: places where what follows is another scene, not motion."""

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "cuts"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "own definition, vitascope.flow.likeness.is_cut: pixels, structure and colours differ after the "
        "motion was undone"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Over all pairs of neighbours."""
        return float(clip.pair_statistics.cut.sum())
