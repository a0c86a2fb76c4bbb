"""Likeness of neighbouring frames."""

from __future__ import annotations

from typing import ClassVar

from vitascope.clip import Clip
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind
from vitascope.metrics.base import Direction, Tier


class ClipFrameConsistency(EmbeddingMetric):
    """How much neighbouring frames look alike to CLIP, times 100 (CLIP-F, CLIP-Temp).

    A still clip has 100: read it beside the dynamic degree.
    """

    embedder: ClassVar[Kind] = "clip"
    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float | None, float | None]] = (-100.0, 100.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "EvalCrafter (Liu et al., CVPR 2024), CLIP-Temp; frames normalised as CLIP wants them, which its published "
        "script leaves out"
    )

    weights: str = "openai/clip-vit-base-patch32"

    def measure(self, clip: Clip, modules: Embedder) -> float:
        """Mean cosine of neighbours."""
        features = modules.frames(clip)
        return float(100 * (features[1:] * features[:-1]).sum(-1).mean())
