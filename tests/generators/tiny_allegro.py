"""A tiny random Allegro, saved by diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AllegroPipeline,
    AllegroTransformer3DModel,
    AutoencoderKLAllegro,
    EulerAncestralDiscreteScheduler,
)

from tests.generators.family import Family
from tests.generators.tiny_text import t5_encoder, t5_tokenizer
from vitascope.task import TextToVideo

TILE = 128  # the VAE overlaps its tiles by 120 x 80 pixels, so a tile cannot be much smaller


def save_allegro(folder: Path) -> Path:
    """Write a folder that `AllegroPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    vae = AutoencoderKLAllegro(
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2, sample_size=TILE
    )
    transformer = AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        cross_attention_dim=48,
        sample_width=TILE // 8,
        sample_height=TILE // 8,
        sample_frames=6,
        caption_channels=32,
    )
    AllegroPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=t5_encoder(),
        vae=vae,
        transformer=transformer,
        scheduler=EulerAncestralDiscreteScheduler(beta_schedule="linear"),
    ).save_pretrained(folder)
    return folder


FAMILIES = (Family("allegro", save_allegro, TextToVideo, (128, 128), 24),)
