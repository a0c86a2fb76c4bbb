"""How good the frames look as pictures."""

from __future__ import annotations

from typing import ClassVar

from vitascope.clip import Clip
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind
from vitascope.metrics.base import Direction, Tier


class ImagingQualityClipiqa(EmbeddingMetric):
    """How much nearer the frames are to "Good photo." than to "Bad photo." to CLIP, from 0 to 1."""

    embedder: ClassVar[Kind] = "clip"
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True
    source: ClassVar[str] = (
        "CLIP-IQA (Wang et al., Exploring CLIP for Assessing the Look and Feel of Images, AAAI 2023) with CLIP "
        "ViT-B/32 in transformers at 224 x 224, in place of VBench's MUSIQ; the authors take a ResNet-50 without "
        "places"
    )

    weights: str = "openai/clip-vit-base-patch32"

    def measure(self, clip: Clip, modules: Embedder) -> float:
        """Mean over the frames."""
        import torch

        poles = torch.stack([modules.text("Good photo."), modules.text("Bad photo.")])
        return float((100 * modules.frames(clip) @ poles.T).softmax(-1)[:, 0].mean())
