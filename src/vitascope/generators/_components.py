"""Parts that a pipeline is given instead of loading them itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine import weights
from vitascope.engine.pipelines import import_class
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia
from vitascope.settings import Settings

FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def float32_vae(where: str, folder: Path, placement: Placement) -> dict[str, Any]:
    """The folder's VAE of the class "module:Class" in float32, for families whose VAE needs it.

    Nothing if all is loaded in float32 anyway.
    """
    if placement.dtype == "float32":
        return {}
    import torch

    vae = import_class(where).from_pretrained(
        folder, subfolder="vae", dtype=torch.float32, local_files_only=True
    )
    return {"vae": vae}


def component(where: str, name: str, placement: Placement) -> Any:
    """A part of the class "module:Class" that is published on its own: an adapter, a ControlNet.

    `name`: a local folder or a hub id. Raises: InvalidMedia for a part of another class, WeightsMissing,
    NotFound, NoNetwork.
    """
    import torch

    folder = weights.local_files(name, FILES, offline=Settings.from_environment().offline)
    wanted, held = where.partition(":")[2], weights.read_json(folder / "config.json").get("_class_name")
    if held != wanted:
        raise InvalidMedia(f"{name!r} holds a {held or 'model without config.json'}, not a {wanted}")
    return import_class(where).from_pretrained(
        folder, dtype=getattr(torch, placement.dtype), local_files_only=True
    )
