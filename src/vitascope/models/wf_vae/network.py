"""Encoder and decoder of WF-VAE: a convolutional trunk beside a shortcut of wavelet sub-bands.

The parameter names are upstream's; its fixed wavelet filters are arithmetic here (`wavelet`).

Source: WF-VAE (Li et al. 2024, arXiv 2411.17459, section 3.2); github.com/PKU-YuanGroup/WF-VAE at d858bee8,
causalvideovae/model/vae/modeling_wfvae.py, Apache-2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.models.wf_vae.blocks import (
    CausalConv3d,
    CausalResnetBlock,
    FrameAttention,
    FrameConv2d,
    FrameResnetBlock,
    NormType,
    SpatialDownsample,
    SpatialUpsample,
    SpatioTemporalDownsample,
    SpatioTemporalUpsample,
    TimeInterpolation,
    normalization,
)
from vitascope.models.wf_vae.stream import StreamSequential, TemporalStream, whole_clip
from vitascope.models.wf_vae.wavelet import haar_2d, haar_3d, inverse_haar_2d, inverse_haar_3d

RGB = 3
BANDS_2D, BANDS_3D = 4 * RGB, 8 * RGB


@dataclass(frozen=True)
class Widths:
    """How wide one half of the autoencoder is, and of what it is made.

    `flow_channels` is the width of the wavelet shortcut where it joins (encoder) or leaves (decoder) the
    trunk. `halves_time_twice`: whether the first level works in time too (8x8x8 and not 4x8x8 compression).
    """

    latent_channels: int
    base_channels: int
    flow_channels: int
    num_blocks: int
    use_attention: bool
    norm_type: NormType
    halves_time_twice: bool

    def level_bands(self) -> int:
        """Sub-band channels of the first level's wavelet transform."""
        return BANDS_3D if self.halves_time_twice else BANDS_2D

    def middle(self, in_channels: int, out_channels: int) -> StreamSequential:
        """Two blocks at the trunk's widest, with attention between them if the network has any."""
        width = 4 * self.base_channels
        attention = [FrameAttention(width, self.norm_type)] if self.use_attention else []
        return StreamSequential(
            CausalResnetBlock(in_channels, width, self.norm_type),
            *attention,
            CausalResnetBlock(width, out_channels, self.norm_type),
        )


class Coded(NamedTuple):
    """What one pass gives: moments or clip, and both levels' sub-bands, which a wavelet loss compares."""

    sample: Tensor
    level1: Tensor
    level2: Tensor


