"""The rows of a picture shared out among ranks: what convolutions and norms must know of the other ranks' rows.

A convolution reaches one row beyond a rank's own; a group norm is over all rows. One gathering before each
convolution brings both, so that the decoded pixels are one device's, without seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.engine.parallel.exchange import gathered
from vitascope.engine.parallel.group import Group
from vitascope.engine.parallel.layout import ranges, shares


class SharedRows:
    """This rank's share of the rows of one picture size after the other, larger and larger.

    `portions` is the share of each rank, which stays the same while a picture grows. Shape: (ranks,), sum 1.
    """

    def __init__(self, group: Group, total: int, device: torch.device) -> None:
        self.group, self.total = group, total
        self.index, self.last = group.index, group.size - 1
        self.portions = torch.tensor(shares(total, group.size), device=device) / total
        # The same name in every process and at every start, so that compiled graphs are found again.
        self.name = f"{total} rows of {group.size} #{len(_GROUPS)}"
        _GROUPS[self.name] = group

    def own(self, states: Tensor) -> Tensor:
        """This rank's rows. Shape: (B, C, T, H, W) -> (B, C, T, h, W)."""
        begin, end = ranges(self.total, self.group.size)[self.index]
        return states[:, :, :, begin:end]

    def whole(self, states: Tensor) -> Tensor:
        """All ranks' rows. Shape: (B, C, T, h, W) -> (B, C, T, H, W)."""
        mine = shares(self.total, self.group.size)
        grown = states.shape[3] // mine[self.index]
        return gathered(states, 3, [share * grown for share in mine], self.group)

    def around(self, states: Tensor, zeros: bool = False) -> Tensor:
        """`states` with the neighbours' nearest rows; beyond the edge of the picture its own again, or zeros.

        Shape: (..., h, W) -> (..., h + 2, W).
        """
        edges = torch.stack([states[..., 0, :], states[..., -1, :]])
        every: Tensor = torch.ops.vitascope.of_every_rank(edges, self.name)
        beyond = torch.zeros_like(edges) if zeros else edges
        above = every[self.index - 1, 1] if self.index > 0 else beyond[0]
        below = every[self.index + 1, 0] if self.index < self.last else beyond[1]
        return torch.cat([above.unsqueeze(-2), states, below.unsqueeze(-2)], -2)

    def moments(self, states: Tensor, num_groups: int, by_frame: bool = True) -> tuple[Tensor, Tensor]:
        """Mean and variance over all ranks' rows, of each group of channels and of each frame, in float32.

        Shape: (B, C, T, h, W) -> twice (B, num_groups, 1, T, 1, 1), or 1 for T.
        Source: Chan, Golub and LeVeque, Updating formulae for computing sample variances (1979).
        """
        grouped = states.float().unflatten(1, (num_groups, -1))
        over = (2, 4, 5) if by_frame else (2, 3, 4, 5)
        var, mean = torch.var_mean(grouped, dim=over, correction=0, keepdim=True)
        every: Tensor = torch.ops.vitascope.of_every_rank(torch.stack([mean, var]), self.name)
        portions = self.portions.view(-1, *[1] * mean.ndim)
        means, variances = every[:, 0], every[:, 1]
        mean = (portions * means).sum(0)
        return mean, (portions * (variances + (means - mean) ** 2)).sum(0)

    def normed(self, states: Tensor, norm: Any, mean: Tensor, var: Tensor) -> Tensor:
        """`norm`, a group norm, by these moments. Shape: (B, C, T, h, W)."""
        grouped = states.float().unflatten(1, (norm.num_groups, -1))
        frames = ((grouped - mean) * torch.rsqrt(var + norm.eps)).flatten(1, 2)
        weight, bias = (parameter.view(-1, 1, 1, 1) for parameter in (norm.weight, norm.bias))
        return (frames * weight + bias).to(states.dtype)

    @contextmanager
    def within(self, decoder: nn.Module) -> Iterator[None]:
        """While it lasts, the group norms and 3x3 convolutions of `decoder` know of the other ranks' rows.

        For decoders of such layers, padded with zeros, and of what works on each pixel by itself.
        """
        hooks, norms = [], []
        for module in decoder.modules():
            if isinstance(module, nn.GroupNorm):
                norms.append(module)
                module.forward = partial(self._norm, module)  # type: ignore[method-assign]
            elif isinstance(module, nn.Conv2d | nn.Conv3d) and module.kernel_size[-2] == 3:
                # Its own padding makes two rows more, of which neither is anybody's.
                hooks.append(
                    module.register_forward_pre_hook(lambda _, args: self.around(args[0], zeros=True))
                )
                hooks.append(module.register_forward_hook(lambda _, __, output: output[..., 1:-1, :]))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for norm in norms:
                del norm.forward

    def _norm(self, norm: nn.GroupNorm, states: Tensor) -> Tensor:
        mean, var = self.moments(states, norm.num_groups, by_frame=False)
        return self.normed(states, norm, mean, var)


class DecodingRows:
    """The `SharedRows` of each height of latents that comes; the same ones again, since compiled code knows them."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._by_height: dict[int, SharedRows] = {}

    def __call__(self, latents: Tensor) -> SharedRows | None:
        """Shape: (B, c, t, h, w). None where there are fewer rows than ranks, or one rank."""
        total = latents.shape[3]
        if self.group.size == 1 or total < self.group.size:
            return None
        if total not in self._by_height:
            self._by_height[total] = SharedRows(self.group, total, latents.device)
        return self._by_height[total]


_GROUPS: dict[str, Group] = {}  # an operation of torch takes no Python object but a name


@torch.library.custom_op("vitascope::of_every_rank", mutates_args=())
def _of_every_rank(mine: Tensor, name: str) -> Tensor:
    group = _GROUPS[name]
    return gathered(mine[None], 0, [1] * group.size, group).contiguous()


@_of_every_rank.register_fake
def _(mine: Tensor, name: str) -> Tensor:
    return mine.new_empty(_GROUPS[name].size, *mine.shape)
