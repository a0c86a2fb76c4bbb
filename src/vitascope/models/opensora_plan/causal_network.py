"""Encoder and decoder of Open-Sora-Plan's causal video autoencoder, of the blocks that a config names.

The parameter names are upstream's.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0,
opensora/models/causalvideovae/model/causal_vae/modeling_causalvae.py, MIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.models.opensora_plan.causal_blocks import (
    ATTENTIONS,
    CONVOLUTIONS,
    RESNET_BLOCKS,
    SPATIAL_RESIZERS,
    TIME_RESIZERS,
    block_class,
)
from vitascope.models.wf_vae.blocks import normalization

RGB = 3


@dataclass(frozen=True)
class Half:
    """Configuration of the encoder or the decoder: widths in channels, and blocks by upstream's names.

    `widths` is that of the outermost convolution and then of each level, outermost first; so are `blocks`
    and the resizers, "" for none.
    """

    widths: Sequence[int]
    latent_channels: int
    num_blocks: int
    conv_in: str
    conv_out: str
    blocks: Sequence[str]
    spatial_resizers: Sequence[str]
    time_resizers: Sequence[str]
    mid_block: str
    attention: str

    def level(self, index: int, in_channels: int, resizer: str) -> Level:
        """The blocks of one resolution, with its resizers under `resizer` and `time_resizer`."""
        width, make = self.widths[index + 1], block_class(RESNET_BLOCKS, self.blocks[index])
        resizers = {}
        if spatial := self.spatial_resizers[index]:
            resizers[resizer] = block_class(SPATIAL_RESIZERS, spatial)(width)
        if temporal := self.time_resizers[index]:
            resizers[f"time_{resizer}"] = block_class(TIME_RESIZERS, temporal)(width)
        return Level([make(width if i else in_channels, width) for i in range(self.num_blocks)], resizers)

    def convolution(self, name: str, in_channels: int, out_channels: int) -> nn.Module:
        """The first or last convolution."""
        return block_class(CONVOLUTIONS, name)(in_channels, out_channels, 3, padding=1)


class Level(nn.Module):
    """The blocks of one resolution, and what leads to the next."""

    def __init__(self, blocks: Sequence[nn.Module], resizers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.resizers = tuple(resizers)
        for name, resizer in resizers.items():
            self.add_module(name, resizer)

    def forward(self, x: Tensor, *, resize: bool) -> Tensor:
        """Run the blocks, and then, if told to, go to the next level's resolution."""
        for block in self.block:
            x = block(x)
        for name in self.resizers if resize else ():
            x = self.get_submodule(name)(x)
        return x


class Middle(nn.Module):
    """Two blocks and attention between them, at the lowest resolution."""

    def __init__(self, half: Half) -> None:
        super().__init__()
        width, make = half.widths[-1], block_class(RESNET_BLOCKS, half.mid_block)
        self.block_1 = make(width, width)
        self.attn_1 = block_class(ATTENTIONS, half.attention)(width)
        self.block_2 = make(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        return self.block_2(self.attn_1(self.block_1(x)))


class CausalEncoder(nn.Module):
    """Clip to features of its latents. Shape: B 3 T H W -> B latent_channels t h w."""

    def __init__(self, half: Half) -> None:
        super().__init__()
        self.conv_in = half.convolution(half.conv_in, RGB, half.widths[0])
        self.down = nn.ModuleList(
            half.level(index, half.widths[index], "downsample") for index in range(len(half.blocks))
        )
        self.mid = Middle(half)
        self.norm_out = normalization(half.widths[-1], "groupnorm")
        self.conv_out = half.convolution(half.conv_out, half.widths[-1], half.latent_channels)

    def forward(self, clip: Tensor) -> Tensor:
        """Encode."""
        h = self.conv_in(clip)
        *levels, last = self.down
        for level in levels:
            h = level(h, resize=True)
        # Upstream ignores a resizer of the last level.
        h = self.mid(last(h, resize=False))
        return self.conv_out(F.silu(self.norm_out(h)))


class CausalDecoder(nn.Module):
    """Features of latents to a clip. Shape: B latent_channels t h w -> B 3 T H W."""

    def __init__(self, half: Half) -> None:
        super().__init__()
        widths = [*half.widths, half.widths[-1]]
        self.conv_in = half.convolution(half.conv_in, half.latent_channels, widths[-1])
        self.mid = Middle(half)
        self.up = nn.ModuleList(
            half.level(index, widths[index + 2], "upsample") for index in range(len(half.blocks))
        )
        self.norm_out = normalization(widths[1], "groupnorm")
        self.conv_out = half.convolution(half.conv_out, widths[1], RGB)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode."""
        h = self.mid(self.conv_in(latents))
        for level in reversed(self.up):
            h = level(h, resize=True)
        return self.conv_out(F.silu(self.norm_out(h)))