class Encoder(nn.Module):
    """Clip to the moments of its latents. Shape: B 3 T H W -> B 2c t h w."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        base, flow, norm_type = widths.base_channels, widths.flow_channels, widths.norm_type
        self.halves_time_twice = widths.halves_time_twice
        self.down1 = StreamSequential(
            FrameConv2d(BANDS_3D, base, 3, padding=1),
            *(FrameResnetBlock(base, base, norm_type) for _ in range(widths.num_blocks)),
            SpatioTemporalDownsample(base) if widths.halves_time_twice else SpatialDownsample(base),
        )
        self.down2 = StreamSequential(
            FrameConv2d(base + flow, 2 * base, 3, padding=1),
            *(CausalResnetBlock(2 * base, 2 * base, norm_type) for _ in range(widths.num_blocks)),
            SpatioTemporalDownsample(2 * base),
        )
        self.connect_l1 = FrameConv2d(widths.level_bands(), flow, 3, padding=1)
        self.connect_l2 = FrameConv2d(BANDS_3D, flow, 3, padding=1)
        self.mid = widths.middle(2 * base + flow, 4 * base)
        self.norm_out = normalization(4 * base, norm_type)
        self.conv_out = CausalConv3d(4 * base, 2 * widths.latent_channels, padding=1)

    def forward(self, clip: Tensor, stream: TemporalStream | None = None) -> Coded:
        """Encode one chunk of `stream`, or a whole clip."""
        stream = stream or whole_clip()
        bands = haar_3d(clip, starts_clip=stream.is_first)
        level1 = self._level1(bands[:, :RGB], stream)
        level2 = haar_3d(level1[:, :RGB], starts_clip=stream.is_first)
        h = self.down1(bands, stream)
        h = self.down2(torch.cat([h, self.connect_l1(level1)], dim=1), stream)
        h = self.mid(torch.cat([h, self.connect_l2(level2)], dim=1), stream)
        h = self.conv_out(F.silu(self.norm_out(h)), stream)
        return Coded(h, level1, level2)

    def _level1(self, low: Tensor, stream: TemporalStream) -> Tensor:
        return haar_3d(low, starts_clip=stream.is_first) if self.halves_time_twice else haar_2d(low)


class Decoder(nn.Module):
    """Latents to a clip. Shape: B c t h w -> B 3 T H W; fewer frames for a chunk that is not the last."""

    def __init__(
        self, widths: Widths, num_connect_blocks: int, time_interpolation: TimeInterpolation
    ) -> None:
        super().__init__()
        base, flow, norm_type = widths.base_channels, widths.flow_channels, widths.norm_type
        self.halves_time_twice = widths.halves_time_twice
        self.flow_channels = flow
        self.conv_in = CausalConv3d(widths.latent_channels, 4 * base, padding=1)
        self.mid = widths.middle(4 * base, 4 * base + flow)
        self.up2 = StreamSequential(
            *(CausalResnetBlock(4 * base, 4 * base, norm_type) for _ in range(widths.num_blocks)),
            SpatioTemporalUpsample(4 * base, time_interpolation),
            CausalResnetBlock(4 * base, 4 * base + flow, norm_type),
        )
        self.up1 = StreamSequential(
            *(
                CausalResnetBlock((2 if i else 4) * base, 2 * base, norm_type)
                for i in range(widths.num_blocks)
            ),
            SpatioTemporalUpsample(2 * base, time_interpolation)
            if widths.halves_time_twice
            else SpatialUpsample(2 * base),
            CausalResnetBlock(2 * base, 2 * base, norm_type),
        )
        self.layer = StreamSequential(
            CausalResnetBlock(2 * base, base, norm_type), CausalResnetBlock(base, base, norm_type)
        )
        self.connect_l1 = self._connection(flow, widths.level_bands(), num_connect_blocks, norm_type)
        self.connect_l2 = self._connection(flow, BANDS_3D, num_connect_blocks, norm_type)
        self.norm_out = normalization(base, norm_type)
        self.conv_out = FrameConv2d(base, BANDS_3D, 3, padding=1)

    @staticmethod
    def _connection(flow: int, bands: int, num_blocks: int, norm_type: NormType) -> StreamSequential:
        blocks = (CausalResnetBlock(flow, flow, norm_type) for _ in range(num_blocks))
        return StreamSequential(*blocks, FrameConv2d(flow, bands, 3, padding=1))

    def forward(self, latents: Tensor, stream: TemporalStream | None = None) -> Coded:
        """Decode one chunk of `stream`, or a whole clip."""
        stream = stream or whole_clip()
        h = self.mid(self.conv_in(latents, stream), stream)
        h, flow = self._split(h)
        level2 = self.connect_l2(flow, stream)
        low2 = inverse_haar_3d(level2, starts_clip=stream.is_first)

        h, flow = self._split(self.up2(h, stream))
        level1 = self.connect_l1(flow, stream)
        level1 = self._add_low(level1, stream.draw("level 2", low2, level1.shape[2]))
        low1 = (
            inverse_haar_3d(level1, starts_clip=stream.is_first)
            if self.halves_time_twice
            else inverse_haar_2d(level1)
        )

        h = self.layer(self.up1(h, stream), stream)
        bands = self.conv_out(F.silu(self.norm_out(h)))
        bands = self._add_low(bands, stream.draw("level 1", low1, bands.shape[2]))
        return Coded(inverse_haar_3d(bands, starts_clip=stream.is_first), level1, level2)

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return h[:, : -self.flow_channels], h[:, -self.flow_channels :]

    @staticmethod
    def _add_low(bands: Tensor, low: Tensor) -> Tensor:
        return torch.cat([bands[:, :RGB] + low, bands[:, RGB:]], dim=1)
