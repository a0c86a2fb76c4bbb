"""Whether the subject stays itself."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._embedding import ConsistencyMetric, Kind


class SubjectConsistency(ConsistencyMetric):
    """How much every frame looks like the one before and like the first to DINO: 1 for a still clip.

    A still clip is perfectly consistent: read it beside the dynamic degree.
    """

    embedder: ClassVar[Kind] = "dino"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/subject_consistency.py, Apache-2.0; "
        "DINO ViT-B/16 in transformers, whose positions are resized by size, not by factor"
    )

    weights: str = "facebook/dino-vitb16"
