"""The temporal half of Open-Sora 1.2's VAE: squeezes latents of single frames 4 times along time.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/models/vae/vae_temporal.py,
Apache-2.0; the network follows MAGVIT-v2 (arXiv 2310.05737) without any change of the spatial size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn


class CausalConv3d(nn.Conv3d):
    """A 3-D convolution that sees no later frame; time is padded in front, with zeros.

    Shape: `B c t h w` -> `B c' ceil(t / time_stride) h w`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, time_stride: int = 1, bias: bool = True
    ) -> None:
        around = kernel_size // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=(time_stride, 1, 1),
            padding=(0, around, around),
            bias=bias,
        )
        self.frames_before = kernel_size - time_stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, with empty frames put in front."""
        return super().forward(nn.functional.pad(x, (0, 0, 0, 0, self.frames_before, 0)))


class CausalResnetBlock(nn.Module):
    """Two normalised causal convolutions around a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(num_groups, in_channels)
        self.conv1 = CausalConv3d(in_channels, out_channels, 3, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels, 3, bias=False)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else CausalConv3d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape: `B c t h w` -> `B c' t h w`."""
        hidden = self.conv1(nn.functional.silu(self.norm1(x)))
        hidden = self.conv2(nn.functional.silu(self.norm2(hidden)))
        return self.shortcut(x) + hidden


class TimeUpsample(CausalConv3d):
    """Doubles the frames: a convolution makes the channels of two, which are then laid out along time."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: `B c t h w` -> `B c 2t h w`."""
        return super().forward(x).unflatten(1, (-1, 2)).transpose(2, 3).flatten(2, 3)


def _resnets(in_channels: int, out_channels: int, num_layers: int, num_groups: int) -> nn.Sequential:
    widths = [in_channels] + [out_channels] * num_layers
    return nn.Sequential(*(CausalResnetBlock(*pair, num_groups) for pair in itertools.pairwise(widths)))


@dataclass(frozen=True)
class Layout:
    """How wide and deep the network is; `widths` and `time_halvings` by level, from the finest.

    The defaults are the published weights'. A level whose entry in `time_halvings` is False keeps its frames.
    """

    channels: int = 4
    latent_channels: int = 4
    widths: Sequence[int] = (128, 256, 256, 512)
    time_halvings: Sequence[bool] = (False, True, True)
    num_layers: int = 4
    num_groups: int = 32


class TemporalEncoder(nn.Module):
    """From frames' latents to the moments of the video's latents."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        widths, num_groups = layout.widths, layout.num_groups
        self.conv_in = CausalConv3d(layout.channels, widths[0], 3, bias=False)
        entering = [widths[0], *widths[:-1]]
        self.levels = nn.ModuleList(
            _resnets(a, b, layout.num_layers, num_groups) for a, b in zip(entering, widths, strict=True)
        )
        self.downsamplers = nn.ModuleList(
            CausalConv3d(width, width, 3, time_stride=2) if halves else nn.Identity()
            for width, halves in zip(widths[:-1], layout.time_halvings, strict=True)
        )
        self.mid = _resnets(widths[-1], widths[-1], layout.num_layers, num_groups)
        self.norm_out = nn.GroupNorm(num_groups, widths[-1])
        self.conv_out = CausalConv3d(widths[-1], 2 * layout.latent_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: `B c T h w`, T a multiple of the compression -> moments `B 2c' t h w`."""
        x = self.levels[0](self.conv_in(x))
        for downsample, level in zip(self.downsamplers, self.levels[1:], strict=True):
            x = level(downsample(x))
        return self.conv_out(nn.functional.silu(self.norm_out(self.mid(x))))


class TemporalDecoder(nn.Module):
    """From the video's latents back to frames' latents."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        widths, num_groups = layout.widths, layout.num_groups
        self.conv_in = CausalConv3d(layout.latent_channels, widths[-1], 3)
        self.mid = _resnets(widths[-1], widths[-1], layout.num_layers, num_groups)
        entering = [*widths[1:], widths[-1]]
        # Level i works at the resolution of the encoder's level i, so the last one runs first.
        self.levels = nn.ModuleList(
            _resnets(a, b, layout.num_layers, num_groups) for a, b in zip(entering, widths, strict=True)
        )
        self.upsamplers = nn.ModuleList(
            TimeUpsample(width) if halves else nn.Identity()
            for width, halves in zip(widths[1:], layout.time_halvings, strict=True)
        )
        self.norm_out = nn.GroupNorm(num_groups, widths[0])
        self.conv_out = CausalConv3d(widths[0], layout.channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: `B c' t h w` -> `B c T h w`."""
        x = self.levels[-1](self.mid(self.conv_in(x)))
        for upsample, level in zip(reversed(self.upsamplers), reversed(self.levels[:-1]), strict=True):
            x = level(upsample(x))
        return self.conv_out(nn.functional.silu(self.norm_out(x)))


class TemporalAutoencoder(nn.Module):
    """Encodes and decodes one stretch of frames' latents; a stretch is padded with empty frames in front.

    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/vae/vae_temporal.py, VAE_Temporal_SD.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.time_compression: int = 2 ** sum(layout.time_halvings)
        moments, latents = 2 * layout.latent_channels, layout.latent_channels
        self.encoder = TemporalEncoder(layout)
        self.quant_conv = CausalConv3d(moments, moments, 1)
        self.post_quant_conv = CausalConv3d(latents, latents, 1)
        self.decoder = TemporalDecoder(layout)

    def encode(self, x: Tensor) -> DiagonalGaussianDistribution:
        """Shape: `B c T h w` -> a distribution over `B c ceil(T / time_compression) h w`."""
        x = nn.functional.pad(x, (0, 0, 0, 0, -x.shape[2] % self.time_compression, 0))
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))

    def decode(self, z: Tensor, num_frames: int) -> Tensor:
        """Shape: `B c ceil(num_frames / time_compression) h w` -> `B c num_frames h w`."""
        return self.decoder(self.post_quant_conv(z))[:, :, -num_frames % self.time_compression :]
