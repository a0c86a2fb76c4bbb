"""The process groups of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.distributed as dist

from vitascope.engine.parallel.layout import Layout


@dataclass(frozen=True)
class Group:
    """The ranks that share one thing, and this process's place among them.

    `ranks` are numbers in the whole world, in the group's order.
    """

    process_group: Any
    ranks: tuple[int, ...]
    index: int

    @property
    def size(self) -> int:
        """How many ranks."""
        return len(self.ranks)


@dataclass(frozen=True)
class Mesh:
    """This process's place in a layout. Every rank joins alike, after `init_process_group`."""

    layout: Layout
    rank: int
    device: torch.device
    everyone: Group
    cfg: Group
    sequence: Group
    ulysses: Group
    ring: Group

    @classmethod
    def join(cls, layout: Layout, device: torch.device) -> Self:
        """Make the groups; a collective call."""
        rank, backend = dist.get_rank(), "nccl" if device.type == "cuda" else "gloo"
        assert layout.world == dist.get_world_size(), "the layout is for another number of ranks"
        kinds = ("everyone", "cfg", "sequence", "ulysses", "ring")
        mine = {kind: _join(layout.groups(kind), rank, backend) for kind in kinds}
        return cls(layout, rank, device, **mine)


def _join(groups: list[list[int]], rank: int, backend: str) -> Group:
    mine: Group | None = None
    for ranks in groups:
        made = dist.new_group(ranks, backend=backend, pg_options=_at_once() if backend == "nccl" else None)
        if rank in ranks:
            mine = Group(made, tuple(ranks), ranks.index(rank))
    assert mine is not None, "every rank is in one group of a kind"
    return mine


def _at_once() -> Any:
    """What is sent goes ahead of blocks of attention that wait for a multiprocessor."""
    options = dist.ProcessGroupNCCL.Options()
    options.is_high_priority_stream = True
    return options
