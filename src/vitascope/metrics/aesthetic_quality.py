"""How beautiful people would find the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Direction, Tier


class AestheticModules(NamedTuple):
    """CLIP and the linear head on its features. Shape: weight (D,), bias ()."""

    embedder: Embedder
    weight: Any
    bias: Any


class AestheticQuality(EmbeddingMetric):
    """How beautiful the frames are by LAION's predictor, from 0 to about 1.

    `head` is the file sa_0_4_vit_l_14_linear.pth of LAION-AI/aesthetic-predictor (MIT).
    """

    embedder: ClassVar[Kind] = "clip"
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/aesthetic_quality.py, "
        "Apache-2.0; CLIP ViT-L/14 in transformers"
    )

    weights: str = "openai/clip-vit-large-patch14"
    head: Path | None = None

    def load(self, placement: Placement) -> AestheticModules:
        """CLIP and the head. Raises: WeightsMissing."""
        head = weights_file("sa_0_4_vit_l_14_linear.pth", self.head, "LAION's aesthetic-predictor", "head")
        from vitascope.models.checkpoints import read_tensors

        try:
            state = read_tensors(head)
            weight, bias = state["weight"].float()[0], state["bias"].float()[0]
        except (InvalidMedia, KeyError, IndexError) as error:
            raise WeightsMissing(f"{str(head)!r} is not the aesthetic predictor's head: {error}") from error
        return AestheticModules(super().load(placement), weight, bias)

    def modules_key(self) -> Any:
        """The network and the head."""
        return self.weights, str(self.head)

    def measure(self, clip: Clip, modules: AestheticModules) -> float:
        """Mean over the frames of the predicted score, over 10."""
        return float((modules.embedder.frames(clip) @ modules.weight + modules.bias).mean() / 10)
