"""Fine-tuning CogVideoX: 2B, 5B, 1.5 and Sprout, from text or from a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.training.families.base import Encoded, Family, posterior


class CogVideoXFamily(Family):
    """v-prediction on latents (t, c, h, w); a picture's latents beside the noisy ones.

    Source: arXiv 2408.06072; what the denoiser is called with after diffusers 0.42.1
    `pipelines/cogvideo/pipeline_cogvideox.py` and `..._image2video.py` (Apache-2.0).
    """

    pipelines: ClassVar[tuple[str, ...]] = ("CogVideoXPipeline", "CogVideoXImageToVideoPipeline")

    @property
    def from_image(self) -> bool:
        """Whether it is an image-to-video model."""
        return self.pipeline == "CogVideoXImageToVideoPipeline"

    def encode_clip(self, vae: Any, pixels: Tensor) -> Encoded:
        """Latents times the scaling factor; CogVideoX 1.5's lengthened in front to whole patches of time."""
        mean, std = (part[0].transpose(0, 1) for part in posterior(vae, pixels))
        patch = self.config.get("patch_size_t") or 1
        lacking = -len(mean) % patch
        mean, std = (torch.cat([part[:1].expand(lacking, -1, -1, -1), part]) for part in (mean, std))
        scale = vae.config.scaling_factor
        found = {"mean": mean * scale, "std": std * scale}
        if self.from_image:
            # The pipeline encodes the picture as a clip of one frame, and the 1.5 model divides where others multiply.
            scale = 1 / scale if vae.config.invert_scale_latents else scale
            picture, spread = (part[0].transpose(0, 1) for part in posterior(vae, pixels[:, :, :1]))
            found |= {"picture_mean": picture * scale, "picture_std": spread * scale}
        return found

    def encode_prompt(self, pipeline: Any, prompt: str, max_length: int | None) -> Encoded:
        """T5's last hidden states."""
        length = max_length or self.config.get("max_text_seq_length", 226)
        text, _ = pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=length
        )
        return {"text": text[0]}

    def predict(self, pipeline: Any, noisy: Tensor, level: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """Shape: noisy (B, t, c, h, w), level (B,)."""
        net, config = pipeline.transformer, self.config
        if "picture" in condition:
            later = (0,) * 7 + (noisy.shape[1] - 1,)
            noisy = torch.cat([noisy, F.pad(condition["picture"], later).to(noisy.dtype)], dim=2)
        rotary = None
        if config.get("use_rotary_positional_embeddings"):
            scale = pipeline.vae_scale_factor_spatial
            height, width = noisy.shape[3] * scale, noisy.shape[4] * scale
            rotary = pipeline._prepare_rotary_positional_embeddings(
                height, width, noisy.shape[1], noisy.device
            )
        ofs = noisy.new_full((1,), 2.0) if config.get("ofs_embed_dim") else None
        return net(
            hidden_states=noisy,
            encoder_hidden_states=condition["text"],
            timestep=level,
            ofs=ofs,
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]

    def prompt_arguments(
        self, condition: Mapping[str, Tensor], empty: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """The arguments of `CogVideoXPipeline.__call__`."""
        return {"prompt_embeds": condition["text"][None], "negative_prompt_embeds": empty["text"][None]}
