"""Published Open-Sora-Plan configs and state dicts -> ours.

Source: config keys and parameter names of github.com/PKU-YuanGroup/Open-Sora-Plan, MIT: v1.2.0 and 842435c0
opensora/models/diffusion/opensora/, v1.3.1 opensora/models/diffusion/opensora_v1_3/.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitascope.errors import InvalidMedia
from vitascope.models.checkpoints import Tensors
from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo

TEXT_TO_VIDEO = ("OpenSoraT2V", "OpenSoraT2V_v1_3")
INPAINTING = ("OpenSoraInpaint", "OpenSoraInpaint_v1_3")
UPSTREAM_CLASSES = TEXT_TO_VIDEO + INPAINTING
VAE_CLASS = "CausalVAEModel"

SAME_NAME = (
    "patch_size",
    "patch_size_t",
    "num_attention_heads",
    "attention_head_dim",
    "num_layers",
    "dropout",
    "cross_attention_dim",
    "attention_bias",
    "activation_fn",
    "norm_elementwise_affine",
    "norm_eps",
    "caption_channels",
)
# Config keys of which every published checkpoint has one value; another value is another network.
FIXED = {
    "downsampler": None,
    "norm_type": "ada_norm_single",
    "only_cross_attention": False,
    "double_self_attention": False,
}
MASKED_CLIP_EMBEDS = ("pos_embed_masked_video", "pos_embed_masked_hidden_states")
MASK_EMBED = "pos_embed_mask"


def config_from_upstream(config: Mapping[str, Any], class_name: str | None = None) -> dict[str, Any]:
    """Upstream's `config.json` as arguments of `OpenSoraPlanTransformer3DModel`.

    Raises: InvalidMedia for another network's config.
    """
    named = class_name or config.get("_class_name")
    if named not in UPSTREAM_CLASSES:
        raise InvalidMedia(f"config.json is of {named}, not of any of {', '.join(UPSTREAM_CLASSES)}")
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise InvalidMedia(f"{key}={config[key]!r}: no published Open-Sora-Plan denoiser has this")
    ours = {key: config[key] for key in SAME_NAME if key in config}
    height, width = _sample_size(config)
    ours |= {"sample_height": height, "sample_width": width, "sample_frames": config["sample_size_t"]}
    ours |= _position_scales(config, height, width)
    ours["in_channels"] = config["in_channels"]
    ours["out_channels"] = config.get("out_channels") or config["in_channels"]
    ours["use_rope"] = named.endswith("_v1_3") or bool(config.get("use_rope"))
    ours["sparse_stride"] = config["sparse_n"] if config.get("sparse1d") else 1
    if named in INPAINTING:
        if not ours["use_rope"]:
            raise InvalidMedia("use_rope=False: no published inpainting denoiser is without rotary positions")
        ours["in_channels"] = 2 * config["in_channels"] + config.get("vae_scale_factor_t", 4)
    return ours


def tensors_from_upstream(tensors: Tensors) -> Tensors:
    """Upstream's state dict with our names.

    An inpainting model embeds latents, masked clip and mask apart and sums them; as all of it is linear, one
    wider patch embedding does the same.
    """
    ours = dict(tensors)
    weights, biases = [], []
    for name in (*MASKED_CLIP_EMBEDS, MASK_EMBED):
        if f"{name}.0.proj.weight" in ours:
            mix = ours.pop(f"{name}.1.weight")
            weights.append(_mixed(mix, ours.pop(f"{name}.0.proj.weight")))
            biases.append(_mixed(mix, ours.pop(f"{name}.0.proj.bias")))
    if weights:
        own_weight, own_bias = ours["pos_embed.proj.weight"], ours["pos_embed.proj.bias"]
        ours["pos_embed.proj.weight"] = torch.cat([own_weight, *weights], dim=1)
        ours["pos_embed.proj.bias"] = own_bias + sum(biases)
    return ours


def _mixed(mix: Tensor, embedding: Tensor) -> Tensor:
    """An embedding and the linear layer after it, as one embedding; summed in float32."""
    return torch.tensordot(mix.float(), embedding.float(), dims=1).to(embedding.dtype)


def _sample_size(config: Mapping[str, Any]) -> tuple[int, int]:
    if "sample_size_h" in config:
        return config["sample_size_h"], config["sample_size_w"]
    size = config["sample_size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _position_scales(config: Mapping[str, Any], height: int, width: int) -> dict[str, float]:
    """The scale of each axis of positions, by upstream's rule where the config has none."""
    frames = config["sample_size_t"]
    rule = {
        "interpolation_scale_t": (frames - 1) // 16 + 1 if frames % 2 else frames / 16,
        "interpolation_scale_h": height / 30,
        "interpolation_scale_w": width / 40,
    }
    return {key: value if config.get(key) is None else config[key] for key, value in rule.items()}


def vae_config_from_upstream(config: Mapping[str, Any]) -> dict[str, Any]:
    """Upstream's `config.json` of a `CausalVAEModel` as arguments of `AutoencoderKLCausalVideo`.

    Raises: InvalidMedia for another network's config.
    """
    named = config.get("_class_name", VAE_CLASS)
    if named != VAE_CLASS:
        raise InvalidMedia(f"config.json is of {named}, not of {VAE_CLASS}")
    if config.get("attn_resolutions"):
        raise InvalidMedia(f"attn_resolutions={config['attn_resolutions']}: no published {VAE_CLASS} has any")
    known = inspect.signature(AutoencoderKLCausalVideo.__init__).parameters
    return {key: value for key, value in config.items() if key in known}


def vae_tensors_from_upstream(tensors: Tensors) -> Tensors:
    """Upstream's state dict of a `CausalVAEModel`, less the losses that it was trained with."""
    return {key: tensor for key, tensor in tensors.items() if "loss" not in key}
