"""Linears in 8-bit floats: half the memory, and on Hopper and newer about twice the rate under compile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import RequestError

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
# The big visual linears of a block, as the families call them; text linears and modulations are small and stay exact.
VISUAL_LINEARS = (
    *("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2"),
    *("attn2.to_q", "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2"),  # of LTX-Video and Wan
    *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "proj_mlp", "proj_out"),  # of HunyuanVideo
)


class Fp8Linear(nn.Module):
    """A linear layer with fp8 weights, one scale an output channel, and one scale a token found as it runs.

    Source: row-wise scaling as in Micikevicius et al., FP8 Formats for Deep Learning, arXiv 2209.05433; the
    product is torch._scaled_mm's.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = _scale(linear.weight.detach())
        self.register_buffer("weight", (linear.weight.detach().float() / scale).to(FP8))
        self.register_buffer("weight_scale", scale.reshape(1, -1))
        self.bias = linear.bias

    def forward(self, states: Tensor) -> Tensor:
        """Shape: (..., in_features) -> (..., out_features)."""
        flat = states.reshape(-1, self.in_features)
        scale = _scale(flat)
        quantized = (flat.float() / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8)
        product = torch._scaled_mm(
            quantized,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.weight_scale,
            out_dtype=states.dtype,
            use_fast_accum=True,
        )
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*states.shape[:-1], self.out_features)


def _scale(rows: Tensor) -> Tensor:
    """What each row is divided by to fill the range of fp8. Shape: (M, K) -> (M, 1) float32."""
    return rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / FP8_MAX


@cache
def fp8_works(device: torch.device) -> bool:
    """Whether this torch multiplies in fp8 on this card as it should: tried once a process on a small linear."""
    linear = nn.Linear(512, 768, device=device, dtype=torch.bfloat16)
    states = torch.randn(
        301, 512, device=device, dtype=torch.bfloat16
    )  # clips have odd numbers of tokens too
    with torch.no_grad():
        expected = linear(states)
        try:
            found = Fp8Linear(linear)(states)
        except Exception:  # noqa: BLE001  whatever a driver or library says of a card it does not know
            return False
        return bool((found - expected).float().norm() < 0.1 * expected.float().norm())


def visual_linears(block: nn.Module) -> dict[str, nn.Linear]:
    """The linears of this block that `VISUAL_LINEARS` names, by their names."""
    found = ((name, module) for name, module in block.named_modules() if name in VISUAL_LINEARS)
    return {name: module for name, module in found if isinstance(module, nn.Linear)}


def num_fp8_parameters(blocks: Sequence[Any]) -> int:
    """How many parameters `fp8_linears` would replace."""
    return sum(linear.weight.numel() for block in blocks[1:-1] for linear in visual_linears(block).values())


def fp8_linears(blocks: Sequence[Any], device: torch.device | str | None = None) -> int:
    """Replace the visual linears of all blocks but the first and the last; how many were replaced.

    With `device` the arithmetic is done there, one linear at a time; the result stays where the linear was.
    Raises: RequestError if there was nothing to replace: a setting without effect is an error.
    """
    replaced = 0
    for block in blocks[1:-1]:
        for name, linear in visual_linears(block).items():
            owner, _, last = name.rpartition(".")
            home = linear.weight.device
            quantized = Fp8Linear(linear if device is None else linear.to(device)).to(home)
            setattr(block.get_submodule(owner), last, quantized)
            replaced += 1
    if not replaced:
        raise RequestError(f"fp8 found no linear to replace in {len(blocks)} blocks", param="quantize")
    return replaced
