"""One process group of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch.distributed as dist


@dataclass(frozen=True)
class Group:
    """The ranks that split one dimension of the work, and this process's place among them.

    `ranks` are numbers in the whole world, in the group's order.
    """

    process_group: Any
    ranks: tuple[int, ...]
    index: int

    @property
    def size(self) -> int:
        """The number of ranks in the group."""
        return len(self.ranks)

    @classmethod
    def join(cls, groups: list[list[int]], backend: str) -> Self:
        """This process's group of several that share the world; a collective call."""
        rank, mine = dist.get_rank(), None
        for ranks in groups:
            options = _at_once() if backend == "nccl" else None
            made = dist.new_group(ranks, backend=backend, pg_options=options)
            if rank in ranks:
                mine = cls(made, tuple(ranks), ranks.index(rank))
        assert mine is not None, "every rank is in one group of a kind"
        return mine


def _at_once() -> Any:
    """What is sent goes ahead of blocks of attention that wait for a multiprocessor."""
    options = dist.ProcessGroupNCCL.Options()
    options.is_high_priority_stream = True
    return options
