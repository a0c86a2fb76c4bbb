"""Memory that several processes on this machine write to, as GPUs write to each other's: a file mapped by all."""

import mmap
import os
import time
from pathlib import Path

import torch
from torch import Tensor

NUM_SIGNALS = 512
PATIENCE_S = 60


class SharedMemory:
    """A `PeerMemory` of ranks on CPUs, in files of `folder`; grown, it is another file."""

    def __init__(self, rank: int, size: int, folder: str) -> None:
        self.rank, self.size, self.folder = rank, size, Path(folder)
        self.parts: list[Tensor] = []
        self.signals = [self._mapped(f"signals-{other}", NUM_SIGNALS, torch.int32) for other in range(size)]
        self.pushed: list[tuple[int, int]] = []

    def _mapped(self, name: str, size: int, dtype: torch.dtype) -> Tensor:
        """Not by `torch.from_file`, which writes a zero where the file begins: a quicker rank may have told by then."""
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(descriptor, size * dtype.itemsize)  # zeros; what is there stays
            return torch.frombuffer(mmap.mmap(descriptor, size * dtype.itemsize), dtype=dtype)
        finally:
            os.close(descriptor)

    def reserve(self, like: Tensor, size: int) -> Tensor:
        if not self.parts or self.parts[0].numel() < size:
            self.parts = [self._mapped(f"{size}-{other}", size, like.dtype) for other in range(self.size)]
        return self.parts[self.rank]

    def push(self, rank: int, begin: int, numbers: Tensor, signal: int) -> None:
        signals = self.signals[rank][signal * self.size : (signal + 1) * self.size]
        assert not signals[self.rank], "told again before it was heard"
        self.parts[rank][begin : begin + numbers.numel()] = numbers
        signals[self.rank] = 1
        self.pushed.append((rank, numbers.numel()))

    def hear(self, rank: int, signal: int) -> None:
        until = time.monotonic() + PATIENCE_S
        here = self.signals[self.rank][signal * self.size : (signal + 1) * self.size]
        while not here[rank]:
            assert time.monotonic() < until, f"rank {rank} does not tell"
            time.sleep(1e-4)  # the other may need this processor
        here[rank] = 0

    def settle(self) -> None:
        """Pushing waits here."""
