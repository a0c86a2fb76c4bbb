"""The convolution blocks that every part of SGM-VFI is built from."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def conv_prelu(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution with a learnt leak per channel; stride 2 halves the size."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1),
        nn.PReLU(out_channels),
    )


def resize(tensor: Tensor, factor: float) -> Tensor:
    """Scale height and width by `factor`, bilinear, pixel centres kept (align_corners=False)."""
    if factor == 1:
        return tensor
    return F.interpolate(tensor, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Scale a flow field together with the lengths of its arrows."""
    return resize(flow, factor) * factor
