"""Tiny random SANA-Video, saved by diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
)
from transformers import Gemma2Config, Gemma2Model

from tests.generators.family import Family
from tests.generators.tiny_text import t5_tokenizer
from vitascope.task import ImageToVideo, TextToVideo

LATENT_CHANNELS, WIDTH = 16, 32


def _gemma() -> Gemma2Model:
    config = Gemma2Config(
        vocab_size=320,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
    )
    return Gemma2Model(config).eval()


def save_sana_video(folder: Path) -> Path:
    """Write a folder that both SANA-Video pipelines read."""
    torch.manual_seed(0)
    transformer = SanaVideoTransformer3DModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=WIDTH,
        rope_max_seq_len=32,
    )
    with torch.no_grad():  # at random ones of the usual size the prompt moves no pixel by a whole grey level
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    SanaVideoPipeline(
        tokenizer=t5_tokenizer(4096),
        text_encoder=_gemma(),
        vae=AutoencoderKLWan(base_dim=4, z_dim=LATENT_CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0
        ),
    ).save_pretrained(folder)
    return folder


FAMILIES = (
    Family("sana-video", save_sana_video, TextToVideo, (32, 32), 5),
    Family("sana-video", save_sana_video, ImageToVideo, (32, 32), 5),
)
