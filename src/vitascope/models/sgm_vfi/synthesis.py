"""Paint the middle frame from two warped frames and what they cannot show."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.flow.warping import backward_warp
from vitascope.models.sgm_vfi.layers import conv_prelu, resize_flow


def _halve(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(conv_prelu(in_channels, channels, stride=2), conv_prelu(channels, channels))


def _double(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(in_channels, channels, 4, 2, 1), nn.PReLU(channels))


class ContextNet(nn.Module):
    """Features of one frame at 1/2 to 1/16 size, each warped to the middle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels, 8 * channels)
        self.levels = nn.ModuleList(_halve(*pair) for pair in pairwise(widths))

    def forward(self, frame: Float[Tensor, "B 3 H W"], flow: Float[Tensor, "B 2 H W"]) -> list[Tensor]:
        """Four warped maps, the largest first."""
        warped, x = [], frame
        for level in self.levels:
            x = level(x)
            flow = resize_flow(flow, 0.5)
            warped.append(backward_warp(x, flow))
        return warped


class Synthesis(nn.Module):
    """A U-net that gives the residual on top of the two blended warped frames.

    Source: MCG-NJU/SGM-VFI @40b5e74, model/refine.py, Apache-2.0 (after RIFE's refinement network).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        c = 2 * width
        self.context = ContextNet(c)
        self.down = nn.ModuleList(
            (_halve(17, 2 * c), _halve(4 * c, 4 * c), _halve(8 * c, 8 * c), _halve(16 * c, 16 * c))
        )
        self.up = nn.ModuleList(
            (_double(32 * c, 8 * c), _double(16 * c, 4 * c), _double(8 * c, 2 * c), _double(4 * c, c))
        )
        self.out = nn.Conv2d(c, 3, 3, 1, 1)

    def forward(
        self,
        frames: tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]],
        flow: Float[Tensor, "B 4 H W"],
        mask: Float[Tensor, "B 1 H W"],
    ) -> Float[Tensor, "B 3 H W"]:
        """The middle frame. Shape: height and width multiples of 16. Range: [0, 1]; mask before sigmoid."""
        first, second = frames
        warped = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        contexts = list(zip(self.context(first, flow[:, :2]), self.context(second, flow[:, 2:]), strict=True))
        x = torch.cat((first, second, *warped, mask, flow), dim=1)
        skips = []
        for level, context in zip(self.down, contexts, strict=True):
            skips.append(level(x))
            x = torch.cat((skips[-1], *context), dim=1)
        for level, skip in zip(self.up, (*skips[-2::-1], None), strict=True):
            x = level(x)
            x = x if skip is None else torch.cat((x, skip), dim=1)
        residual = self.out(x).sigmoid() * 2 - 1
        share = mask.sigmoid()
        blended = warped[0] * share + warped[1] * (1 - share)
        return (blended + residual).clamp(0, 1)
