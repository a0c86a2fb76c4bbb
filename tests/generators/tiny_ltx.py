"""A tiny random LTX-Video, saved by diffusers; one folder serves text-to-video and image-to-video."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)

from tests.generators.family import Family
from tests.generators.tiny_text import t5_encoder, t5_tokenizer
from vitascope.task import ImageToVideo, TextToVideo


def save_ltx(folder: Path) -> Path:
    """Write a folder that `LTXPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )
    vae.use_framewise_encoding = False
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=32,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )
    LTXPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(128),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


FAMILIES = (
    Family("ltx", save_ltx, TextToVideo, (64, 64), 9),
    Family("ltx", save_ltx, ImageToVideo, (64, 64), 9),
)
