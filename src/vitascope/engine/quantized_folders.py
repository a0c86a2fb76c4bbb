"""Folders whose weights were saved in few bits: whether they can be read here, asked before anything is loaded."""

from __future__ import annotations

import importlib
from pathlib import Path

from vitascope.engine.weights import read_json
from vitascope.errors import DependencyMissing, ResourceError

# The package that reads what diffusers calls a quantization method, and our extra that brings it.
READERS = {"bitsandbytes": ("bitsandbytes", "bitsandbytes")}


def check_readable(folder: Path, device: str, without: tuple[str, ...] = ()) -> None:
    """Check that quantized components, by their config.json, can be unpacked on `device`; those `without` are skipped.

    Raises: DependencyMissing, ResourceError without a GPU: diffusers reads bitsandbytes' weights on one only.
    """
    for config in sorted(folder.glob("*/config.json")):
        if config.parent.name in without:
            continue
        method = read_json(config).get("quantization_config", {}).get("quant_method")
        if method not in READERS:
            continue
        package, extra = READERS[method]
        purpose = f"{str(config.parent)!r}, saved in {method}'s bits,"
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise DependencyMissing(package, extra, purpose) from error
        if not device.startswith("cuda"):
            raise ResourceError(f"{purpose} needs a CUDA GPU, not device {device!r}; take the full weights")
