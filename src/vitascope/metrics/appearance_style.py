"""Whether a clip is in the style that was asked for."""

from __future__ import annotations

from typing import ClassVar

from vitascope.clip import Clip
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind
from vitascope.metrics.base import Direction, Tier


class AppearanceStyle(EmbeddingMetric):
    """How well the frames match a named style to CLIP, such as "in the style of Van Gogh"."""

    embedder: ClassVar[Kind] = "clip"

    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/appearance_style.py, Apache-2.0, on one "
        "GPU; CLIP ViT-B/32 in transformers"
    )

    weights: str = "openai/clip-vit-base-patch32"
    style: str | None = None

    def measure(self, clip: Clip, modules: Embedder) -> float | str:
        """Mean cosine of frames and style."""
        if self.style is None:
            return "no style was given"
        return float((modules.frames(clip) @ modules.text(self.style)).mean())
