"""Features of both frames at four sizes, the smallest with attention between the frames."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.layers import conv_prelu
from vitascope.models.sgm_vfi.positions import sine_position

WINDOW = 7
HEAD_CHANNELS = 32


def _split_windows(x: Tensor) -> Tensor:
    """(B, H, W, C) to (B * windows, 49, C)."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return x.transpose(2, 3).reshape(-1, WINDOW * WINDOW, channels)


def _join_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `_split_windows`."""
    channels = windows.shape[-1]
    x = windows.view(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, channels)
    return x.transpose(2, 3).reshape(-1, height, width, channels)


def _region_ids(length: int, first: int, second: int, device: torch.device) -> Tensor:
    """0 before `first`, 1 up to `second`, 2 after it."""
    place = torch.arange(length, device=device)
    return (place >= first).long() + (place >= second).long()


def _attention_mask(
    height: int, width: int, shift: int, device: torch.device
) -> tuple[tuple[int, int, int, int], Float[Tensor, "windows 49 49"] | None]:
    """The padding that makes the map whole windows, and -100 between positions that must not meet.

    Padding is told from content, and, in a shifted block, the two sides of the roll from each other.
    Upstream marks the padding in the unrolled map even where the map is rolled; its weights were
    trained so, and we keep it.
    """
    pad_height, pad_width = -height % WINDOW, -width % WINDOW
    top, left = pad_height // 2, pad_width // 2
    padding = (left, pad_width - left, top, pad_height - top)
    full_height, full_width = height + pad_height, width + pad_width
    marks: list[tuple[Tensor, Tensor]] = []
    if pad_height or pad_width:
        marks.append(
            (
                _region_ids(full_height, top, top + height, device),
                _region_ids(full_width, left, left + width, device),
            )
        )
    if shift:
        marks.append(
            (
                _region_ids(full_height, full_height - WINDOW, full_height - shift, device),
                _region_ids(full_width, full_width - WINDOW, full_width - shift, device),
            )
        )
    if not marks:
        return padding, None
    strangers = torch.zeros((), dtype=torch.bool, device=device)
    for rows, columns in marks:
        regions = (rows[:, None] * 3 + columns)[None, :, :, None]
        ids = _split_windows(regions).squeeze(-1)
        strangers = strangers | (ids[:, None] != ids[:, :, None])
    return padding, strangers.float() * -100.0


class CrossFrameAttention(nn.Module):
    """Let every position of a window look at the same window of the other frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD_CHANNELS)
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "windows N C"], mask: Tensor | None) -> Float[Tensor, "windows N C"]:
        """What each position learns from the other frame. Shape: first frames' windows, then second ones'."""
        windows, positions, channels = x.shape
        other = torch.cat(x.chunk(2)[::-1])
        shape = (windows, positions, self.heads, channels // self.heads)
        query = self.q(x).view(shape).transpose(1, 2)
        key, value = (part.reshape(shape).transpose(1, 2) for part in self.kv(other).chunk(2, dim=-1))
        if mask is not None:
            mask = mask.to(query.dtype).repeat(windows // mask.shape[0], 1, 1)[:, None]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(attended.transpose(1, 2).reshape(windows, positions, channels))


class DepthwiseMLP(nn.Module):
    """A feed-forward layer that also mixes each channel with its neighbours in space."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        hidden = channels * ratio
        self.fc1 = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """The mixed features, without a residual."""
        hidden = self.depthwise(self.fc1(x).permute(0, 3, 1, 2))
        return self.fc2(F.gelu(hidden).permute(0, 2, 3, 1))


class MotionFormerBlock(nn.Module):
    """Windowed attention between the two frames, then a feed-forward layer.

    The residual of the attention is the normalised, positioned tensor and not the block's input.

    Source: MCG-NJU/SGM-VFI @40b5e74, model/feature_extractor.py, Apache-2.0.
    """

    def __init__(self, channels: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attention = CrossFrameAttention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = DepthwiseMLP(channels)

    def forward(self, x: Float[Tensor, "B2 h w C"]) -> Float[Tensor, "B2 h w C"]:
        """Shape: the batch holds all first frames, then all second frames."""
        _, height, width, channels = x.shape
        padding, mask = _attention_mask(height, width, self.shift, x.device)
        left, right, top, bottom = padding
        full_height, full_width = top + height + bottom, left + width + right
        x = F.pad(x, (0, 0, *padding))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        position = sine_position(WINDOW, WINDOW, channels, x.device).flatten(1).T
        windows = self.norm1(_split_windows(x)) + position.to(x.dtype)
        windows = windows + self.attention(windows, mask)
        x = _join_windows(windows, full_height, full_width)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        x = x[:, top : top + height, left : left + width]
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Halve the map and bring it to the width of the attention blocks, channels last."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w D"]:
        """The map at half its size, normalised."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class MotionFeatures(nn.Module):
    """Feature maps of both frames at 1/1, 1/2, 1/4 and, aware of each other, 1/8 size.

    Source: Liu et al., "Sparse Global Matching for Video Frame Interpolation with Large Motion",
    CVPR 2024, section 3.1 (the local branch, after EMA-VFI); MCG-NJU/SGM-VFI @40b5e74,
    model/feature_extractor.py, Apache-2.0.
    """

    def __init__(self, config: SGMVFIConfig) -> None:
        super().__init__()
        full, half, quarter, eighth = config.channels
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(conv_prelu(channels_in if i == 0 else channels, channels) for i in range(depth)),
            )
            for channels_in, channels, depth in zip(
                (3, half, quarter), (full, half, quarter), config.depths[:3], strict=True
            )
        )
        self.downsamples = nn.ModuleList(
            (conv_prelu(full, half, stride=2), conv_prelu(half, quarter, stride=2))
        )
        self.patch_embed = PatchEmbed(quarter, eighth)
        self.motion_blocks = nn.ModuleList(
            MotionFormerBlock(eighth, shift=0 if i % 2 == 0 else WINDOW // 2) for i in range(config.depths[3])
        )
        self.norm = nn.LayerNorm(eighth, eps=1e-6)

    def forward(self, frames: Float[Tensor, "B2 3 H W"]) -> list[Tensor]:
        """Shape: `frames` holds all first frames, then all second frames; so does every map returned.

        Height and width must be multiples of 8.
        """
        assert frames.shape[0] % 2 == 0, "first and second frames come in equal numbers"
        assert math.gcd(*frames.shape[-2:]) % 8 == 0, "the caller pads to whole cells of the 1/8 grid"
        maps = [self.stages[0](frames)]
        for downsample, stage in zip(self.downsamples, self.stages[1:], strict=True):
            maps.append(stage(downsample(maps[-1])))
        x = self.patch_embed(maps[-1])
        for block in self.motion_blocks:
            x = block(x)
        maps.append(self.norm(x).permute(0, 3, 1, 2).contiguous())
        return maps
