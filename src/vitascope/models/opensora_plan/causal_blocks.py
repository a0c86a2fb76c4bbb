"""Blocks that only Open-Sora-Plan's causal video autoencoder has, and the table of those a config may name.

The published 1.2 is built from blocks that WF-VAE has too; the others are in the 1.0 and 1.1 checkpoints.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0, opensora/models/causalvideovae/model/modules/, MIT.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import UnknownName
from vitascope.models.wf_vae.blocks import (
    CausalConv3d,
    CausalResnetBlock,
    FrameAttention,
    FrameConv2d,
    FrameResnetBlock,
    SpatialDownsample,
    SpatialUpsample,
    SpatioTemporalDownsample,
    SpatioTemporalUpsample,
)


class ScrambledFrameAttention(FrameAttention):
    """`FrameAttention` of the first checkpoints, which mixes channels and frames up when it folds them.

    Source: `AttnBlock3D` of modules/attention.py, kept there for the weights that were trained with it.
    """

    def _frame_tokens(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[2], x.shape[1], -1).transpose(2, 3)

    def _from_frame_tokens(self, tokens: Tensor, like: Tensor) -> Tensor:
        return tokens.transpose(2, 3).reshape(like.shape)


class CausalSpatialDownsample(nn.Module):
    """Halve height and width with a 1x3x3 convolution. Shape: B C T H W -> B C T H/2 W/2.

    Source: `SpatialDownsample2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, (1, 3, 3), stride=(1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Halve."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class CausalSpatialUpsample(nn.Module):
    """Double height and width with a 1x3x3 convolution. Shape: B C T H W -> B C T 2H 2W.

    Source: `SpatialUpsample2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, (1, 3, 3), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Double."""
        return self.conv(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class TimeDownsample(nn.Module):
    """Halve the frames after the first by a running mean of three. Shape: B C T H W -> B C (T-1)/2+1 H W.

    Source: `TimeDownsample2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (all resizing blocks are made alike)
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Halve."""
        return F.avg_pool3d(_after_two_first_frames(x), (3, 1, 1), stride=(2, 1, 1))


class TimeUpsample(nn.Module):
    """Double the frames after the first. Shape: B C T H W -> B C 2T-1 H W.

    Source: `TimeUpsample2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (all resizing blocks are made alike)
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Double."""
        return _double_time(x)


class MixedTimeDownsample(nn.Module):
    """Halve the frames by a learnt mix of a running mean and a convolution.

    Shape: B C T H W -> B C (T-1)/2+1 H W. Source: `TimeDownsampleRes2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=(2, 1, 1), padding=(0, 1, 1))
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Halve."""
        x, share = _after_two_first_frames(x), torch.sigmoid(self.mix_factor)
        return share * F.avg_pool3d(x, (3, 1, 1), stride=(2, 1, 1)) + (1 - share) * self.conv(x)


class MixedTimeUpsample(nn.Module):
    """Double the frames, then mix them with a convolution of them, by a learnt share.

    Shape: B C T H W -> B C 2T-1 H W. Source: `TimeUpsampleRes2x` of modules/updownsample.py.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, padding=1)
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Double."""
        x, share = _double_time(x), torch.sigmoid(self.mix_factor)
        return share * x + (1 - share) * self.conv(x)


def _after_two_first_frames(x: Tensor) -> Tensor:
    return torch.cat([x[:, :, :1], x[:, :, :1], x], dim=2)


def _double_time(x: Tensor) -> Tensor:
    if x.shape[2] == 1:
        return x
    rest = F.interpolate(x[:, :, 1:], scale_factor=(2, 1, 1), mode="trilinear")
    return torch.cat([x[:, :, :1], rest], dim=2)


CONVOLUTIONS: dict[str, type[nn.Module]] = {"Conv2d": FrameConv2d, "CausalConv3d": CausalConv3d}
RESNET_BLOCKS: dict[str, type[nn.Module]] = {
    "ResnetBlock2D": FrameResnetBlock,
    "ResnetBlock3D": CausalResnetBlock,
}
ATTENTIONS: dict[str, type[nn.Module]] = {
    "AttnBlock3DFix": FrameAttention,
    "AttnBlock3D": ScrambledFrameAttention,
}
SPATIAL_RESIZERS: dict[str, type[nn.Module]] = {
    "Downsample": SpatialDownsample,
    "SpatialDownsample2x": CausalSpatialDownsample,
    "Spatial2xTime2x3DDownsample": SpatioTemporalDownsample,
    "Upsample": SpatialUpsample,
    "SpatialUpsample2x": CausalSpatialUpsample,
    "Spatial2xTime2x3DUpsample": SpatioTemporalUpsample,
}
TIME_RESIZERS: dict[str, type[nn.Module]] = {
    "TimeDownsample2x": TimeDownsample,
    "TimeDownsampleRes2x": MixedTimeDownsample,
    "TimeUpsample2x": TimeUpsample,
    "TimeUpsampleRes2x": MixedTimeUpsample,
}


def block_class(table: Mapping[str, type[nn.Module]], name: str) -> type[nn.Module]:
    """The block that a published config names. Raises: UnknownName."""
    if name not in table:
        raise UnknownName("block of a causal video autoencoder", name, table)
    return table[name]
