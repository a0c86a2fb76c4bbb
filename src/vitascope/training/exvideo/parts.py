"""The parts of the tiny Stable Video Diffusion: stock classes at toy size."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

BASE_FRAMES = 25
LATENT_CHANNELS = 4
EMBEDDING = 64


def new_vae() -> AutoencoderKLTemporalDecoder:
    """An untrained autoencoder: 4x smaller in space, encoded frame by frame, decoded over time."""
    return AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )


def new_unet() -> UNetSpatioTemporalConditionModel:
    """An untrained SVD denoiser for 25 frames."""
    return UNetSpatioTemporalConditionModel(
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=(*("CrossAttnDownBlockSpatioTemporal",) * 2, "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", *("CrossAttnUpBlockSpatioTemporal",) * 2),
        block_out_channels=(64, 128, 128),
        num_attention_heads=(2, 4, 4),
        layers_per_block=1,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        cross_attention_dim=EMBEDDING,
        num_frames=BASE_FRAMES,
        sample_size=16,
    )


def new_image_encoder() -> CLIPVisionModelWithProjection:
    """A CLIP image encoder that says nothing: the picture's latents say all that a toy world has to say."""
    config = CLIPVisionConfig(
        hidden_size=64,
        projection_dim=EMBEDDING,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=224,
        patch_size=56,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = CLIPVisionModelWithProjection(config).eval()
    torch.nn.init.zeros_(encoder.visual_projection.weight)
    return encoder


def new_scheduler(sigma_max: float = 80.0) -> EulerDiscreteScheduler:
    """The scheduler of the published SVD folders, which begin at 700; less noise drowns latents as small as these."""
    return EulerDiscreteScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=sigma_max,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )


def assemble(
    vae: AutoencoderKLTemporalDecoder, unet: UNetSpatioTemporalConditionModel
) -> StableVideoDiffusionPipeline:
    """A pipeline as users load it."""
    from transformers import CLIPImageProcessorPil

    return StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=new_image_encoder(),
        unet=unet,
        scheduler=new_scheduler(),
        feature_extractor=CLIPImageProcessorPil(crop_size=224, size={"shortest_edge": 224}),
    )
