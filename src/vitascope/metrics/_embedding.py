"""Pictures and texts as feature vectors, prepared as the benchmarks prepare them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics.base import Direction, Metric, Score, Tier

Kind = Literal["clip", "dino"]

_SIDE, _BATCH = 224, 32
_MEAN = {"clip": (0.48145466, 0.4578275, 0.40821073), "dino": (0.485, 0.456, 0.406)}
_DEVIATION = {"clip": (0.26862954, 0.26130258, 0.27577711), "dino": (0.229, 0.224, 0.225)}


@dataclass(frozen=True, eq=False)
class Embedder:
    """A loaded network that turns frames, and with CLIP texts too, into vectors of length 1."""

    kind: Kind
    network: Any
    tokenizer: Any = None

    def frames(self, clip: Clip) -> Any:
        """A vector for each frame. Shape: (T, D) float32."""
        import torch

        features = []
        with torch.inference_mode():
            for _, frames in clip.windows(_BATCH):
                pixels = prepared(frames, self.kind).to(self.network.device, self.network.dtype)
                features.append(self._of_pictures(pixels).float().cpu())
        return torch.nn.functional.normalize(torch.cat(features), dim=-1)

    def _of_pictures(self, pixels: Any) -> Any:
        if self.kind == "dino":
            return self.network(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        vision = self.network.vision_model(pixel_values=pixels)
        return self.network.visual_projection(vision.pooler_output)

    def text(self, text: str) -> Any:
        """The vector of a text, cut at 77 tokens. Shape: (D,) float32."""
        import torch

        tokens = self.tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        with torch.inference_mode():
            encoded = self.network.text_model(**tokens.to(self.network.device))
            features = self.network.text_projection(encoded.pooler_output)
        return torch.nn.functional.normalize(features.float().cpu(), dim=-1)[0]


def prepared(frames: Pixels, kind: Kind) -> Any:
    """Frames as the network wants them: shorter side 224 without antialiasing, for CLIP cut to a square.

    Resized values are rounded to whole levels, as the reference does on 8-bit tensors.
    Shape: (T, H, W, 3) uint8 to (T, 3, h, w) float32.
    Source: Vchitect/VBench 45e79ec, vbench/utils.py, clip_transform and dino_transform, Apache-2.0.
    """
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    shorter = min(height, width)
    size = (_SIDE * height // shorter, _SIDE * width // shorter)
    mode = "bicubic" if kind == "clip" else "bilinear"
    pixels = torch.nn.functional.interpolate(pixels, size=size, mode=mode, align_corners=False)
    pixels = pixels.clamp(0, 255).round()
    if kind == "clip":
        top, left = round((size[0] - _SIDE) / 2), round((size[1] - _SIDE) / 2)
        pixels = pixels[..., top : top + _SIDE, left : left + _SIDE]
    mean, deviation = (torch.tensor(table[kind]).view(3, 1, 1) for table in (_MEAN, _DEVIATION))
    return (pixels / 255 - mean) / deviation


class EmbeddingMetric(Metric):
    """A metric of feature vectors, whose network is on this machine already: nothing is downloaded."""

    embedder: ClassVar[Kind]
    min_frames: ClassVar[int] = 1

    weights: str

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at.

        Raises: RequestError if the clip is too short, WeightsMissing.
        """
        if clip.num_frames < self.min_frames:
            raise RequestError(
                f"{self.name} needs at least {self.min_frames} frames; this clip has {clip.num_frames}",
                param="num_frames",
            )
        measured = self.measure(clip, self.load(Placement()) if modules is None else modules)
        return self.unmeasured(measured) if isinstance(measured, str) else self.scored(measured)

    @abstractmethod
    def measure(self, clip: Clip, modules: Any) -> float | str:
        """The value, or the reason why there is none."""

    def modules_key(self) -> Any:
        """The network alone: knobs that only change the question share it."""
        return self.embedder, self.weights

    def load(self, placement: Placement) -> Any:
        """The network, from a folder or the cache of the hub. Raises: WeightsMissing."""
        return load_embedder(self.embedder, self.weights, placement)


class ConsistencyMetric(EmbeddingMetric):
    """How alike a clip's frames are, read by one network or another."""

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"

    def measure(self, clip: Clip, modules: Embedder) -> float:
        """Mean over all frames but the first."""
        return consistency(modules.frames(clip))


def load_embedder(kind: Kind, weights: str, placement: Placement) -> Embedder:
    """A CLIP or DINO network in transformers layout. Raises: WeightsMissing, which says what to fetch."""
    from transformers import CLIPModel, ViTModel

    device = placement.resolve().device
    with missing_weights(weights):
        if kind == "dino":
            network = ViTModel.from_pretrained(weights, local_files_only=True, add_pooling_layer=False)
            return Embedder(kind, network.eval().to(device))
        clip = CLIPModel.from_pretrained(weights, local_files_only=True).eval().to(device)
        return Embedder(kind, clip, load_tokenizer(weights))


def load_tokenizer(weights: str) -> Any:
    """The tokenizer that lies beside a transformers network. Raises: WeightsMissing."""
    from transformers import AutoTokenizer

    with missing_weights(weights):
        return AutoTokenizer.from_pretrained(weights, local_files_only=True)


@contextmanager
def missing_weights(weights: str) -> Iterator[None]:
    """A transformers network that cannot be read becomes WeightsMissing, which says what to fetch."""
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(weights).is_dir():
            raise WeightsMissing(f"{weights!r} does not hold such a network: {str(error)[:200]}") from error
        raise WeightsMissing(
            f"needs the weights of {weights!r}, which are not on this machine; run: hf download {weights}, "
            "or give a folder with weights=..."
        ) from error


def consistency(features: Any) -> float:
    """Mean over frames of how alike each is to the one before and to the first, negatives counting as 0.

    Shape: (T, D) of length 1.
    Source: VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/subject_consistency.py.
    """
    to_previous = (features[1:] * features[:-1]).sum(-1).clamp(min=0)
    to_first = (features[1:] @ features[0]).clamp(min=0)
    return float(((to_previous + to_first) / 2).mean())


def prompt_of(clip: Clip) -> str | None:
    """The prompt that the clip's recipe says it was made from; None if it says none."""
    for stage in clip.recipe.stages:
        if stage.task and stage.task.get("prompt"):
            return str(stage.task["prompt"])
    return None
