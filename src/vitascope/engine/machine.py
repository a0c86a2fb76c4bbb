"""What this machine is: processors, memory, devices, installed extras."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vitascope.settings import Settings

GIB = 2**30
LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "peft", "av", "vitascope-embedded")


class Extra(BaseModel):
    """An optional set of packages and those of it that are not installed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    packages: tuple[str, ...]
    missing: tuple[str, ...]


class Machine(BaseModel):
    """What was found. Units: GiB. `gpu_memory_gib` is the largest single GPU's, 0 without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: dict[str, str]
    extras: tuple[Extra, ...]
    memory_gib: float
    gpu_memory_gib: float

    def fits(self, weights_gib: float) -> str:
        """Where weights of this size (bfloat16) have room; activations come on top of it."""
        return Room(self.memory_gib, self.gpu_memory_gib).verdict(weights_gib)


@dataclass(frozen=True)
class Room:
    """How much memory a machine has. Units: GiB; `gpu_gib` of its largest single GPU, 0 without one."""

    memory_gib: float
    gpu_gib: float

    @classmethod
    def here(cls) -> Room:
        """This machine's, found without importing torch."""
        return cls(memory_gib(), _gpu_gib_by_driver())

    def verdict(self, gib: float) -> str:
        """Where something that takes `gib` in bfloat16 has room."""
        if gib <= 0.9 * self.gpu_gib:
            return "on the GPU"
        if self.gpu_gib and gib <= 0.9 * self.memory_gib:
            return "on the GPU with offload"
        if 2 * gib <= 0.9 * self.memory_gib:
            return "on the CPU (float32)"
        return f"no: {gib:.3g} GiB"


def _gpu_gib_by_driver() -> float:
    """Memory of the largest GPU as NVIDIA's own tool says; 0 without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0.0
    asked = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0.0
    return max((float(line) / 1024 for line in said.splitlines() if line.strip().isdigit()), default=0.0)


def memory_gib() -> float:
    """Memory of this machine, or of this container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        return min(total, int(text) / GIB)
    return total


def installed_extras() -> tuple[Extra, ...]:
    """The extras that the installed package declares, and what is missing of each."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(text) for text in requires("vitascope") or []]
        names = distribution("vitascope").metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:  # run from a source tree that was never installed
        return ()
    extras = []
    for name in names:
        packages = [r.name for r in declared if r.marker and r.marker.evaluate({"extra": name})]
        mine = [p for p in packages if p not in {r.name for r in declared if not r.marker}]
        extras.append(Extra(name=name, packages=tuple(mine), missing=tuple(p for p in mine if not _has(p))))
    return tuple(extras)


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _gpus() -> list[tuple[str, float]]:
    import torch

    if not torch.cuda.is_available():
        return []
    every = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [(gpu.name, gpu.total_memory / GIB) for gpu in every]


def examine() -> Machine:
    """Look at this machine; imports torch, loads no weights."""
    settings = Settings.from_environment()
    gpus = _gpus()
    home = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
        "memory": f"{memory_gib():.1f} GiB",
        "GPUs": ", ".join(f"{name} {gib:.0f} GiB" for name, gib in gpus)
        or "none: models run on the CPU in float32",
        "cache folder": f"{settings.home} ({shutil.disk_usage(home).free / GIB:.0f} GiB free)",
        "network": "off (offline is set)" if settings.offline else "used only when a model is downloaded",
        "prompt expansion endpoint": settings.llm_url or "none: the built-in expander is used",
    }
    facts |= {name: version(name) if _has(name) else "not installed" for name in LIBRARIES}
    return Machine(
        facts=facts,
        extras=installed_extras(),
        memory_gib=memory_gib(),
        gpu_memory_gib=max((gib for _, gib in gpus), default=0.0),
    )
