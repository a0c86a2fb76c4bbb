"""Faster training of CogVideoX's autoencoder: the same sums in a better order.

Channels-last memory, normalisation and its spatial modulation as one multiply-add, and the modulation's
1x1 convolutions at the latents' size (they commute with nearest upsampling).

Source: computes what diffusers 0.42.1 `models/autoencoders/autoencoder_kl_cogvideox.py`,
`models/downsampling.py` and `models/upsampling.py` compute (Apache-2.0); checked by
tests/training/test_embedded.py.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSpatialNorm3D
from diffusers.models.downsampling import CogVideoXDownsample3D
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn


def _moments(x: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation per channel, shared within groups. Shape: (B, C, 1, 1, 1)."""
    batch, channels = x.shape[:2]
    with torch.autocast(x.device.type, enabled=False):
        mean = x.mean(dim=(2, 3, 4), dtype=torch.float32).view(batch, groups, -1).mean(-1, keepdim=True)
        size = torch.linalg.vector_norm(x, dim=(2, 3, 4), dtype=torch.float32).square() / x[0, 0].numel()
    var = size.view(batch, groups, -1).mean(-1, keepdim=True) - mean.square()
    scale = (var.clamp_min(0) + eps).rsqrt()
    repeat = (batch, groups, channels // groups)
    shape = (batch, channels, 1, 1, 1)
    return mean.expand(repeat).reshape(shape), scale.expand(repeat).reshape(shape)


def _group_norm(self: nn.GroupNorm, x: Tensor) -> Tensor:
    mean, scale = _moments(x, self.num_groups, self.eps)
    scale = scale * self.weight.view(1, -1, 1, 1, 1)
    offset = self.bias.view(1, -1, 1, 1, 1) - mean * scale
    return torch.addcmul(offset.to(x.dtype), x, scale.to(x.dtype))


def _frames_of(latent_frames: int, frames: int, device: torch.device) -> Tensor:
    """Which latent frame each frame takes its modulation from."""
    if frames > 1 and frames % 2 == 1:
        rest = torch.arange(frames - 1, device=device) * (latent_frames - 1) // (frames - 1) + 1
        return torch.cat([rest.new_zeros(1), rest])
    return torch.arange(frames, device=device) * latent_frames // frames


def _spatial_norm(
    self: CogVideoXSpatialNorm3D,
    f: Tensor,
    zq: Tensor,
    conv_cache: dict[str, Tensor] | None = None,  # noqa: ARG001
) -> tuple[Tensor, dict[str, Any]]:
    gain, bias = self.conv_y.conv(zq).float(), self.conv_b.conv(zq).float()
    mean, scale = _moments(f, self.norm_layer.num_groups, self.norm_layer.eps)
    scale = scale * self.norm_layer.weight.view(1, -1, 1, 1, 1)
    offset = self.norm_layer.bias.view(1, -1, 1, 1, 1) - mean * scale
    frames = _frames_of(zq.shape[2], f.shape[2], f.device)
    factor = (gain * scale).to(f.dtype).index_select(2, frames)
    shift = (gain * offset + bias).to(f.dtype).index_select(2, frames)
    batch, channels, time, height, width = f.shape
    rows, columns = factor.shape[-2:]
    blocks = f.view(batch, channels, time, rows, height // rows, columns, width // columns)
    out = torch.addcmul(shift[:, :, :, :, None, :, None], blocks, factor[:, :, :, :, None, :, None])
    return out.reshape(f.shape), {"conv_y": None, "conv_b": None}


def _by_frame(conv: nn.Module, x: Tensor) -> Tensor:
    batch, _, time = x.shape[:3]
    flat = x.transpose(1, 2).flatten(0, 1)
    return conv(flat).unflatten(0, (batch, time)).transpose(1, 2)


def _downsample(self: CogVideoXDownsample3D, x: Tensor) -> Tensor:
    if self.compress_time:
        first = x.shape[2] % 2
        rest = x[:, :, first:]
        rest = rest.unflatten(2, (-1, 2)).mean(3) if rest.shape[2] else rest
        x = torch.cat([x[:, :, :1], rest], dim=2) if first else rest
    return _by_frame(self.conv, F.pad(x, (0, 1, 0, 1)))


def _upsample(self: CogVideoXUpsample3D, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 4, 1)
    if self.compress_time and x.shape[1] > 1:
        frames = torch.arange(2 * x.shape[1] - x.shape[1] % 2, device=x.device)
        x = x.index_select(1, (frames + x.shape[1] % 2) // 2)
    batch, time, height, width, channels = x.shape
    x = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2, -1)
    x = x.reshape(batch, time, 2 * height, 2 * width, channels).permute(0, 4, 1, 2, 3)
    return _by_frame(self.conv, x)


def speed_up(vae: AutoencoderKLCogVideoX) -> AutoencoderKLCogVideoX:
    """Make an autoencoder train faster, in place, without changing what it computes."""
    faster: dict[type[nn.Module], Any] = {
        CogVideoXSpatialNorm3D: _spatial_norm,
        CogVideoXDownsample3D: _downsample,
        CogVideoXUpsample3D: _upsample,
        nn.GroupNorm: _group_norm,
    }
    for module in vae.modules():
        if type(module) in faster:
            module.forward = MethodType(faster[type(module)], module)
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            last = torch.channels_last_3d if module.weight.ndim == 5 else torch.channels_last
            module.weight.data = module.weight.data.contiguous(memory_format=last)
    return vae
