"""Tiny random Wan, its VACE, and SkyReels-V2, which is built alike, saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import (
    AutoencoderKLWan,
    SkyReelsV2ImageToVideoPipeline,
    SkyReelsV2Pipeline,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from transformers import CLIPVisionModel

from tests.generators.family import Family
from tests.generators.tiny_text import (
    clip_image_encoder,
    clip_image_processor,
    t5_tokenizer,
    umt5_encoder,
)
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

LATENT_CHANNELS = 16
NetT = TypeVar("NetT", bound=torch.nn.Module)


def _vae() -> AutoencoderKLWan:
    return AutoencoderKLWan(base_dim=4, z_dim=LATENT_CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def _scheduler() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def _config(in_channels: int = LATENT_CHANNELS, image_dim: int | None = None) -> dict[str, Any]:
    return {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": in_channels,
        "out_channels": LATENT_CHANNELS,
        "text_dim": 32,
        "freq_dim": 32,
        "ffn_dim": 32,
        "num_layers": 2,
        "rope_max_seq_len": 32,
        "image_dim": image_dim,
        "added_kv_proj_dim": 24 if image_dim else None,
    }


def _transformer(in_channels: int, image_dim: int | None = None) -> WanTransformer3DModel:
    return WanTransformer3DModel(**_config(in_channels, image_dim))


def _loud(transformer: NetT) -> NetT:
    """Raise the weights: at random ones of the usual size the prompt moves no pixel by a whole grey level."""
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    return transformer


def save_wan(folder: Path, *, two_experts: bool = False) -> Path:
    """Write a folder that `WanPipeline.from_pretrained` reads; `two_experts` as in Wan 2.2."""
    torch.manual_seed(0)
    WanPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        vae=_vae(),
        scheduler=_scheduler(),
        transformer=_loud(_transformer(LATENT_CHANNELS)),
        transformer_2=_transformer(LATENT_CHANNELS) if two_experts else None,
        boundary_ratio=0.875 if two_experts else None,
    ).save_pretrained(folder)
    return folder


def save_wan_two_experts(folder: Path) -> Path:
    """Write a folder as of Wan 2.2 14B, with a second transformer for low noise."""
    return save_wan(folder, two_experts=True)


def save_wan_image_to_video(folder: Path) -> Path:
    """Write a folder that `WanImageToVideoPipeline.from_pretrained` reads, as of Wan 2.1."""
    torch.manual_seed(0)
    vision = clip_image_encoder().config
    WanImageToVideoPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        vae=_vae(),
        scheduler=_scheduler(),
        transformer=_loud(_transformer(2 * LATENT_CHANNELS + 4, image_dim=vision.hidden_size)),
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=clip_image_processor(),
    ).save_pretrained(folder)
    return folder


def save_wan_text_and_image(folder: Path) -> Path:
    """Write a folder as of Wan 2.2 5B: text and picture to video by one model, no image encoder."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
    WanPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        vae=vae,
        scheduler=_scheduler(),
        transformer=_loud(_transformer(LATENT_CHANNELS)),
        expand_timesteps=True,
    ).save_pretrained(folder)
    return folder


def save_wan_vace(folder: Path) -> Path:
    """Write a folder that `WanVACEPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    # What the second stream reads: two latents of what is given, and 8 x 8 pixels of the mask.
    config = {**_config(), "vace_layers": [0], "vace_in_channels": 2 * LATENT_CHANNELS + 64}
    transformer = WanVACETransformer3DModel(**config)
    for block in transformer.vace_blocks:  # new layers that nobody trained start at nothing
        torch.nn.init.normal_(block.proj_out.weight)
    WanVACEPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        vae=_vae(),
        scheduler=_scheduler(),
        transformer=_loud(transformer),
    ).save_pretrained(folder)
    return folder


def save_skyreels(folder: Path) -> Path:
    """Write a folder that `SkyReelsV2Pipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    SkyReelsV2Pipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        transformer=_loud(SkyReelsV2Transformer3DModel(**_config())),
        vae=_vae(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
    ).save_pretrained(folder)
    return folder


def save_skyreels_image_to_video(folder: Path) -> Path:
    """Write a folder that `SkyReelsV2ImageToVideoPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    vision = clip_image_encoder()
    config = _config(2 * LATENT_CHANNELS + 4, vision.config.hidden_size)
    SkyReelsV2ImageToVideoPipeline(
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5_encoder(),
        image_encoder=vision,
        image_processor=clip_image_processor(),
        transformer=_loud(SkyReelsV2Transformer3DModel(**config)),
        vae=_vae(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
    ).save_pretrained(folder)
    return folder


FAMILIES = (
    Family("wan", save_wan, TextToVideo, (32, 32), 5),
    Family("wan", save_wan, VideoToVideo, (32, 32), 5),
    Family("wan", save_wan_two_experts, TextToVideo, (32, 32), 5),
    Family("wan", save_wan_image_to_video, ImageToVideo, (32, 32), 5),
    Family("wan-vace", save_wan_vace, TextToVideo, (32, 32), 5),
    Family("wan-vace", save_wan_vace, VideoToVideo, (32, 32), 5),
    Family("wan-vace", save_wan_vace, ImageToVideo, (32, 32), 5),
    Family("skyreels-v2", save_skyreels, TextToVideo, (32, 32), 5),
    Family("skyreels-v2", save_skyreels_image_to_video, ImageToVideo, (32, 32), 5),
)
