"""The process groups of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
import torch.distributed as dist

from vitascope.engine.parallel.exchange import Carrier, Collectives
from vitascope.engine.parallel.group import Group
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.peer_copies import peer_copies


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
        mine = {kind: Group.join(layout.groups(kind), backend) for kind in kinds}
        return cls(layout, rank, device, **mine)

    @cached_property
    def carrier(self) -> Carrier:
        """What takes tokens to the ranks of the Ulysses group and back; the first time, a collective call."""
        return peer_copies(self.ulysses, self.device) or Collectives(self.ulysses)
