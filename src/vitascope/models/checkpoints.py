"""Published checkpoints as they come: hub id or local folder, safetensors or pickle, shards or one file."""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, NoNetwork, WeightsMissing

logger = logging.getLogger(__name__)

Tensors = dict[str, Tensor]
PICKLES = (".ckpt", ".bin", ".pt", ".pth")
WEIGHT_PATTERNS = ("*.safetensors", *(f"*{suffix}" for suffix in PICKLES))


def resolve(source: str | os.PathLike[str], subfolder: str = "") -> Path:
    """The local folder of a checkpoint; a hub id is downloaded unless it is in the hub's cache.

    Raises: WeightsMissing, NoNetwork.
    """
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir() or path.is_absolute() or str(source).startswith("."):
        folder = path / subfolder
        if not folder.is_dir():
            raise WeightsMissing(f"no folder {folder}: give a folder of published weights, or a hub id")
        return folder
    return _download(str(source), subfolder)


def _download(repository: str, subfolder: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    prefix = f"{subfolder}/" if subfolder else ""
    logger.warning("fetching %s/%s from the hub, unless it is in the cache", repository, subfolder)
    try:
        snapshot = snapshot_download(
            repository, allow_patterns=[prefix + pattern for pattern in ("*.json", *WEIGHT_PATTERNS)]
        )
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise WeightsMissing(
            f"{repository!r} is neither a local folder nor a repository of the hub"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise NoNetwork(f"{repository} is not in the cache and the hub could not be reached") from error
    folder = Path(snapshot) / subfolder
    if not folder.is_dir():
        raise WeightsMissing(f"{repository} has no folder {subfolder!r}")
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder. Raises: WeightsMissing, InvalidMedia."""
    file = folder / "config.json"
    if not file.is_file():
        raise WeightsMissing(f"no config.json in {folder}")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidMedia(f"{file} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InvalidMedia(f"{file} holds no object")
    return config


def read_tensors(location: Path) -> Tensors:
    """All tensors of a weights file, or of the one checkpoint in a folder, with upstream's names.

    A training checkpoint gives its averaged (EMA) network, else its network. Pickles are read as data only.
    Raises: WeightsMissing, InvalidMedia.
    Source: nesting as in Open-Sora-Plan v1.2.0, modeling_causalvae.py, `init_from_ckpt`.
    """
    tensors: Tensors = {}
    for file in _weight_files(location):
        tensors.update(_read_file(file))
    return tensors


def _weight_files(location: Path) -> list[Path]:
    if location.is_file():
        return [location]
    for index in sorted(location.glob("*.index.json")):
        shards = {
            location / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        }
        lacking = sorted(shard.name for shard in shards if not shard.is_file())
        if lacking:
            raise WeightsMissing(
                f"{location}: {len(lacking)} of {len(shards)} shards are missing, such as {lacking[0]}"
            )
        return sorted(shards)
    for pattern in WEIGHT_PATTERNS:
        found = sorted(location.glob(pattern))
        if len(found) > 1:
            raise WeightsMissing(f"{location} holds {len(found)} {pattern} files and no index: name the file")
        if found:
            return found
    raise WeightsMissing(f"no weights in {location}: looked for {', '.join(WEIGHT_PATTERNS)}")


def _read_file(file: Path) -> Tensors:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # Files older than torch 1.6 are no archives, and cannot be mapped.
        return _network_of(torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file)))
    except pickle.UnpicklingError as error:
        raise InvalidMedia(
            f"{file} cannot be read as weights without running code of its own, which is never done; "
            "convert it to safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidMedia(f"{file} cannot be read as weights: {reason}") from error


def _network_of(checkpoint: Any) -> Tensors:
    """The network of a training checkpoint: the averaged one if it was kept."""
    if not isinstance(checkpoint, Mapping):
        raise InvalidMedia(f"the checkpoint holds a {type(checkpoint).__name__}, not named tensors")
    if averaged := checkpoint.get("ema_state_dict"):
        return {key.removeprefix("module."): tensor for key, tensor in averaged.items()}
    network = checkpoint
    for wrapper in ("state_dict", "gen_model", "model"):
        if isinstance(inner := network.get(wrapper), Mapping):
            network = inner
    return {key: tensor for key, tensor in network.items() if isinstance(tensor, Tensor)}


def load_exactly(module: nn.Module, tensors: Tensors, dtype: torch.dtype) -> None:
    """Fill `module` (it may be on the meta device); every tensor must fit, and none may be over.

    Raises: InvalidMedia, for a checkpoint of another network.
    """
    wanted = module.state_dict()
    lacking, foreign = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    name = type(module).__name__
    if lacking or foreign:
        raise InvalidMedia(
            f"these are not the weights of {name}: {len(lacking)} of {len(wanted)} tensors are missing and "
            f"{len(foreign)} are foreign, such as {(lacking + foreign)[0]!r}"
        )
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise InvalidMedia(
                f"these are not the weights of this {name}: {key!r} is {tuple(tensor.shape)} in the file and "
                f"{tuple(wanted[key].shape)} by the config"
            )
    module.load_state_dict({key: tensor.to(dtype) for key, tensor in tensors.items()}, assign=True)
