"""The two nets that Tora adds: one reads the motion, the other bends a block's tokens by it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two normed convolutions beside a straight way."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.in_conv = (
            nn.Identity() if in_channels == channels else nn.Conv2d(in_channels, channels, 3, padding=1)
        )
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Shape: (B, C, h, w)."""
        maps = self.in_conv(maps)
        inner = self.block1(functional.relu(self.bn1(maps)))
        return maps + self.block2(functional.relu(self.bn2(inner)))


class TrajectoryExtractor(nn.Module):
    """From a film of motion, in latents, to one map of motion patches for each block.

    Source: arXiv 2407.21705, section 3.3; alibaba/Tora, `traj_module.py`, `TrajExtractor`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        in_channels: int = 16,
        patch_size: int = 2,
        patch_size_t: int = 1,
        num_blocks: int = 2,
    ):
        super().__init__()
        self.patch = (patch_size_t, patch_size, patch_size)
        self.num_blocks = num_blocks
        self.conv_in = nn.Conv2d(in_channels * math.prod(self.patch), channels[0], 3, padding=1)
        before = [channels[0], *channels[:-1]]
        self.body = nn.ModuleList(
            ResidualBlock(came if number == 0 else width, width)
            for came, width in zip(before, channels, strict=True)
            for number in range(num_blocks)
        )

    def forward(self, latents: Tensor) -> list[Tensor]:
        """Shape: (B, c, t, h, w) to one ((B t), C, h / 2, w / 2) a block."""
        ends = [-side % patch for side, patch in zip(latents.shape[2:], self.patch, strict=True)]
        latents = functional.pad(latents, (0, ends[2], 0, ends[1], 0, ends[0]))
        for axis, patch in zip((2, 4, 6), self.patch, strict=True):
            latents = latents.unflatten(axis, (-1, patch))
        # (B, c, t, pt, h, ph, w, pw): the channels vary slowest within a patch
        patches = latents.permute(0, 2, 1, 3, 5, 7, 4, 6).flatten(2, 5).flatten(0, 1)
        maps, found = self.conv_in(patches), []
        for number, block in enumerate(self.body, 1):
            maps = block(maps)
            if number % self.num_blocks == 0:
                found.append(maps)
        return found


class _NormInItsOwnPrecision(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(self.weight.dtype)).to(input.dtype)


class MotionGuidanceFuser(nn.Module):
    """Scales and shifts a block's normed tokens as the motion at their place says (adaptive norm).

    Source: arXiv 2407.21705, equation 6; alibaba/Tora, `traj_module.py`, `MGF`.
    """

    def __init__(self, motion_channels: int, width: int):
        super().__init__()
        inner = width // 4
        self.flow_gamma_spatial = nn.Conv2d(motion_channels, inner, 3, padding=1)
        self.flow_gamma_temporal = nn.Conv1d(inner, width, 3, padding=1, padding_mode="replicate")
        self.flow_beta_spatial = nn.Conv2d(motion_channels, inner, 3, padding=1)
        self.flow_beta_temporal = nn.Conv1d(inner, width, 3, padding=1, padding_mode="replicate")
        self.flow_cond_norm = _NormInItsOwnPrecision(32, width)
        for conv in (self.flow_gamma_temporal, self.flow_beta_temporal):  # untrained, it changes nothing
            nn.init.zeros_(conv.weight)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, maps: Tensor, motion: Tensor, num_frames: int) -> Tensor:
        """Bend `maps` by `motion`; clips beyond those of `motion` repeat them (the two halves of guidance).

        Shape: maps ((B t), C, h, w), motion ((B' t), M, h, w) with B a multiple of B'.
        """
        gamma = _over_time(self.flow_gamma_temporal, self.flow_gamma_spatial(motion), num_frames)
        beta = _over_time(self.flow_beta_temporal, self.flow_beta_spatial(motion), num_frames)
        again = (len(maps) // len(motion), 1, 1, 1)
        return maps + self.flow_cond_norm(maps) * gamma.repeat(again) + beta.repeat(again)


def _over_time(conv: nn.Conv1d, maps: Tensor, num_frames: int) -> Tensor:
    """A convolution over the frames of each place. Shape: ((B t), C, h, w)."""
    clips = maps.unflatten(0, (-1, num_frames)).permute(0, 3, 4, 2, 1)
    grid = clips.shape[:3]
    lines = conv(clips.flatten(0, 2))
    return lines.unflatten(0, grid).permute(0, 4, 3, 1, 2).flatten(0, 1)
