"""The published configurations of the families load, every key of them, and give nets of the known size.

Sources: the `config.json` files of the hub repositories named below, as written by diffusers' conversion
scripts (`scripts/convert_*_to_diffusers.py`, of animatediff_motion_module, mochi, hunyuan_video, wan, skyreelsv2,
sana_video and ltx).
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import pytest
import torch
from diffusers import AutoencoderKLWan


class Published(NamedTuple):
    """One component of one hub repository, and its size as counted here.

    The counts agree with what the authors say, rounded: SVD 1.5B, AnimateDiff 417M and 453M, Mochi 10B,
    HunyuanVideo 13B, Wan 1.3B, 14B and 5B, SANA-Video 2B, LTX-Video 2B, Allegro 2.8B; VACE's with the bytes of its
    files: 69.4 GB of float32 (14B); 7.15 GB, Wan 1.3B in float32 and the second stream in bfloat16.
    """

    repo: str
    class_name: str
    config: dict[str, Any]
    millions: float


_SVD_BLOCKS = {
    "down_block_types": [*["CrossAttnDownBlockSpatioTemporal"] * 3, "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", *["CrossAttnUpBlockSpatioTemporal"] * 3],
}
_SVD_UNET = {
    "addition_time_embed_dim": 256,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "in_channels": 8,
    "layers_per_block": 2,
    "num_attention_heads": [5, 10, 20, 20],
    "out_channels": 4,
    "projection_class_embeddings_input_dim": 768,
    "sample_size": 96,
    "transformer_layers_per_block": 1,
    **_SVD_BLOCKS,
}
_SVD_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "out_channels": 3,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}
_MOTION_V3 = {
    "block_out_channels": [320, 640, 1280, 1280],
    "motion_layers_per_block": 2,
    "motion_max_seq_length": 32,
    "motion_mid_block_layers_per_block": 1,
    "motion_norm_num_groups": 32,
    "motion_num_attention_heads": 8,
    "use_motion_mid_block": False,
}
_MOCHI = {
    "activation_fn": "swiglu",
    "attention_head_dim": 128,
    "in_channels": 12,
    "max_sequence_length": 256,
    "num_attention_heads": 24,
    "num_layers": 48,
    "out_channels": None,
    "patch_size": 2,
    "pooled_projection_dim": 1536,
    "qk_norm": "rms_norm",
    "text_embed_dim": 4096,
    "time_embed_dim": 256,
}
_HUNYUAN = {
    "attention_head_dim": 128,
    "guidance_embeds": True,
    "in_channels": 16,
    "mlp_ratio": 4.0,
    "num_attention_heads": 24,
    "num_layers": 20,
    "num_refiner_layers": 2,
    "num_single_layers": 40,
    "out_channels": 16,
    "patch_size": 2,
    "patch_size_t": 1,
    "pooled_projection_dim": 768,
    "qk_norm": "rms_norm",
    "rope_axes_dim": [16, 56, 56],
    "rope_theta": 256.0,
    "text_embed_dim": 4096,
}
_WAN = {
    "added_kv_proj_dim": None,
    "attention_head_dim": 128,
    "cross_attn_norm": True,
    "eps": 1e-06,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "image_dim": None,
    "in_channels": 16,
    "num_attention_heads": 40,
    "num_layers": 40,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "text_dim": 4096,
}
_LTX = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 64,
    "attention_out_bias": True,
    "caption_channels": 4096,
    "cross_attention_dim": 2048,
    "in_channels": 128,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "num_attention_heads": 32,
    "num_layers": 28,
    "out_channels": 128,
    "patch_size": 1,
    "patch_size_t": 1,
    "qk_norm": "rms_norm_across_heads",
}
_LTX_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "decoder_causal": False,
    "encoder_causal": True,
    "in_channels": 3,
    "latent_channels": 128,
    "layers_per_block": [4, 3, 3, 3, 4],
    "out_channels": 3,
    "patch_size": 4,
    "patch_size_t": 1,
    "resnet_norm_eps": 1e-06,
    "scaling_factor": 1.0,
    "spatio_temporal_scaling": [True, True, True, False],
}
_ALLEGRO = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 96,
    "caption_channels": 4096,
    "cross_attention_dim": 2304,
    "dropout": 0.0,
    "in_channels": 4,
    "interpolation_scale_h": 2.0,
    "interpolation_scale_t": 2.2,
    "interpolation_scale_w": 2.0,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "num_attention_heads": 24,
    "num_layers": 32,
    "out_channels": 4,
    "patch_size": 2,
    "patch_size_t": 1,
    "sample_frames": 22,
    "sample_height": 90,
    "sample_width": 160,
}
_WAN_1_3B = {**_WAN, "ffn_dim": 8960, "num_attention_heads": 12, "num_layers": 30}
_WAN_I2V = {**_WAN, "added_kv_proj_dim": 5120, "image_dim": 1280, "in_channels": 36}
_WAN_VACE_1_3B = {**_WAN_1_3B, "vace_in_channels": 96, "vace_layers": list(range(0, 30, 2))}
_WAN_VACE_14B = {**_WAN, "vace_in_channels": 96, "vace_layers": list(range(0, 40, 5))}
_SKYREELS = {**_WAN, "inject_sample_info": False}
_SKYREELS_I2V = {**_SKYREELS, "added_kv_proj_dim": 5120, "image_dim": 1280, "in_channels": 36}
_SKYREELS_I2V_1_3B = {
    **_SKYREELS_I2V,
    "added_kv_proj_dim": 1536,
    "ffn_dim": 8960,
    "num_attention_heads": 12,
    "num_layers": 30,
}
_WAN_5B = {
    **_WAN,
    "ffn_dim": 14336,
    "in_channels": 48,
    "num_attention_heads": 24,
    "num_layers": 30,
    "out_channels": 48,
}
_SANA_VIDEO = {
    "attention_bias": False,
    "attention_head_dim": 112,
    "caption_channels": 2304,
    "cross_attention_dim": 2240,
    "cross_attention_head_dim": 112,
    "in_channels": 16,
    "mlp_ratio": 3.0,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "num_attention_heads": 20,
    "num_cross_attention_heads": 20,
    "num_layers": 20,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "sample_size": 30,
}

PUBLISHED = [
    Published(
        "stabilityai/stable-video-diffusion-img2vid",
        "UNetSpatioTemporalConditionModel",
        {**_SVD_UNET, "num_frames": 14},
        1525,
    ),
    Published(
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "UNetSpatioTemporalConditionModel",
        {**_SVD_UNET, "num_frames": 25},
        1525,
    ),
    Published(
        "stabilityai/stable-video-diffusion-img2vid-xt", "AutoencoderKLTemporalDecoder", _SVD_VAE, 97.7
    ),
    Published("guoyww/animatediff-motion-adapter-v1-5-3", "MotionAdapter", _MOTION_V3, 417),
    Published(
        "guoyww/animatediff-motion-adapter-v1-5-2",
        "MotionAdapter",
        {**_MOTION_V3, "use_motion_mid_block": True},
        453,
    ),
    Published("genmo/mochi-1-preview", "MochiTransformer3DModel", _MOCHI, 10028),
    Published("hunyuanvideo-community/HunyuanVideo", "HunyuanVideoTransformer3DModel", _HUNYUAN, 12821),
    Published(
        "hunyuanvideo-community/HunyuanVideo-I2V",
        "HunyuanVideoTransformer3DModel",
        {**_HUNYUAN, "image_condition_type": "token_replace"},
        12821,
    ),
    Published("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "WanTransformer3DModel", _WAN_1_3B, 1419),
    Published("Wan-AI/Wan2.1-T2V-14B-Diffusers", "WanTransformer3DModel", _WAN, 14288),
    Published("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "WanTransformer3DModel", _WAN_I2V, 16395),
    Published("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "WanTransformer3DModel", _WAN_5B, 5000),
    Published("Wan-AI/Wan2.1-VACE-1.3B-diffusers", "WanVACETransformer3DModel", _WAN_VACE_1_3B, 2154),
    Published("Wan-AI/Wan2.1-VACE-14B-diffusers", "WanVACETransformer3DModel", _WAN_VACE_14B, 17338),
    Published("Skywork/SkyReels-V2-T2V-14B-540P-Diffusers", "SkyReelsV2Transformer3DModel", _SKYREELS, 14288),
    Published(
        "Skywork/SkyReels-V2-I2V-14B-540P-Diffusers", "SkyReelsV2Transformer3DModel", _SKYREELS_I2V, 16395
    ),
    Published(
        "Skywork/SkyReels-V2-I2V-1.3B-540P-Diffusers",
        "SkyReelsV2Transformer3DModel",
        _SKYREELS_I2V_1_3B,
        1564,
    ),
    Published(
        "Efficient-Large-Model/SANA-Video_2B_480p_diffusers", "SanaVideoTransformer3DModel", _SANA_VIDEO, 2057
    ),
    Published("Lightricks/LTX-Video", "LTXVideoTransformer3DModel", _LTX, 1923),
    Published("Lightricks/LTX-Video", "AutoencoderKLLTXVideo", _LTX_VAE, 419),
    Published("rhymes-ai/Allegro", "AllegroTransformer3DModel", _ALLEGRO, 2772),
]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: f"{p.repo}-{p.class_name}")
def test_every_key_is_read_and_the_size_is_as_published(published: Published) -> None:
    cls = getattr(importlib.import_module("diffusers"), published.class_name)
    with torch.device("meta"):
        net, unused = cls.from_config(published.config, return_unused_kwargs=True)
    assert unused == {}
    assert {key: net.config[key] for key in published.config} == published.config
    millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    assert millions == pytest.approx(published.millions, rel=0.001)


def test_wan_vae_is_the_class_default() -> None:
    with torch.device("meta"):
        vae = AutoencoderKLWan()
    assert sum(parameter.numel() for parameter in vae.parameters()) / 1e6 == pytest.approx(127, rel=0.005)
