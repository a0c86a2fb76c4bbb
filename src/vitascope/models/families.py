"""What a checkpoint looks like, told from the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

STDIT3 = "Open-Sora 1.2's denoiser (STDiT3)"
OPENSORA_VAE = "Open-Sora 1.2's VAE"

# Family -> patterns that must all be found. The first family that fits is it, so narrower ones come first.
_MARKS: dict[str, tuple[str, ...]] = {
    STDIT3: (r"^spatial_blocks\.\d+\.attn\.qkv\.", r"^fps_embedder\."),
    OPENSORA_VAE: (r"^spatial_vae\.module\.", r"^temporal_vae\."),
    "Open-Sora 1.1's denoiser (STDiT2)": (r"^blocks\.\d+\.attn_temp\.", r"^fps_embedder\."),
    "Open-Sora 1.0's denoiser (STDiT)": (r"^blocks\.\d+\.attn_temp\.",),
    "Open-Sora 2.0's or HunyuanVideo's denoiser": (r"^double_blocks\.", r"^single_blocks\."),
    "Open-Sora-Plan's denoiser": (r"^transformer_blocks\.\d+\.scale_shift_table$", r"^caption_projection\."),
    "CogVideoX's denoiser": (r"^patch_embed\.text_proj\.", r"^transformer_blocks\.\d+\.norm1\.linear\."),
    "HunyuanVideo's denoiser": (r"^context_embedder\.", r"^single_transformer_blocks\."),
    "Mochi's denoiser": (r"\.attn1\.add_k_proj\.", r"^time_embed\.caption_proj\."),
    "Wan's denoiser": (r"^blocks\.\d+\.(self_attn|attn1)\.", r"^(patch_embedding|condition_embedder)\."),
    "Latte's denoiser": (r"^temporal_transformer_blocks\.", r"^adaln_single\."),
    "Stable Video Diffusion's UNet": (r"^down_blocks\..*\.temporal_transformer_blocks\.",),
    "a Stable Diffusion UNet": (r"^down_blocks\.\d+\.attentions\.", r"^time_embedding\."),
    "WF-VAE": (r"^encoder\.down1\.", r"^decoder\.up1\."),
    "an image VAE (AutoencoderKL)": (
        r"^(first_stage_model\.)?encoder\.(down_blocks|down)\.",
        r"quant_conv\.",
    ),
    "a T5 text encoder": (r"^encoder\.block\.\d+\.layer\.0\.SelfAttention\.",),
    "a LoRA": (r"lora_(A|B|down|up)\b",),
}


def family_of(names: Iterable[str]) -> str | None:
    """The family whose checkpoints have tensors of these names, in words; None if it is none that we know."""
    names = list(names)
    for family, marks in _MARKS.items():
        if all(any(re.search(mark, name) for name in names) for mark in marks):
            return family
    return None
