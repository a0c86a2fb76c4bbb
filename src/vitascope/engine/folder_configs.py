"""Find settings in a model folder that diffusers silently ignores, and parts that do not fit their own config.json."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitascope.engine import weights
from vitascope.engine.tensor_files import tensor_shapes


def unread(pipeline: Any, folder: Path) -> tuple[str, ...]:
    """One line for each network whose config.json names another class, or settings that its class does not know.

    And for one whose files hold tensors for which the network has no place. diffusers reads all that without a word;
    a newer release of it may know such a setting, and make another network.
    """
    lines = list(_misnamed(folder))
    for name, cls, config in _networks(folder):
        net = getattr(pipeline, name, None)
        made = type(net)
        if made.__name__ != cls:
            continue
        known = {*inspect.signature(made).parameters, "quantization_config"}
        strange = [key for key in config if key not in known and not key.startswith("_")]
        if strange:
            lines.append(f"{_path(folder, name)}: a {cls} has no {', '.join(map(repr, strange))}; left out")
        if "quantization_config" not in config and (spare := _spare(net, folder / name)):
            lines.append(
                f"{str(folder / name)!r} holds {len(spare)} tensors for which a {cls} of its config.json has no place, "
                f"such as {spare[0]!r}; left out"
            )
    return tuple(lines)


def _spare(net: Any, folder: Path) -> list[str]:
    """Names of tensors in the safetensors files of `folder` that `net` has not."""
    ignored = tuple(getattr(net, "_keys_to_ignore_on_load_unexpected", None) or ())
    places = net.state_dict()
    held = [key for file in _safetensors(folder) for key in tensor_shapes(file)]
    return [key for key in held if key not in places and not any(part in key for part in ignored)]


def misfit(folder: Path, pipeline_class: Any) -> str | None:
    """What in `folder` cannot make such a pipeline, in one line; None if all of it looks as it should.

    For folders that could not be loaded: a library's own message often does not say in which part it failed.
    """
    wanted = inspect.signature(pipeline_class.__init__).parameters.values()
    needed = [w.name for w in wanted if w.default is w.empty and w.kind is w.POSITIONAL_OR_KEYWORD][1:]
    index = weights.read_json(folder / "model_index.json")
    if lacking := [name for name in needed if name not in index]:
        return f"its model_index.json names no {', '.join(map(repr, lacking))}"
    return next(iter(_misnamed(folder)), None) or next(_misshapen(folder), None)


def _safetensors(folder: Path) -> list[Path]:
    """Files whose shapes can be told without reading them."""
    return [file for file in sorted(folder.iterdir()) if file.suffix == ".safetensors"]


def _path(folder: Path, name: str) -> str:
    return repr(str(folder / name / "config.json"))


def _networks(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, class and configuration of the networks of diffusers that model_index.json names."""
    for name, kind in weights.read_json(folder / "model_index.json").items():
        config = weights.read_json(folder / name / "config.json")
        if config and isinstance(kind, list) and kind[0] == "diffusers":
            yield name, kind[1], config


def _misnamed(folder: Path) -> Iterator[str]:
    for name, cls, config in _networks(folder):
        named = config.get("_class_name", cls)
        if named != cls:
            yield f"{_path(folder, name)} is of a {named} and was read as the {cls} of model_index.json"


def _misshapen(folder: Path) -> Iterator[str]:
    """Networks whose files hold other shapes than their configuration makes."""
    import diffusers
    import torch

    for name, cls, config in _networks(folder):
        try:
            with torch.device("meta"):
                net = getattr(diffusers, cls).from_config(config)
        except Exception as error:  # noqa: BLE001 (whatever a wrong value leads to)
            yield f"{_path(folder, name)} makes no {cls}: {str(error).splitlines()[0][:200]}"
            continue
        wanted = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
        for file in _safetensors(folder / name):
            for key, shape in tensor_shapes(file).items():
                if wanted.get(key, shape) != shape:
                    yield (
                        f"{str(file)!r} holds {key!r} of shape {shape}, and {cls} of the config.json beside it has "
                        f"{wanted[key]}: weights of another model"
                    )
