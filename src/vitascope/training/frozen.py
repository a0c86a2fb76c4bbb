"""Frozen weights in 8 bits: half of bfloat16's memory under an adapter that is trained in float32."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = {torch.float8_e4m3fn: 448.0, torch.int8: 127.0}


class FrozenLinear(nn.Linear):
    """A linear layer whose weight is kept in 8 bits with one scale for each output.

    It is computed with in the input's type. The range of each row is used whole (absolute maximum scaling).
    """

    scale: Tensor

    @classmethod
    def freeze(cls, layer: nn.Linear, dtype: torch.dtype) -> None:
        """Turn a layer into one of this class, in place."""
        weight = layer.weight.detach()
        scale = (weight.abs().amax(1, keepdim=True).float() / LARGEST[dtype]).clamp_min(1e-12)
        small = weight.float() / scale
        small = (small.round() if dtype == torch.int8 else small).to(dtype)
        layer.register_buffer("scale", scale.to(weight.dtype), persistent=False)
        layer.weight = nn.Parameter(small, requires_grad=False)
        layer.__class__ = cls

    def forward(self, input: Tensor) -> Tensor:  # nn.Linear's name
        """As nn.Linear. Shape: (..., in) -> (..., out)."""
        weight = self.weight.to(input.dtype) * self.scale.to(input.dtype)
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, weight, bias)


def freeze_in_8_bits(blocks: list[nn.Module], kind: Literal["fp8", "int8"]) -> int:
    """Keep the frozen linear layers inside the blocks in 8 bits; gives how many. Adapters stay as they are."""
    dtype = torch.float8_e4m3fn if kind == "fp8" else torch.int8
    count = 0
    for block in blocks:
        for module in block.modules():
            if type(module) is nn.Linear and not module.weight.requires_grad:
                FrozenLinear.freeze(module, dtype)
                count += 1
    return count
