"""The rows of a picture shared out among ranks: what convolutions and norms must know of the other ranks' rows.

A convolution reaches one row beyond a rank's own; a group norm is over all rows. One gathering before each
convolution brings both, so that the decoded pixels are one device's, without seams.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.engine.parallel.exchange import gathered
from vitascope.engine.parallel.layout import ranges, shares
from vitascope.engine.parallel.mesh import Group


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

    def around(self, states: Tensor) -> Tensor:
        """`states` with the neighbours' nearest rows; at the edge of the picture its own are repeated.

        Shape: (B, C, T, h, W) -> (B, C, T, h + 2, W).
        """
        edges = torch.stack([states[:, :, :, 0], states[:, :, :, -1]])
        every: Tensor = torch.ops.vitascope.of_every_rank(edges, self.name)
        above = every[self.index - 1, 1] if self.index > 0 else edges[0]
        below = every[self.index + 1, 0] if self.index < self.last else edges[1]
        return torch.cat([above.unsqueeze(3), states, below.unsqueeze(3)], 3)

    def moments(self, states: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        """Mean and variance over all ranks' rows, of each frame and group of channels, in float32.

        Shape: (B, C, T, h, W) -> twice (B, num_groups, 1, T, 1, 1).
        Source: Chan, Golub and LeVeque, Updating formulae for computing sample variances (1979).
        """
        grouped = states.float().unflatten(1, (num_groups, -1))
        var, mean = torch.var_mean(grouped, dim=(2, 4, 5), correction=0, keepdim=True)
        every: Tensor = torch.ops.vitascope.of_every_rank(torch.stack([mean, var]), self.name)
        portions = self.portions.view(-1, *[1] * mean.ndim)
        means, variances = every[:, 0], every[:, 1]
        mean = (portions * means).sum(0)
        return mean, (portions * (variances + (means - mean) ** 2)).sum(0)


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
