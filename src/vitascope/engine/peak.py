"""GPU memory at its peak while something ran, and on what it ran."""

from __future__ import annotations

import platform


class MemoryPeak:
    """Entered before the work. `gib` is the peak of torch's allocator on the current GPU, None on a CPU.

    Units: GiB (2**30 bytes).
    """

    gib: float | None = None
    device: str = ""

    def __enter__(self) -> MemoryPeak:
        import torch

        self._cuda = torch.cuda.is_available()
        self.device = torch.cuda.get_device_name() if self._cuda else f"CPU {platform.machine()}"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        if self._cuda:
            self.gib = torch.cuda.max_memory_allocated() / 2**30
