"""Whether the subject of the given picture stays itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vitascope.clip import Clip
from vitascope.media import read_image
from vitascope.metrics._embedding import Embedder, EmbeddingMetric, Kind
from vitascope.metrics.base import Direction, Tier


class ImageSubjectConsistency(EmbeddingMetric):
    """How much the frames look like the picture a clip was made from, and like each other, to DINO.

    0.4 of the closest likeness to `image`, 0.3 of the mean and 0.3 of the least likeness of neighbours. A still
    clip scores best: read it beside the dynamic degree.
    """

    embedder: ClassVar[Kind] = "dino"
    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench-I2V (Huang et al., arXiv:2411.13503), i2v_subject, Vchitect/VBench 45e79ec, vbench2_beta_i2v, "
        "Apache-2.0; DINO ViT-B/16 in transformers"
    )

    weights: str = "facebook/dino-vitb16"
    image: Path | None = None

    def measure(self, clip: Clip, modules: Embedder) -> float | str:
        """The weighted sum of the three likenesses."""
        if self.image is None:
            return "no picture was given"
        picture = Clip(read_image(self.image).pixels[None], Fraction(1))
        features = modules.frames(clip)
        to_image = (features @ modules.frames(picture)[0]).clamp(min=0)
        neighbours = (features[1:] * features[:-1]).sum(-1).clamp(min=0)
        return float(0.4 * to_image.max() + 0.3 * neighbours.mean() + 0.3 * neighbours.min())
