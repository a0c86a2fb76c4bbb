"""Exchange by plain copies between GPUs that reach each other's memory, and a signal after each.

68 MB and their signal take 0.28 ms between two H200s; a step of Mochi on four took 1.36 s, and 1.42 s by a collective.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.attention import cuda_capability
from vitascope.engine.parallel.exchange import Numbers, Room
from vitascope.engine.parallel.group import Group

ALIGNED = 128  # numbers; kernels read rows of 16 bytes and more
NUM_SIGNALS = 512  # that torch keeps for each rank, of 4 bytes each

logger = logging.getLogger(__name__)


class PeerMemory(Protocol):
    """Memory of which every rank of a group has a part, and which all may write to."""

    def reserve(self, like: Tensor, size: int) -> Tensor:
        """This rank's part, of at least so many numbers; a collective call."""
        ...

    def push(self, rank: int, begin: int, numbers: Tensor, signal: int) -> None:
        """Write into a rank's part, then set its signal of this rank; does not wait."""
        ...

    def hear(self, rank: int, signal: int) -> None:
        """What comes later waits for the signal that a rank sets here, and takes it back."""
        ...

    def settle(self) -> None:
        """What comes later waits until all that was pushed is there."""
        ...


class PeerCopies:
    """A `Carrier` that writes straight into the other ranks' memory.

    Where rooms lie as in the call before, no rank says that they are free: it sends heads after it had the outputs
    of the call before, which their owner sent after reading heads; and outputs after it had the heads of this
    call, which their owner sent after reading outputs. Where they come to lie elsewhere, all wait for all.
    """

    prefers_halves = True

    def __init__(self, group: Group, memory: PeerMemory) -> None:
        self.group, self.memory = group, memory
        self._asked: tuple[object, ...] = ()
        self._begins: list[int] = []
        self._sent: list[Tensor] = []

    def rooms(self, like: Tensor, sizes: Sequence[int]) -> list[Room]:
        """Parts of this rank's memory, at the same places on all ranks."""
        assert len(sizes) < NUM_SIGNALS // self.group.size, "more rooms than signals"
        ends = list(accumulate(-(-size // ALIGNED) * ALIGNED for size in sizes))
        asked = (like.dtype, *sizes)
        if self._asked and self._asked != asked:
            self._wait_for_all(like)
        self._asked = asked
        own = self.memory.reserve(like, ends[-1])
        self._begins = [0, *ends[:-1]]
        places = zip(self._begins, sizes, strict=True)
        return [Room(number, own[begin : begin + length]) for number, (begin, length) in enumerate(places)]

    def exchanged(self, room: Room, out_of: Tensor, numbers: Numbers) -> Callable[[], None]:
        """As in `Carrier.exchanged`."""
        me, size = self.group.index, self.group.size
        others = [(me + away) % size for away in range(1, size)]  # each begins with another
        begins = [sum(row[rank] for row in numbers[:me]) for rank in range(size)]
        going = out_of.split(list(numbers[me]))
        self._sent.append(out_of)
        for rank in others:
            self.memory.push(rank, self._begins[room.number] + begins[rank], going[rank], room.number)
        room.memory[begins[me] : begins[me] + going[me].numel()] = going[me]

        def wait() -> None:
            for rank in others:
                self.memory.hear(rank, room.number)

        return wait

    def _wait_for_all(self, like: Tensor) -> None:
        """Every rank has done with the rooms of its last call."""
        signal = NUM_SIGNALS // self.group.size - 1  # beyond any room's
        others = [rank for rank in range(self.group.size) if rank != self.group.index]
        for rank in others:
            self.memory.push(rank, 0, like.flatten()[:0], signal)
        for rank in others:
            self.memory.hear(rank, signal)

    def settle(self) -> None:
        """As in `Carrier.settle`."""
        self.memory.settle()
        self._sent.clear()


class SymmetricMemory:
    """Memory of the GPUs of one machine, mapped into all ranks' processes by torch."""

    def __init__(self, group: Group, device: torch.device) -> None:
        self.group = group
        self.device = (
            device if device.index is not None else torch.device("cuda", torch.cuda.current_device())
        )
        self.stream = torch.cuda.Stream(self.device)
        self._set = torch.ones(1, dtype=torch.int32, device=self.device)
        self._handle: Any = None
        self._parts: list[Tensor] = []
        self._signals: list[Tensor] = []

    def reserve(self, like: Tensor, size: int) -> Tensor:
        """As in `PeerMemory.reserve`. Grows when more is asked for than ever before."""
        index = self.group.index
        if not self._parts or self._parts[index].dtype != like.dtype or self._parts[index].numel() < size:
            self._allocate(like.dtype, size)
        return self._parts[index]

    def _allocate(self, dtype: torch.dtype, size: int) -> None:
        from torch.distributed import _symmetric_memory as symmetric

        # Each rank sees its own GPU alone, as number 0.
        os.environ["TORCH_SYMM_MEM_ALLOW_OVERLAPPING_DEVICES"] = "1"
        torch.cuda.synchronize(self.device)
        self._handle, self._parts, self._signals = None, [], []
        torch.cuda.empty_cache()  # this memory does not come from what torch keeps
        with torch.inference_mode(False):  # written to within and without
            try:
                own = symmetric.empty(size, dtype=dtype, device=self.device)
            except RuntimeError as error:
                if "out of memory" not in str(error):
                    raise
                gib = size * dtype.itemsize / 2**30
                raise torch.OutOfMemoryError(f"no {gib:.1f} GiB for what other GPUs send") from error
            self._handle = symmetric.rendezvous(own, self.group.process_group)
            ranks = range(self.group.size)
            self._parts = [self._handle.get_buffer(rank, (size,), dtype) for rank in ranks]
            self._parts[self.group.index] = own
            self._signals = [self._handle.get_signal_pad(rank, (NUM_SIGNALS,), torch.int32) for rank in ranks]

    def push(self, rank: int, begin: int, numbers: Tensor, signal: int) -> None:
        """As in `PeerMemory.push`: the data, then the signal, as two copies in order."""
        at = signal * self.group.size + self.group.index
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            self._parts[rank][begin : begin + numbers.numel()].copy_(numbers)
            self._signals[rank][at : at + 1].copy_(self._set)

    def hear(self, rank: int, signal: int) -> None:
        """As in `PeerMemory.hear`."""
        self._handle.wait_signal(rank, signal)

    def settle(self) -> None:
        """As in `PeerMemory.settle`."""
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def ready(self) -> bool:
        """Whether there is such memory here; a collective call, like the next two, which try it."""
        own = self.reserve(self._set, self.group.size)
        own.fill_(-1)
        torch.cuda.synchronize(self.device)
        return True

    def greet(self) -> bool:
        """Push a number to every rank."""
        mine = self._set * self.group.index
        for rank in range(self.group.size):
            self.push(rank, self.group.index, mine, signal=0)
        torch.cuda.synchronize(self.device)
        return True

    def greeted(self) -> bool:
        """Whether every rank's came, with its signal."""
        own, signals = (each[self.group.index][: self.group.size] for each in (self._parts, self._signals))
        good = own.tolist() == list(range(self.group.size)) and bool(signals.all())
        signals.zero_()
        torch.cuda.synchronize(self.device)
        return good


def peer_copies(group: Group, device: torch.device) -> PeerCopies | None:
    """The carrier for GPUs that reach each other's memory, None for others; a collective call of all ranks."""
    if group.size == 1 or device.type != "cuda" or cuda_capability(device) == (0, 0):
        return None
    memory = SymmetricMemory(group, device)
    tried = all(_on_all_ranks(attempt) for attempt in (memory.ready, memory.greet, memory.greeted))
    return PeerCopies(group, memory) if tried else None


def _on_all_ranks(attempt: Callable[[], bool]) -> bool:
    """Whether it is well on every rank of the world, on which all agree before they go on."""
    try:
        good = attempt()
    except Exception as error:  # noqa: BLE001  whatever a driver says that cannot
        logger.warning("tokens go by collectives, not by copies between GPUs: %s", error)
        good = False
    agreed = torch.tensor([int(good)])
    dist.all_reduce(agreed, dist.ReduceOp.MIN)
    return bool(agreed.item())
