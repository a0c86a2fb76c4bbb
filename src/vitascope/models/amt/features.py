"""AMT's two encoders: features for matching at an eighth of the size, and a pyramid for synthesis."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.models.sgm_vfi.layers import conv_prelu


class _Bottleneck(nn.Module):
    def __init__(self, wide: int, channels: int, stride: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = nn.Conv2d(wide, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1)
        self.conv3 = nn.Conv2d(narrow, channels, 1)
        self.norm1, self.norm2 = nn.InstanceNorm2d(narrow), nn.InstanceNorm2d(narrow)
        self.norm3 = nn.InstanceNorm2d(channels)
        shortcut = nn.Sequential(nn.Conv2d(wide, channels, 1, stride), nn.InstanceNorm2d(channels))
        self.downsample = shortcut if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y)).relu()
        y = self.norm3(self.conv3(y)).relu()
        return torch.relu(self.downsample(x) + y)


def _stage(wide: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Bottleneck(wide, channels, stride), _Bottleneck(channels, channels, 1))


class PictureEncoder(nn.Module):
    """Features to compare pictures by."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 32, 7, 2, 3), nn.InstanceNorm2d(32)
        self.layer1, self.layer2, self.layer3 = _stage(32, 32, 1), _stage(32, 64, 2), _stage(64, 96, 2)
        self.conv2 = nn.Conv2d(96, channels, 1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Shape: h and w are an eighth of H and W."""
        x = self.norm1(self.conv1(x)).relu()
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class Pyramid(nn.Module):
    """Features at a half, a quarter, an eighth and a sixteenth of the size."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.num_levels = len(channels)
        for number, (wide, out) in enumerate(zip((3, *channels), channels, strict=False), start=1):
            level = nn.Sequential(conv_prelu(wide, out, 2), conv_prelu(out, out))
            self.add_module(f"pyramid{number}", level)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Features of a picture, the finest level first."""
        levels = []
        for number in range(1, self.num_levels + 1):
            x = getattr(self, f"pyramid{number}")(x)
            levels.append(x)
        return levels
