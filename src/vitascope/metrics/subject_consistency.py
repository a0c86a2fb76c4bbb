"""Whether the subject stays itself."""

from __future__ import annotations

from typing import ClassVar

from vitascope.clip import Clip
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind, consistency
from vitascope.metrics.base import Direction, Tier


class SubjectConsistency(EmbeddingMetric):
    """How much every frame looks like the one before and like the first to DINO: 1 for a still clip.

    A still clip is perfectly consistent: read it beside the dynamic degree.
    """

    embedder: ClassVar[Kind] = "dino"
    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/subject_consistency.py, Apache-2.0; "
        "DINO ViT-B/16 in transformers, whose positions are resized by size, not by factor"
    )

    weights: str = "facebook/dino-vitb16"

    def measure(self, clip: Clip, modules: Embedder) -> float:
        """Mean over all frames but the first."""
        return consistency(modules.frames(clip))
