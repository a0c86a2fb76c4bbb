"""A tiny random Mochi, saved by diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLMochi,
    FlowMatchEulerDiscreteScheduler,
    MochiPipeline,
    MochiTransformer3DModel,
)

from tests.generators.family import Family
from tests.generators.tiny_text import t5_encoder, t5_tokenizer
from vitascope.task import TextToVideo


def save_mochi(folder: Path) -> Path:
    """Write a folder that `MochiPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    transformer = MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=32,
        time_embed_dim=16,
    )
    vae = AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    MochiPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        force_zeros_for_empty_prompt=False,
    ).save_pretrained(folder)
    return folder


FAMILIES = (Family("mochi", save_mochi, TextToVideo, (32, 32), 7),)
