"""Families whose VAE loses detail in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine.pipelines import import_class
from vitascope.engine.placement import Placement


def float32_vae(where: str, folder: Path, placement: Placement) -> dict[str, Any]:
    """The folder's VAE of the class "module:Class" in float32; nothing if all is loaded in float32 anyway."""
    if placement.dtype == "float32":
        return {}
    import torch

    vae = import_class(where).from_pretrained(folder, subfolder="vae", dtype=torch.float32, local_files_only=True)
    return {"vae": vae}
