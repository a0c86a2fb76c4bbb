"""3-D convolutions on a CPU by oneDNN, also where PyTorch would not choose it.

PyTorch sends some shapes of `conv3d` to its own `slow_conv3d`, which took half of the time that CogVideoX's
decoder needs (2 cores, PyTorch 2.13: 3.9 s with it, 2.3 s without, for 17 frames of 128x128).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn


def use_onednn(module: nn.Module) -> None:
    """Let every float32 3-D convolution in `module` call oneDNN, in place; the same sums within rounding.

    Does nothing where PyTorch was built without it.
    Source: PyTorch 2.13 `aten/src/ATen/native/Convolution.cpp`, `ConvParams::use_mkldnn` (BSD-3-Clause).
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return
    for part in module.modules():
        if isinstance(part, nn.Conv3d) and part.padding_mode == "zeros" and not isinstance(part.padding, str):
            part._conv_forward = MethodType(_conv_forward, part)  # type: ignore[method-assign]


def _conv_forward(self: nn.Conv3d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    import torch

    if x.device.type != "cpu" or x.dtype != torch.float32 or x.requires_grad or x.numel() == 0:
        return nn.Conv3d._conv_forward(self, x, weight, bias)
    made: Any = torch.ops.aten.mkldnn_convolution(
        x, weight, bias, self.padding, self.stride, self.dilation, self.groups
    )
    return made
