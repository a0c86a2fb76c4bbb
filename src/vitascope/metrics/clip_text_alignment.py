"""Whether a clip shows what was asked for."""

from __future__ import annotations

from typing import ClassVar

from vitascope.clip import Clip
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind, prompt_of
from vitascope.metrics.base import Direction, Tier


class ClipTextAlignment(EmbeddingMetric):
    """How well the frames match the prompt to CLIP, times 100 (CLIP-T).

    The prompt is the one given, else that of the clip's recipe; CLIP reads its first 77 tokens.
    """

    embedder: ClassVar[Kind] = "clip"

    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float | None, float | None]] = (-100.0, 100.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "CLIPScore (Hessel et al., EMNLP 2021) without its factor 2.5, the mean over frames; CLIP ViT-B/32 in "
        "transformers"
    )

    weights: str = "openai/clip-vit-base-patch32"
    prompt: str | None = None

    def measure(self, clip: Clip, modules: Embedder) -> float | str:
        """Mean cosine of frames and prompt."""
        prompt = self.prompt or prompt_of(clip)
        if prompt is None:
            return "no prompt was given, and the clip does not carry one"
        return float(100 * (modules.frames(clip) @ modules.text(prompt)).mean())
