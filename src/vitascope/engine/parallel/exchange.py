"""Tensors that change hands between ranks: tokens for heads and back, shares gathered to a whole.

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
    """What each rank shall have of every sample, one after the other.

    Shape: (B, n, H, D) -> (B, n * H * D). Plain tensor code, which a compiler melts into what made `x`.
    """
    return torch.cat([x[:, :, begin:end].flatten(1) for begin, end in heads], 1)


@dataclass(frozen=True)
class Room:
    """Memory that numbers of other ranks come to in one call, and its place among the call's rooms."""

    number: int
    memory: Tensor


class Carrier(Protocol):
    """What takes tokens to the ranks that have their heads, and back. All ranks make the same calls in turn.

    `prefers_halves`: whether heads in two halves are quicker than all at once, whichever kernel attends.
    """

    @property
    def prefers_halves(self) -> bool:
        """See above."""
        ...

    def rooms(self, like: Tensor, sizes: Sequence[int]) -> list[Room]:
        """Flat memory, each of at least so many numbers; theirs until `settle`. The sizes are all ranks'."""
        ...

    def exchanged(self, room: Room, out_of: Tensor, numbers: Numbers) -> Callable[[], None]:
        """Fill `room` with what every rank has for this one, in their order; starts now, waits when called.

        Source: Jacobs et al., DeepSpeed Ulysses, https://arxiv.org/abs/2309.14509.
        """
        ...

    def settle(self) -> None:
        """All is where it was to go: what was sent may be freed, and rooms be asked for anew."""
        ...


class Collectives:
    """By the process group's own all-to-all."""

    prefers_halves = False

    def __init__(self, group: Group) -> None:
        self.group = group

    def rooms(self, like: Tensor, sizes: Sequence[int]) -> list[Room]:
        """New memory."""
        return [Room(number, like.new_empty(size)) for number, size in enumerate(sizes)]

    def exchanged(self, room: Room, out_of: Tensor, numbers: Numbers) -> Callable[[], None]:
        """As said of a `Carrier`."""
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
        """The process group keeps what it sends by itself."""


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
