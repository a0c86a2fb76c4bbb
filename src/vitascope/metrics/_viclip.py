"""What the two metrics of ViCLIP share: the benchmark measures both by one rule on different prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.metrics._embedding import load_tokenizer, prepared, prompt_of
from vitascope.metrics._sampled import middle_samples
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Direction, Metric, Score, Tier

NUM_FRAMES, MAX_TOKENS = 8, 32


class ViClipModules(NamedTuple):
    """The network and CLIP's tokenizer."""

    network: Any
    tokenizer: Any


class ViClipMetric(Metric):
    """How near a clip is to a sentence to ViCLIP, which looks at eight frames at once."""

    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"

    weights: Path | None = None
    tokenizer: str = "openai/clip-vit-base-patch32"
    prompt: str | None = None

    def load(self, placement: Placement) -> ViClipModules:
        """Network and tokenizer. Raises: WeightsMissing."""
        file = weights_file("ViClip-InternVid-10M-FLT.pth", self.weights, "OpenGVLab's ViCLIP", "weights")
        tokenizer = load_tokenizer(self.tokenizer)
        from vitascope.models.viclip import load_viclip

        return ViClipModules(load_viclip(file, placement.resolve().device), tokenizer)

    def modules_key(self) -> Any:
        """The weights files alone."""
        return str(self.weights), self.tokenizer

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: WeightsMissing."""
        import torch

        prompt = self.prompt or prompt_of(clip)
        if prompt is None:
            return self.unmeasured("no prompt was given, and the clip does not carry one")
        network, tokenizer = self.load(Placement()) if modules is None else modules
        device = next(network.parameters()).device
        pixels = prepared(middle_samples(clip, NUM_FRAMES), "clip").to(device)
        tokens = tokenizer(prompt.lower(), truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            similarity = (network.video(pixels[None]) * network.text(tokens["input_ids"].to(device))).sum()
        return self.scored(float(similarity))
