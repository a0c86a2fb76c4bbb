"""Whether the scene stays itself."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._embedding import ConsistencyMetric, Kind


class BackgroundConsistency(ConsistencyMetric):
    """How much every frame looks like the one before and like the first to CLIP: 1 for a still clip.

    A still clip is perfectly consistent: read it beside the dynamic degree.
    """

    embedder: ClassVar[Kind] = "clip"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/background_consistency.py, Apache-2.0; "
        "CLIP ViT-B/32 in transformers"
    )

    weights: str = "openai/clip-vit-base-patch32"
