"""What turns drawn poses into features that the UNet adds behind its first convolution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

_WIDTHS = (3, 16, 16, 32, 32, 64, 64, 128)
_HALVES = (False, True, False, True, False, True, False, False)


class PoseNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Eight convolutions that bring a drawing to the latent grid, a projection, and a learnt scale.

    Shape: B 3 H W to B `noise_latent_channels` H/8 W/8. Range: drawings -1..1.
    Source: arXiv 2406.19680, section 3.3; Tencent/MimicMotion at 62f91e1, mimicmotion/modules/pose_net.py.
    """

    @register_to_config
    def __init__(self, noise_latent_channels: int = 320) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, halves in zip(_WIDTHS, _HALVES, strict=True):
            kernel, stride = (4, 2) if halves else (3, 1)
            layers += [nn.Conv2d(channels, width, kernel, stride, padding=1), nn.SiLU()]
            channels = width
        self.conv_layers = nn.Sequential(*layers)
        self.final_proj = nn.Conv2d(channels, noise_latent_channels, 1)
        self.scale = nn.Parameter(torch.full((1,), 2.0))

    def forward(self, pose_pixels: Tensor) -> Tensor:
        """The features of drawings. Shape: B 3 H W to B C H/8 W/8."""
        return self.final_proj(self.conv_layers(pose_pixels)) * self.scale


@contextmanager
def pose_guided(unet: Any) -> Iterator[dict[str, Tensor | None]]:
    """Within it, the UNet adds what the given mapping holds as "pose_latents"; None adds nothing.

    Shape: pose_latents (B F) C h w, as the UNet lays out its frames.
    Source: Tencent/MimicMotion at 62f91e1, mimicmotion/modules/unet.py: the sum behind `conv_in` is all that differs
    from diffusers' UNetSpatioTemporalConditionModel.
    """
    added: dict[str, Tensor | None] = {"pose_latents": None}

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        pose_latents = added["pose_latents"]
        return output if pose_latents is None else output + pose_latents.to(output)

    handle = unet.conv_in.register_forward_hook(add)
    try:
        yield added
    finally:
        handle.remove()
