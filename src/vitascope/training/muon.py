"""Muon: momentum whose update is made orthogonal, for the weight matrices inside a network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def _orthogonalise(stack: Tensor, steps: int = 5) -> Tensor:
    """Nearest (nearly) orthogonal matrix of each in a stack. Shape: (n, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = stack.bfloat16() if stack.is_cuda else stack.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(stack.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum, scaled so that a learning rate means what it means for AdamW.

    Matrices of one shape are handled together, which `torch.optim.Muon` does not do; convolution
    weights count as matrices (out, in * kernel).

    Source: Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
    the quintic Newton-Schulz iteration; scale 0.2 * sqrt(max(rows, columns)) after Liu et al.,
    "Muon is Scalable for LLM Training" (arXiv 2502.16982), section 2.2.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[(p.shape[0], p.numel() // p.shape[0])].append(p)
            for shape, params in alike.items():
                self._update(group, shape, params)
        return loss

    def _update(self, group: dict[str, Any], shape: tuple[int, int], params: list[nn.Parameter]) -> None:
        grads = [p.grad.reshape(shape) for p in params if p.grad is not None]
        for p in params:
            self.state[p].setdefault("momentum", torch.zeros(shape, device=p.device))
        moments = [self.state[p]["momentum"] for p in params]
        torch._foreach_lerp_(moments, grads, 1 - group["momentum"])
        ahead = torch._foreach_lerp(grads, moments, group["momentum"])
        update = _orthogonalise(torch.stack(ahead)) * (0.2 * max(shape) ** 0.5)
        weights: list[Tensor] = list(params)
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(
            weights, [u.view_as(p) for u, p in zip(update, params, strict=True)], alpha=-group["lr"]
        )


def split_parameters(
    module: nn.Module, outside: tuple[str, ...] = ()
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters for Muon (hidden matrices) and for AdamW (vectors, and names that contain a word of `outside`)."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, p in module.named_parameters():
        if p.requires_grad:
            hidden = p.ndim >= 2 and min(p.shape[0], p.numel() // p.shape[0]) >= 16
            (matrices if hidden and not any(word in name for word in outside) else others).append(p)
    return matrices, others
