"""Parts that a pipeline is given instead of loading them itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitascope.engine import weights
from vitascope.engine.pipelines import read_net
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, RequestError
from vitascope.generators.base import Part
from vitascope.settings import Settings

FILES = ("config.json", "diffusion_pytorch_model.safetensors")
# Of a repository that is one network or one text encoder, in whatever form its authors chose.
ANY_FORM = ("*.json", "*.model", "*.txt", "*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")


def check_named(
    source: Callable[[], weights.Source], model: str, base: str | None, revision: str | None
) -> None:
    """See that what names the files of `model` besides its own name is read. Raises: RequestError."""
    if base and source().kind != "file":
        raise RequestError(
            f"base={base!r} has no effect on {model!r}: it lends its parts to a single file; leave it out",
            param="base",
        )
    if revision and source().kind not in ("hub", "file"):
        raise RequestError(
            f"revision={revision!r} has no effect on {model!r}, which is on this machine; leave it out",
            param="revision",
        )


def float32_vae(where: str, folder: Path, placement: Placement) -> dict[str, Any]:
    """The folder's VAE of the class "module:Class" in float32, for families whose VAE needs it.

    Nothing if all is loaded in float32 anyway.
    """
    if placement.dtype == "float32":
        return {}
    import torch

    return {"vae": read_net(where, folder / "vae", torch.float32)}


def parts_of(*components: str, patterns: tuple[str, ...] = FILES) -> tuple[Part, ...]:
    """What components that are published on their own take from the hub; local ones take nothing."""
    found = [weights.find_source(name) for name in components]
    return tuple(
        Part(repo=source.name, patterns=patterns) for source in found if source and source.kind == "hub"
    )


def located(name: str, patterns: tuple[str, ...] = ANY_FORM) -> Path:
    """The local folder or file called `name`; of a hub id, the folder with its files, fetched if they must be.

    Raises: NotFound, UnknownName, NoNetwork, WeightsMissing, DiskFull.
    """
    return weights.local_files(name, patterns, offline=Settings.from_environment().offline)


def component(where: str, name: str, placement: Placement) -> Any:
    """A part of the class "module:Class" that is published on its own: an adapter, a ControlNet.

    `name`: a local folder or a hub id. Raises: InvalidMedia for a part of another class or a
    damaged one, WeightsMissing, NotFound, NoNetwork.
    """
    import torch

    folder = weights.local_files(name, FILES, offline=Settings.from_environment().offline)
    wanted, held = where.partition(":")[2], weights.read_json(folder / "config.json").get("_class_name")
    if held != wanted:
        raise InvalidMedia(f"{name!r} holds a {held or 'model without config.json'}, not a {wanted}")
    weights.check_part(folder)
    return read_net(where, folder, getattr(torch, placement.dtype))
