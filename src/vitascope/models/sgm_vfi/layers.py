"""The convolution blocks that every part of SGM-VFI is built from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SCORES_AT_ONCE = 2**25


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


def attend(
    query: Float[Tensor, "B N C"], key: Float[Tensor, "B M C"], value: Float[Tensor, "B M D"]
) -> Float[Tensor, "B N D"]:
    """softmax(Q K^T / sqrt(C)) V, a piece of the queries at a time, so that whole-picture maps fit in memory.

    Written out rather than fused: the fused kernel for CPUs takes an approximate exponential, and matching
    with sharp softmaxes enlarges that to a tenfold distance from upstream.
    """
    rows = max(1, SCORES_AT_ONCE // (key.shape[0] * key.shape[1]))
    scale = query.shape[-1] ** 0.5
    pieces = [(part @ key.mT / scale).softmax(dim=-1) @ value for part in query.split(rows, dim=1)]
    return torch.cat(pieces, dim=1)
