"""Fine-tuning Mochi 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from vitascope.training.families.base import Encoded, Family, posterior


class MochiFamily(Family):
    """A flow on latents (c, t, h, w) that runs from noise at time 0 to data at time 1.

    Source: genmo-ai/mochi; what the denoiser is called with after diffusers 0.42.1
    `pipelines/mochi/pipeline_mochi.py` (Apache-2.0), whose sigmas are inverted.
    """

    pipelines: ClassVar[tuple[str, ...]] = ("MochiPipeline",)
    learns: ClassVar = "flow"
    attention: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")

    def encode_clip(self, vae: Any, pixels: Tensor) -> Encoded:
        """Latents with the VAE's mean and deviation taken out."""
        mean, std = (part[0] for part in posterior(vae, pixels))
        shift, scale = mean.new_tensor(0.0), mean.new_tensor(vae.config.scaling_factor)
        if getattr(vae.config, "latents_mean", None) is not None:
            shift = mean.new_tensor(vae.config.latents_mean).view(-1, 1, 1, 1)
            scale = scale / mean.new_tensor(vae.config.latents_std).view(-1, 1, 1, 1)
        return {"mean": (mean - shift) * scale, "std": std * scale}

    def encode_prompt(self, pipeline: Any, prompt: str, max_length: int | None) -> Encoded:
        """T5's last hidden states and which of them are words."""
        text, mask, _, _ = pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=max_length or 256
        )
        return {"text": text[0], "mask": mask[0]}

    def predict(self, pipeline: Any, noisy: Tensor, level: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """Shape: noisy (B, c, t, h, w), level (B,) the share of noise."""
        return pipeline.transformer(
            hidden_states=noisy,
            encoder_hidden_states=condition["text"],
            timestep=(1 - level) * 1000,
            encoder_attention_mask=condition["mask"],
            return_dict=False,
        )[0]

    def flow_target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """The way from noise to data."""
        return clean - noise

    def prompt_arguments(
        self, condition: Mapping[str, Tensor], empty: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """The arguments of `MochiPipeline.__call__`."""
        return {
            "prompt_embeds": condition["text"][None],
            "prompt_attention_mask": condition["mask"][None],
            "negative_prompt_embeds": empty["text"][None],
            "negative_prompt_attention_mask": empty["mask"][None],
        }
