"""Blocks of the causal video autoencoders of the Open-Sora-Plan family.

The parameter names are upstream's. Layers of one frame take `(x)`; layers that look at earlier frames are
`TemporalModule`s and take `(x, stream)`.

Source: github.com/PKU-YuanGroup/WF-VAE at d858bee8, causalvideovae/model/modules/, Apache-2.0;
github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0, opensora/models/causalvideovae/model/modules/, MIT.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.models.wf_vae.stream import TemporalModule, TemporalStream, whole_clip

NormType = Literal["groupnorm", "layernorm"]
TimeInterpolation = Literal["trilinear", "nearest"]
Size3 = tuple[int, int, int]


def fold_frames(x: Tensor) -> Tensor:
    """Put frames beside the batch. Shape: B C T H W -> (B T) C H W."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_frames(x: Tensor, batch_size: int) -> Tensor:
    """Undo `fold_frames`. Shape: (B T) C H W -> B C T H W."""
    return x.unflatten(0, (batch_size, -1)).transpose(1, 2)


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of every pixel of every frame; knows no other frame.

    Shape: B C ... -> the same.
    Source: WF-VAE causalvideovae/model/modules/normalize.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


def normalization(channels: int, norm_type: NormType) -> nn.Module:
    """The norm that a config names; "groupnorm" takes its statistics over the frames that it is given."""
    if norm_type == "layernorm":
        return ChannelLayerNorm(channels)
    return nn.GroupNorm(32, channels, eps=1e-6)


class FrameConv2d(nn.Conv2d):
    """A 2-D convolution of every frame. Shape: B C T H W -> B C' T H' W'."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return unfold_frames(super().forward(fold_frames(x)), x.shape[0])


class CausalConv3d(TemporalModule):
    """A 3-D convolution that sees no future frame; a clip's first frame is repeated in front of it.

    `padding` is spatial and of zeros. Shape: B C T H W -> B C' T' H' W', T' = (T-1)/stride + 1.
    Source: Open-Sora-Plan opensora/models/causalvideovae/model/modules/conv.py.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Size3 = 3,
        *,
        stride: int | Size3 = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        spatial_padding = (0, padding, padding)
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, stride=stride, padding=spatial_padding)

    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Convolve one chunk."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel == 1:
            return self.conv(x)
        stream = stream or whole_clip()
        past = stream.recall(self)
        if past is None:
            past = x[:, :, :1].expand(-1, -1, kernel - 1, -1, -1)
        x = torch.cat([past, x], dim=2)
        num_windows = (x.shape[2] - kernel) // stride + 1
        stream.keep(self, x[:, :, num_windows * stride :])
        return self.conv(x)


class FrameResnetBlock(nn.Module):
    """Two 2-D convolutions of every frame and a shortcut. Shape: B C T H W -> B C' T H W.

    Source: `ResnetBlock2D` of WF-VAE causalvideovae/model/modules/resnet_block.py.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_type: NormType = "groupnorm") -> None:
        super().__init__()
        self.norm1 = normalization(in_channels, norm_type)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = normalization(out_channels, norm_type)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run on every frame."""
        frames = fold_frames(x)
        h = self.conv1(F.silu(self.norm1(frames)))
        h = self.conv2(F.silu(self.norm2(h)))
        if hasattr(self, "nin_shortcut"):
            frames = self.nin_shortcut(frames)
        return unfold_frames(frames + h, x.shape[0])


class CausalResnetBlock(TemporalModule):
    """Two causal 3-D convolutions and a shortcut. Shape: B C T H W -> B C' T H W.

    Source: `ResnetBlock3D` of WF-VAE causalvideovae/model/modules/resnet_block.py.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_type: NormType = "groupnorm") -> None:
        super().__init__()
        self.norm1 = normalization(in_channels, norm_type)
        self.conv1 = CausalConv3d(in_channels, out_channels, padding=1)
        self.norm2 = normalization(out_channels, norm_type)
        self.conv2 = CausalConv3d(out_channels, out_channels, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = CausalConv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Run on one chunk."""
        h = self.conv1(F.silu(self.norm1(x)), stream)
        h = self.conv2(F.silu(self.norm2(h)), stream)
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class FrameAttention(nn.Module):
    """Single-head attention among the pixels of every frame. Shape: B C T H W -> the same.

    Source: `AttnBlock3DFix` of WF-VAE causalvideovae/model/modules/attention.py.
    """

    def __init__(self, channels: int, norm_type: NormType = "groupnorm") -> None:
        super().__init__()
        self.norm = normalization(channels, norm_type)
        self.q = CausalConv3d(channels, channels, 1)
        self.k = CausalConv3d(channels, channels, 1)
        self.v = CausalConv3d(channels, channels, 1)
        self.proj_out = CausalConv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within every frame."""
        h = self.norm(x)
        query, key, value = (self._frame_tokens(layer(h)) for layer in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(self._from_frame_tokens(h, x))

    def _frame_tokens(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 4, 1).flatten(2, 3)  # B T (H W) C

    def _from_frame_tokens(self, tokens: Tensor, like: Tensor) -> Tensor:
        return tokens.unflatten(2, like.shape[-2:]).permute(0, 4, 1, 2, 3)


class SpatialDownsample(nn.Module):
    """Halve the height and width of every frame. Shape: B C T H W -> B C T H/2 W/2.

    Source: `Downsample` of WF-VAE causalvideovae/model/modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = FrameConv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class SpatialUpsample(nn.Module):
    """Double the height and width of every frame. Shape: B C T H W -> B C T 2H 2W.

    Source: `Upsample` of WF-VAE causalvideovae/model/modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = FrameConv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Double."""
        return self.conv(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class SpatioTemporalDownsample(TemporalModule):
    """Halve height, width and, but for the first frame, time. Shape: B C T H W -> B C (T-1)/2+1 H/2 W/2.

    Source: `Spatial2xTime2x3DDownsample` of WF-VAE causalvideovae/model/modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, stride=2)

    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Halve one chunk."""
        return self.conv(F.pad(x, (0, 1, 0, 1)), stream)


class SpatioTemporalUpsample(TemporalModule):
    """Double height, width and, but for the first frame, time. Shape: B C T H W -> B C 2T-1 2H 2W.

    A doubled frame is a blend with its later neighbour: within a stream the newest one is held back until
    that neighbour comes, so a chunk gives one frame fewer than it will in the end.
    Source: `Spatial2xTime2x3DUpsample` of WF-VAE causalvideovae/model/modules/updownsample.py.
    """

    def __init__(self, channels: int, time_interpolation: TimeInterpolation = "trilinear") -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, padding=1)
        self.time_interpolation = time_interpolation

    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Double one chunk."""
        x = self._double_time(x, stream or whole_clip())
        return self.conv(F.interpolate(x, scale_factor=(1, 2, 2), mode="trilinear"), stream)

    def _double_time(self, x: Tensor, stream: TemporalStream) -> Tensor:
        first, rest = (x[:, :, :1], x[:, :, 1:]) if stream.is_first else (x[:, :, :0], x)
        if not rest.shape[2]:
            return first
        earlier = stream.recall(self)
        if earlier is not None:
            rest = torch.cat([earlier, rest], dim=2)
        stream.keep(self, rest[:, :, -1:])
        doubled = F.interpolate(rest, scale_factor=(2, 1, 1), mode=self.time_interpolation)
        # The earlier frame's first half has been given out; the newest one's second half must wait.
        begin = 0 if earlier is None else 1
        end = doubled.shape[2] - (0 if stream.is_last else 1)
        return torch.cat([first, doubled[:, :, begin:end]], dim=2)
