"""Gives checkpoints as Open-Sora published them the names of our modules.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/models/stdit/stdit3.py and
opensora/models/vae/, Apache-2.0.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

# Upstream name -> ours; each pattern is tried in this order. Braces name the parts of a fused projection.
_STDIT3_NAMES = (
    (r"^x_embedder\.proj\.", "patch_embed."),
    (r"^t_embedder\.mlp\.0\.", "time_embed.linear_1."),
    (r"^t_embedder\.mlp\.2\.", "time_embed.linear_2."),
    (r"^fps_embedder\.mlp\.0\.", "fps_embed.linear_1."),
    (r"^fps_embedder\.mlp\.2\.", "fps_embed.linear_2."),
    (r"^t_block\.1\.", "modulation."),
    (r"^y_embedder\.y_proj\.fc([12])\.", r"caption_projection.linear_\1."),
    (r"^y_embedder\.y_embedding$", "null_caption"),
    (r"^rope\.freqs$", "rope_frequencies"),
    (r"^final_layer\.scale_shift_table$", "scale_shift_table"),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^spatial_blocks\.", "transformer_blocks."),
    (r"^temporal_blocks\.", "temporal_transformer_blocks."),
    (r"\.mlp\.fc1\.", ".ff.net.0.proj."),
    (r"\.mlp\.fc2\.", ".ff.net.2."),
    (r"\.attn\.([qk])_norm\.", r".attn1.norm_\1."),
    (r"\.attn\.qkv\.", ".attn1.to_{q,k,v}."),
    (r"\.attn\.proj\.", ".attn1.to_out.0."),
    (r"\.cross_attn\.q_linear\.", ".attn2.to_q."),
    (r"\.cross_attn\.kv_linear\.", ".attn2.to_{k,v}."),
    (r"\.cross_attn\.proj\.", ".attn2.to_out.0."),
)

_VAE_NAMES = (
    (r"^spatial_vae\.module\.", "spatial_vae."),
    (r"^(temporal_vae\..*)\.conv\.(weight|bias)$", r"\1.\2"),
    (r"^(temporal_vae\.\w+)\.block_res_blocks\.", r"\1.levels."),
    (r"^(temporal_vae\.\w+)\.res_blocks\.", r"\1.mid."),
    (r"^temporal_vae\.encoder\.conv_blocks\.", "temporal_vae.encoder.downsamplers."),
    (r"^temporal_vae\.decoder\.conv_blocks\.", "temporal_vae.decoder.upsamplers."),
    (r"^(temporal_vae\.\w+)\.norm1\.", r"\1.norm_out."),
    (r"^temporal_vae\.encoder\.conv2\.", "temporal_vae.encoder.conv_out."),
    (r"^temporal_vae\.decoder\.conv1\.", "temporal_vae.decoder.conv_in."),
    (r"^(temporal_vae\..*)\.conv3\.", r"\1.shortcut."),
)


def convert_stdit3(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published STDiT3 state dict, and cut fused projections into queries, keys and values."""
    return _rename(state, _STDIT3_NAMES)


def convert_vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published OpenSoraVAE_V1_2 state dict."""
    return _rename(state, _VAE_NAMES)


def _rename(state: Mapping[str, Tensor], names: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for upstream, tensor in state.items():
        name = upstream
        for pattern, ours in names:
            name = re.sub(pattern, ours, name)
        if fused := re.search(r"\{(.*)\}", name):
            parts = fused[1].split(",")
            for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
                renamed[name.replace(fused[0], part)] = piece
        else:
            renamed[name] = tensor
    return renamed


def stdit3_config(published: Mapping[str, Any]) -> dict[str, Any]:
    """Translate STDiT3's published config.json; what only steers upstream's training is left behind."""
    heads = published.get("num_heads", 16)
    channels = published.get("in_channels", 4)
    return {
        "num_attention_heads": heads,
        "attention_head_dim": published.get("hidden_size", 1152) // heads,
        "num_layers": published.get("depth", 28),
        "in_channels": channels,
        "out_channels": 2 * channels if published.get("pred_sigma", True) else channels,
        "patch_size": tuple(published.get("patch_size", (1, 2, 2))),
        "mlp_ratio": published.get("mlp_ratio", 4.0),
        "qk_norm": published.get("qk_norm", True),
        "caption_channels": published.get("caption_channels", 4096),
        "caption_length": published.get("model_max_length", 300),
        "base_resolution": published.get("input_sq_size", 512),
    }


def vae_config(published: Mapping[str, Any]) -> dict[str, Any]:
    """Translate OpenSoraVAE_V1_2's published config.json, which does not say how big its networks are."""
    return {
        "frames_per_chunk": published.get("micro_frame_size", 17),
        "latents_mean": tuple(published.get("shift", (-0.10, 0.34, 0.27, 0.98))),
        "latents_std": tuple(published.get("scale", (3.85, 2.32, 2.33, 3.06))),
    }


def vae_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """How wide and deep the VAE is whose tensors, under our names, these are."""

    def widths(template: str) -> tuple[int, ...]:
        names = itertools.takewhile(tensors.__contains__, map(template.format, itertools.count()))
        return tuple(tensors[name].shape[0] for name in names)

    temporal = widths("temporal_vae.encoder.levels.{}.0.conv1.weight")
    return {
        "spatial_block_out_channels": widths("spatial_vae.encoder.down_blocks.{}.resnets.0.conv1.weight"),
        "spatial_layers_per_block": len(widths("spatial_vae.encoder.down_blocks.0.resnets.{}.conv1.weight")),
        "temporal_block_out_channels": temporal,
        "temporal_layers_per_block": len(widths("temporal_vae.encoder.levels.0.{}.conv1.weight")),
        "temporal_downsample": tuple(
            f"temporal_vae.encoder.downsamplers.{level}.weight" in tensors
            for level in range(len(temporal) - 1)
        ),
    }
