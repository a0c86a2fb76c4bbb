"""Whether a clip is set where it was asked to be."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.metrics._embedding import load_tokenizer, missing_weights
from vitascope.metrics._sampled import middle_samples
from vitascope.metrics.base import Direction, Metric, Score, Tier

NUM_FRAMES, MAX_TOKENS = 16, 30
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Captioner(NamedTuple):
    """A loaded network and its tokenizer."""

    network: Any
    tokenizer: Any


class SceneBlip(Metric):
    """The share of frames whose caption has every word of `scene`, such as "train station platform"."""

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/scene.py, Apache-2.0: its rule; captions "
        "by BLIP (Li et al., ICML 2022, BSD-3-Clause, in transformers) instead of Tag2Text"
    )

    weights: str = "Salesforce/blip-image-captioning-base"
    scene: str | None = None

    def load(self, placement: Placement) -> Captioner:
        """The network. Raises: WeightsMissing."""
        from transformers import BlipForConditionalGeneration

        with missing_weights(self.weights):
            network = BlipForConditionalGeneration.from_pretrained(self.weights, local_files_only=True)
        return Captioner(network.eval().to(placement.resolve().device), load_tokenizer(self.weights))

    def modules_key(self) -> Any:
        """The network alone."""
        return self.weights

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: WeightsMissing."""
        if not self.scene:
            return self.unmeasured("no scene was given")
        captioner = self.load(Placement()) if modules is None else modules
        said = captions(middle_samples(clip, NUM_FRAMES), captioner)
        return self.scored(float(np.mean([shows(self.scene, caption) for caption in said])))


def shows(scene: str, caption: str) -> bool:
    """Whether every word of a scene is somewhere in a caption, inside other words too, as in the benchmark."""
    return all(word in caption.lower() for word in scene.lower().split())


def captions(frames: np.ndarray, captioner: Captioner) -> list[str]:
    """A sentence a frame. Shape: (T, H, W, 3) uint8 RGB."""
    import torch

    network, tokenizer = captioner
    side = network.config.vision_config.image_size
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    pixels = torch.nn.functional.interpolate(
        pixels, size=(side, side), mode="bicubic", align_corners=False, antialias=True
    )
    mean, deviation = (torch.tensor(table).view(3, 1, 1) for table in (_MEAN, _DEVIATION))
    prepared = ((pixels.clamp(0, 1) - mean) / deviation).to(network.device)
    with torch.inference_mode():
        tokens = network.generate(pixel_values=prepared, max_new_tokens=MAX_TOKENS)
    return list(tokenizer.batch_decode(tokens, skip_special_tokens=True))
