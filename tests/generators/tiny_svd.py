"""A tiny random Stable Video Diffusion, saved by diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)

from tests.generators.family import Family
from tests.generators.tiny_text import clip_image_encoder, clip_image_processor
from vitascope.models.exvideo import ExVideoUNet, save_extension
from vitascope.task import ImageToVideo
from vitascope.training.exvideo.parts import new_scheduler

NUM_FRAMES = 4
REACH = 6
"""How many frames the extension reaches."""


def unet(num_frames: int = NUM_FRAMES) -> UNetSpatioTemporalConditionModel:
    """SVD's UNet with four levels and few channels."""
    return UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32, 32, 32),
        num_attention_heads=(1, 2, 4, 4),
        layers_per_block=1,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        cross_attention_dim=32,
        num_frames=num_frames,
        sample_size=16,
    )


def scheduler() -> EulerDiscreteScheduler:
    """The scheduler of the published SVD folders."""
    return new_scheduler(sigma_max=700.0)


def save_svd(folder: Path, num_frames: int = NUM_FRAMES) -> Path:
    """Write a folder that `StableVideoDiffusionPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
    )
    StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=clip_image_encoder(size=224, patch_size=56),
        unet=unet(num_frames),
        scheduler=scheduler(),
        feature_extractor=clip_image_processor(224),
    ).save_pretrained(folder)
    return folder


def extended_unet() -> ExVideoUNet:
    """The UNet with an ExVideo extension that is no longer an identity."""
    torch.manual_seed(1)
    extended = ExVideoUNet.from_svd(unet(), REACH)
    with torch.no_grad():
        for parameter in extended.added_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return extended


def save_exvideo_extension(folder: Path) -> Path:
    """Write the extension alone, in the published form."""
    folder.mkdir(parents=True)
    save_extension(extended_unet(), folder / "model.fp16.safetensors")
    return folder


FAMILIES = (Family("svd", save_svd, ImageToVideo, (64, 64), 4, reads_prompt=False),)
