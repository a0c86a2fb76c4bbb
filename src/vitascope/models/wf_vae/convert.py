"""Published WF-VAE weights and configs -> `AutoencoderKLWFVAE`.

Source: config keys and parameter names of github.com/PKU-YuanGroup/WF-VAE at d858bee8 (Apache-2.0) and
github.com/PKU-YuanGroup/Open-Sora-Plan at v1.3.1 (MIT), causalvideovae/model/vae/modeling_wfvae.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vitascope.errors import InvalidMedia
from vitascope.models.checkpoints import Tensors, load_exactly, read_config, read_tensors, resolve
from vitascope.models.wf_vae.autoencoder import AutoencoderKLWFVAE

WF_VAE_L = "chestnutlzj/WF-VAE-L-16Chn"
UPSTREAM_CLASS = "WFVAEModel"

# Arguments of `AutoencoderKLWFVAE` for each published model, for weights that come without a config.
PUBLISHED: dict[str, dict[str, Any]] = {
    "open-sora-plan-1.3": {},
    "wf-vae-l-16ch": {
        "latent_channels": 16,
        "base_channels": 192,
        "encoder_flow_channels": 128,
        "num_connect_blocks": 1,
        "scaling_factor": None,
        "shift_factor": None,
    },
    "open-sora-plan-1.5": {
        "latent_channels": 32,
        "base_channels": 160,
        "encoder_flow_channels": 128,
        "num_connect_blocks": 1,
        "temporal_compression_ratio": 8,
        "scaling_factor": None,
        "shift_factor": None,
    },
}

RENAMED = {
    "latent_dim": "latent_channels",
    "base_channels": "base_channels",
    "encoder_num_resblocks": "encoder_num_blocks",
    "encoder_energy_flow_hidden_size": "encoder_flow_channels",
    "decoder_num_resblocks": "decoder_num_blocks",
    "decoder_energy_flow_hidden_size": "decoder_flow_channels",
    "connect_res_layer_num": "num_connect_blocks",
    "use_attention": "use_attention",
    "norm_type": "norm_type",
    "t_interpolation": "time_interpolation",
}
# What a key that is not in config.json means upstream.
UPSTREAM_DEFAULTS: dict[str, Any] = {"norm_type": "groupnorm", "t_interpolation": "nearest"}

FIRST_LEVEL = ("l1_dowmsample_block", "l1_downsample_wavelet", "l1_upsample_block", "l1_upsample_wavelet")
SECOND_LEVEL = tuple(key.replace("l1", "l2") for key in FIRST_LEVEL)
IN_SPACE = ("Downsample", "HaarWaveletTransform2D", "Upsample", "InverseHaarWaveletTransform2D")
IN_SPACE_AND_TIME = (
    "Spatial2xTime2x3DDownsample",
    "HaarWaveletTransform3D",
    "Spatial2xTime2x3DUpsample",
    "InverseHaarWaveletTransform3D",
)


def config_from_upstream(config: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Upstream's `config.json` as arguments of `AutoencoderKLWFVAE`.

    The number of connecting blocks is counted in the weights where the config does not tell it.
    Raises: InvalidMedia for another network's config, or a WF-VAE that was never published.
    """
    named = config.get("_class_name", UPSTREAM_CLASS)
    if named != UPSTREAM_CLASS:
        raise InvalidMedia(f"config.json is of {named}, not of {UPSTREAM_CLASS}")
    known = {**UPSTREAM_DEFAULTS, "connect_res_layer_num": _count_connect_blocks(tensors), **config}
    ours = {RENAMED[key]: value for key, value in known.items() if key in RENAMED}
    ours["temporal_compression_ratio"] = _temporal_compression_ratio(config)
    for theirs, name in (("scale", "scaling_factor"), ("shift", "shift_factor")):
        ours[name] = _latent_statistics(config.get(theirs), ours.get("latent_channels", 8))
    return ours


def tensors_from_upstream(tensors: Tensors) -> Tensors:
    """Upstream's state dict with our names: the same ones, less the constant wavelet filters and any loss."""
    return {
        key: tensor
        for key, tensor in tensors.items()
        if "wavelet_tran" not in key and not key.startswith("loss")
    }


def load_wf_vae(
    source: str | os.PathLike[str] = WF_VAE_L,
    subfolder: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> AutoencoderKLWFVAE:
    """Load a published WF-VAE: a hub id, a folder, or (with `config`, one of `PUBLISHED`) a weights file.

    Raises: WeightsMissing, NoNetwork, InvalidMedia.
    """
    location = resolve(source, subfolder)
    upstream = {} if config is not None else read_config(location)
    if upstream.get("_class_name") == AutoencoderKLWFVAE.__name__:
        return AutoencoderKLWFVAE.from_pretrained(location, torch_dtype=dtype)
    tensors = read_tensors(location)
    if config is None:
        config = config_from_upstream(upstream, tensors)
    with torch.device("meta"):
        vae = AutoencoderKLWFVAE(**config)
    load_exactly(vae, tensors_from_upstream(tensors), dtype)
    return vae.eval()


def _count_connect_blocks(tensors: Tensors) -> int:
    prefix = "decoder.connect_l1."
    return len({key.removeprefix(prefix).split(".")[0] for key in tensors if key.startswith(prefix)}) - 1


def _temporal_compression_ratio(config: Mapping[str, Any]) -> int:
    first = tuple(config.get(key, default) for key, default in zip(FIRST_LEVEL, IN_SPACE, strict=True))
    second = tuple(config.get(key, d) for key, d in zip(SECOND_LEVEL, IN_SPACE_AND_TIME, strict=True))
    ratios = {IN_SPACE: 4, IN_SPACE_AND_TIME: 8}
    if first not in ratios or second != IN_SPACE_AND_TIME:
        raise InvalidMedia(f"no published WF-VAE has the levels {first} and {second}")
    return ratios[first]


def _latent_statistics(numbers: Sequence[float] | None, latent_channels: int) -> list[float] | None:
    """One number a channel; a list of another length is a leftover of training and tells nothing."""
    if numbers is None or len(numbers) != latent_channels:
        return None
    return [float(number) for number in numbers]
