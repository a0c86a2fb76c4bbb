"""Features of both frames that can be compared across the whole picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.layers import attend
from vitascope.models.sgm_vfi.positions import sine_position

PATCH = 16


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, instance-normalised."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.InstanceNorm2d(channels)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == channels
            else nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride), nn.InstanceNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map after both convolutions and the shortcut."""
        inner = F.relu(self.norm(self.conv1(x)))
        inner = F.relu(self.norm(self.conv2(inner)))
        return F.relu(self.shortcut(x) + inner)


class FrameEncoder(nn.Module):
    """One frame alone, down to 1/8 size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels * 3 // 4
        self.conv1 = nn.Conv2d(3, half, 7, 2, 3, bias=False)
        self.norm = nn.InstanceNorm2d(half)
        self.blocks = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, after, stride), ResidualBlock(after, after, 1))
            for before, after, stride in ((half, half, 1), (half, quarter, 2), (quarter, channels, 2))
        )
        self.conv2 = nn.Conv2d(channels, channels, 1)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Features at 1/8 size, each frame for itself."""
        x = F.relu(self.norm(self.conv1(frames)))
        for block in self.blocks:
            x = block(x)
        return self.conv2(x)


class Attention(nn.Module):
    """Single-head attention over a whole map; gives the normalised message, adds nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, channels, bias=False)
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.norm1 = nn.LayerNorm(channels)

    def forward(
        self, source: Float[Tensor, "B N C"], target: Float[Tensor, "B N C"]
    ) -> Float[Tensor, "B N C"]:
        """What `source` learns from `target`."""
        message = attend(self.q_proj(source), self.k_proj(target), self.v_proj(target))
        return self.norm1(self.merge(message))


class CrossAttention(Attention):
    """Attention to the other frame, followed by a feed-forward layer that sees source and message."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.mlp = nn.Sequential(
            nn.Linear(2 * channels, 8 * channels, bias=False),
            nn.GELU(),
            nn.Linear(8 * channels, channels, bias=False),
        )
        self.norm2 = nn.LayerNorm(channels)

    def forward(
        self, source: Float[Tensor, "B N C"], target: Float[Tensor, "B N C"]
    ) -> Float[Tensor, "B N C"]:
        """What `source` learns from `target`, worked over together with it."""
        message = super().forward(source, target)
        return self.norm2(self.mlp(torch.cat((source, message), dim=-1)))


class MatchingLayer(nn.Module):
    """Look around in one's own frame, then in the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attention = Attention(channels)
        self.cross_attention = CrossAttention(channels)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """`source` after it has looked at itself and at `target`. Shape: (B, N, C)."""
        source = source + self.self_attention(source, source)
        return source + self.cross_attention(source, target)


class MatchingFeatures(nn.Module):
    """The feature half of GMFlow: a map at 1/8 size in which equal things have equal features.

    Frames are taken as they are, in [0, 1]: unlike GMFlow itself, upstream applies no ImageNet
    normalisation, and its weights were tuned so.

    Source: Xu et al., "GMFlow: Learning Optical Flow via Global Matching", CVPR 2022, sections 3.1 to
    3.2; MCG-NJU/SGM-VFI @40b5e74, model/gmflow.py, backbone.py, transformer.py, Apache-2.0.
    """

    def __init__(self, config: SGMVFIConfig) -> None:
        super().__init__()
        self.encoder = FrameEncoder(config.matching_channels)
        self.layers = nn.ModuleList(
            MatchingLayer(config.matching_channels) for _ in range(config.matching_layers)
        )

    def forward(self, frames: Float[Tensor, "B2 3 H W"]) -> Float[Tensor, "B2 C h w"]:
        """Shape: all first frames, then all second frames, height and width multiples of 8."""
        rows, columns = frames.shape[-2] // 8, frames.shape[-1] // 8
        pad_height, pad_width = -frames.shape[-2] % PATCH, -frames.shape[-1] % PATCH
        top, left = pad_height // 2, pad_width // 2
        padded = F.pad(frames, (left, pad_width - left, top, pad_height - top), mode="replicate")
        x = self.encoder(padded)
        height, width = x.shape[-2:]
        x = x + sine_position(height, width, x.shape[1], x.device).to(x.dtype)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x, torch.cat(x.chunk(2)[::-1]))
        x = x.transpose(1, 2).unflatten(2, (height, width))
        top, left = (height - rows) // 2, (width - columns) // 2
        return x[..., top : top + rows, left : left + columns].contiguous()
