"""A tiny random AnimateDiff, its motion adapter and its controls, saved by diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    SparseControlNetModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

from tests.generators.family import Family
from tests.generators.tiny_text import clip_text_encoder, clip_tokenizer
from vitascope.task import TextToVideo, VideoToVideo

CHANNELS, MAX_FRAMES = (16, 32), 16


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=CHANNELS,
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=2,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=64,
    )


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        clip_sample=False,
        steps_offset=1,
        timestep_spacing="linspace",
    )


def motion_adapter() -> MotionAdapter:
    """Motion modules that fit the tiny UNet."""
    adapter = MotionAdapter(
        block_out_channels=CHANNELS,
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        motion_max_seq_length=MAX_FRAMES,
        use_motion_mid_block=False,
    )
    # A fresh adapter ends in zeros and would leave the frames unconnected.
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return adapter


def save_animatediff(folder: Path) -> Path:
    """Write a folder that `AnimateDiffPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    AnimateDiffPipeline(
        vae=_vae(),
        text_encoder=clip_text_encoder(),
        tokenizer=clip_tokenizer(),
        unet=_unet(),
        motion_adapter=motion_adapter(),
        scheduler=_scheduler(),
    ).save_pretrained(folder)
    return folder


def save_stable_diffusion(folder: Path) -> Path:
    """Write a Stable Diffusion 1.5 folder, to which a motion adapter is added."""
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=clip_text_encoder(),
        tokenizer=clip_tokenizer(),
        unet=_unet(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
    ).save_pretrained(folder)
    return folder


def save_motion_adapter(folder: Path) -> Path:
    """Write a motion adapter on its own."""
    torch.manual_seed(1)
    motion_adapter().save_pretrained(folder)
    return folder


def save_controlnet(folder: Path) -> Path:
    """Write a ControlNet for the tiny UNet."""
    torch.manual_seed(2)
    controlnet = ControlNetModel(
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=2,
        conditioning_embedding_out_channels=(8, 8, 8, 8),
    )
    _fill_zero_convolutions(controlnet)
    controlnet.save_pretrained(folder)
    return folder


def save_sparse_controlnet(folder: Path) -> Path:
    """Write a SparseCtrl (scribble) for the tiny UNet."""
    torch.manual_seed(3)
    controlnet = SparseControlNetModel(
        conditioning_channels=3,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=2,
        motion_max_seq_length=MAX_FRAMES,
        motion_num_attention_heads=2,
        conditioning_embedding_out_channels=(8, 8, 8, 8),
        use_simplified_condition_embedding=False,
    )
    _fill_zero_convolutions(controlnet)
    controlnet.save_pretrained(folder)
    return folder


def _fill_zero_convolutions(controlnet: torch.nn.Module) -> None:
    """A fresh ControlNet ends in zeros and would control nothing."""
    for parameter in controlnet.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)


FAMILIES = (
    Family("animatediff", save_animatediff, TextToVideo, (64, 64), 4),
    Family("animatediff", save_animatediff, VideoToVideo, (64, 64), 4),
)
