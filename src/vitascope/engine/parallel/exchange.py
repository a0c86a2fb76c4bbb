"""Exchange tensors between ranks: tokens for heads and back (Ulysses), and shares gathered to a whole.

Shares may be unequal: every rank knows the sizes of all, so that nothing is padded or masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.parallel.group import Group

# [i][j]: how many numbers rank i has for rank j
Numbers = Sequence[Sequence[int]]
# torch renamed it in 2.13
_ALL_GATHER = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def packed(x: Tensor, heads: Sequence[tuple[int, int]]) -> Tensor:
    """Cut the heads of every sample into one contiguous piece for each rank.

    Shape: (B, n, H, D) -> (B, n * H * D). Plain tensor code, which a compiler melts into what made `x`.
    """
    return torch.cat([x[:, :, begin:end].flatten(1) for begin, end in heads], 1)


@dataclass(frozen=True)
class Room:
    """A receive buffer of one exchange, and its index among the buffers of that call."""

    number: int
    memory: Tensor


class Carrier(Protocol):
    """Transport of the Ulysses exchange: tokens go to the ranks that own their heads, and back.

    All ranks make the same calls in the same order.

    `prefers_halves`: whether heads in two halves are quicker than all at once, whichever kernel attends.
    """

    @property
    def prefers_halves(self) -> bool:
        """Whether heads sent in two halves arrive sooner than all at once."""
        ...

    def rooms(self, like: Tensor, sizes: Sequence[int]) -> list[Room]:
        """Flat receive buffers of at least these sizes, valid until `settle`. `sizes` are those of all ranks."""
        ...

    def exchanged(self, room: Room, out_of: Tensor, numbers: Numbers) -> Callable[[], None]:
        """Fill `room` with what every rank sends to this one, in the order of the ranks.

        The exchange starts now; calling what is returned waits for its end.

        Source: Jacobs et al., DeepSpeed Ulysses, https://arxiv.org/abs/2309.14509.
        """
        ...

    def settle(self) -> None:
        """Wait until all has arrived: what was sent may then be freed, and new buffers be asked for."""
        ...


class Collectives:
    """The exchange by the process group's own all-to-all."""

    prefers_halves = False

    def __init__(self, group: Group) -> None:
        self.group = group

    def rooms(self, like: Tensor, sizes: Sequence[int]) -> list[Room]:
        """Newly allocated buffers."""
        return [Room(number, like.new_empty(size)) for number, size in enumerate(sizes)]

    def exchanged(self, room: Room, out_of: Tensor, numbers: Numbers) -> Callable[[], None]:
        """As in `Carrier.exchanged`."""
        me = self.group.index
        coming = [row[me] for row in numbers]
        into = room.memory[: sum(coming)]
        if self.group.size == 1:
            into.copy_(out_of)
            return lambda: None
        work = dist.all_to_all_single(
            into, out_of, coming, list(numbers[me]), group=self.group.process_group, async_op=True
        )

        def wait() -> None:
            work.wait()

        return wait

    def settle(self) -> None:
        """Nothing to wait for: the process group holds on to what it sends."""


def gathered(x: Tensor, dim: int, sizes: Sequence[int], group: Group) -> Tensor:
    """The whole along `dim` from every rank's share; `sizes` are the shares."""
    if group.size == 1:
        return x
    most = max(sizes)
    moved = x.movedim(dim, 0)
    if moved.shape[0] < most:
        moved = torch.cat([moved, moved.new_zeros(most - moved.shape[0], *moved.shape[1:])])
    moved = moved.contiguous()
    whole = moved.new_empty(group.size * most, *moved.shape[1:])
    _ALL_GATHER(whole, moved, group=group.process_group)
    if min(sizes) < most:
        parts = [part[:size] for part, size in zip(whole.split(most), sizes, strict=True)]
        whole = torch.cat(parts)
    return whole.movedim(0, dim)
