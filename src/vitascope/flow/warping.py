"""Move pixels along optical flow: backward by sampling, forward by splatting."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def pixel_grid(height: int, width: int, like: Tensor) -> Float[Tensor, "2 H W"]:
    """The (x, y) position of every pixel, in pixels, on the device and in the dtype of `like`."""
    y = torch.arange(height, device=like.device, dtype=like.dtype)
    x = torch.arange(width, device=like.device, dtype=like.dtype)
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)))


def backward_warp(
    image: Float[Tensor, "B C H W"], flow: Float[Tensor, "B 2 H W"]
) -> Float[Tensor, "B C H W"]:
    """Fetch every pixel from where its flow points to: out(p) = image(p + flow(p)), borders repeated.

    Units: flow in pixels, x first.

    Source: MCG-NJU/SGM-VFI @40b5e74, model/warplayer.py, Apache-2.0: bilinear, align_corners=True. The
    grid is normalised as upstream does it (linspace plus scaled flow), which keeps the last bits equal.
    """
    height, width = image.shape[-2:]
    x = torch.linspace(-1.0, 1.0, width, device=flow.device, dtype=flow.dtype)
    y = torch.linspace(-1.0, 1.0, height, device=flow.device, dtype=flow.dtype)
    grid_x = x + flow[:, 0] / ((width - 1.0) / 2.0)
    grid_y = y[:, None] + flow[:, 1] / ((height - 1.0) / 2.0)
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return F.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )


def splat_sum(values: Float[Tensor, "B C H W"], flow: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C H W"]:
    """Throw every pixel along its flow and add up what lands, shared bilinearly between four neighbours.

    What lands outside, or whose flow is not finite, is lost. Runs in float32: sums of thousands of
    weights do not survive half precision.

    Source: Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020, equation 4.
    """
    batch, channels, height, width = values.shape
    target = pixel_grid(height, width, flow.float()) + flow.float()
    x, y = target[:, 0].flatten(1), target[:, 1].flatten(1)
    finite = torch.isfinite(x) & torch.isfinite(y)
    left, top = x.floor(), y.floor()
    source = values.float().flatten(2)
    landed = torch.zeros(batch, channels, height * width, device=values.device)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = finite & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        index = torch.where(inside, row, 0.0).long() * width + torch.where(inside, column, 0.0).long()
        share = torch.where(inside, weight, 0.0)
        landed = landed.scatter_add(2, index[:, None].expand_as(source), source * share[:, None])
    return landed.view(batch, channels, height, width)


def splat_mean(
    values: Float[Tensor, "B C H W"], flow: Float[Tensor, "B 2 H W"], weight: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, "B C H W"]:
    """Throw every pixel along its flow and average what lands by `weight`; 0 where nothing lands.

    A weight of ones gives average splatting, exp(metric) softmax splatting, the metric itself linear
    splatting.

    Source: Niklaus and Liu, CVPR 2020, equations 5 to 8; the epsilon is that of MCG-NJU/SGM-VFI
    @40b5e74, model/softsplat.py.
    """
    landed = splat_sum(torch.cat((values * weight, weight), dim=1), flow)
    return landed[:, :-1] / (landed[:, -1:] + 1e-7)
