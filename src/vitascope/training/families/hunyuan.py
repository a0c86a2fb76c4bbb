"""Fine-tuning HunyuanVideo, from text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from vitascope.training.families.base import Encoded, Family, posterior

GUIDANCE = 1.0
"""What the guidance-distilled model is told while training: as if nothing was guided."""


class HunyuanFamily(Family):
    """A flow on latents (c, t, h, w).

    Source: arXiv 2412.03603; what the denoiser is called with after diffusers 0.42.1
    `pipelines/hunyuan_video/pipeline_hunyuan_video.py` (Apache-2.0).
    """

    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanVideoPipeline",)
    learns: ClassVar = "flow"
    prompt_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")

    def encode_clip(self, vae: Any, pixels: Tensor) -> Encoded:
        """Latents times the scaling factor."""
        scale = vae.config.scaling_factor
        mean, std = (part[0] * scale for part in posterior(vae, pixels))
        return {"mean": mean, "std": std}

    def encode_prompt(self, pipeline: Any, prompt: str, max_length: int | None) -> Encoded:
        """Hidden states of both text encoders, and the mask of valid tokens."""
        text, pooled, mask = pipeline.encode_prompt(prompt, max_sequence_length=max_length or 256)
        return {"text": text[0], "pooled": pooled[0], "mask": mask[0]}

    def predict(self, pipeline: Any, noisy: Tensor, level: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """Shape: noisy (B, c, t, h, w), level (B,) the share of noise."""
        guided = self.config.get("guidance_embeds")
        return pipeline.transformer(
            hidden_states=noisy,
            timestep=level * 1000,
            encoder_hidden_states=condition["text"],
            encoder_attention_mask=condition["mask"],
            pooled_projections=condition["pooled"],
            guidance=noisy.new_full((len(noisy),), GUIDANCE * 1000) if guided else None,
            return_dict=False,
        )[0]

    def prompt_arguments(
        self,
        condition: Mapping[str, Tensor],
        empty: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Any]:
        """The arguments of `HunyuanVideoPipeline.__call__`; its guidance is built in: no negative prompt."""
        return {
            "prompt_embeds": condition["text"][None],
            "pooled_prompt_embeds": condition["pooled"][None],
            "prompt_attention_mask": condition["mask"][None],
        }
