"""Seconds and GiB on one device, and how much time a run has left."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from vitascope.engine.memory import GIB


class Meter:
    """Measures what is done on `device`; `deadline` in seconds since the epoch."""

    def __init__(self, device: str, deadline: float | None = None) -> None:
        self._on_gpu = device.startswith("cuda")
        self._deadline = deadline

    def has_time(self, seconds: float) -> bool:
        """Whether something that takes so long ends before the deadline."""
        return self._deadline is None or time.time() + seconds <= self._deadline

    def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """The seconds that `work` takes, the device's part included, and what it returns."""
        self._wait()
        begun = time.perf_counter()
        output = work()
        self._wait()
        return time.perf_counter() - begun, output

    def _wait(self) -> None:
        import torch

        if self._on_gpu:
            torch.cuda.synchronize()

    def forget_peak(self) -> float:
        """Begin to look for the most memory anew; what is taken now. Units: GiB."""
        import torch

        if not self._on_gpu:
            return 0.0
        gc.collect()  # hooks and networks hold each other
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / GIB

    def peak(self) -> float | None:
        """The most memory since `forget_peak`. Units: GiB."""
        import torch

        return torch.cuda.max_memory_allocated() / GIB if self._on_gpu else None

    def device_gib(self) -> float | None:
        """The peak as the card sees it: with what torch reserves, CUDA's own and other processes'."""
        import torch

        if not self._on_gpu:
            return None
        free, total = torch.cuda.mem_get_info()
        return (total - free - torch.cuda.memory_reserved() + torch.cuda.max_memory_reserved()) / GIB
