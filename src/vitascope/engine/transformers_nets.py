"""Networks of the transformers library out of a folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import torch

from vitascope.engine import weights
from vitascope.engine.failures import misfits_explained
from vitascope.errors import InvalidMedia


def read_net(cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The network of class `cls` in `folder`, in main memory.

    Raises: InvalidMedia for weights that do not fit, or that lack a tensor: transformers would fill it at random.
    """
    from vitascope.engine.pipelines import quiet

    with misfits_explained(folder, cls.__name__), quiet():
        net, told = cls.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            variant=weights.variant_of(folder),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below: transformers' own message names no tensor
        )
    if misshapen := sorted(told["mismatched_keys"]):
        key, held, wanted = misshapen[0]
        raise InvalidMedia(
            f"{str(folder)!r} holds {key!r} of shape {tuple(held)}, and the {cls.__name__} of its config.json has "
            f"{tuple(wanted)}: weights of another model",
            param="model",
        )
    if lacking := sorted(told["missing_keys"]):
        raise InvalidMedia(
            f"{str(folder)!r} lacks {len(lacking)} of the tensors of a {cls.__name__}, such as "
            f"{lacking[0]!r}: not all of its weights, or another model's",
            param="model",
        )
    return net.eval()


def class_named(name: str, folder: Path) -> Any:
    """The class `name` of transformers, which the model_index.json in `folder` asks for. Raises: InvalidMedia."""
    import transformers

    try:
        return getattr(transformers, name)
    except AttributeError as error:
        raise InvalidMedia(
            f"{str(folder / 'model_index.json')!r} names {name!r}, which transformers {transformers.__version__} "
            "has not; is it misspelt, or newer?",
            param="model",
        ) from error


def nets_of(folder: Path, wanted: Container[str], dtype: torch.dtype) -> dict[str, Any]:
    """The networks of transformers among the `wanted` parts that the model_index.json of `folder` names.

    Raises: as `read_net`, `class_named`.
    """
    import transformers

    found = {}
    for name, kind in weights.read_json(folder / "model_index.json").items():
        if name not in wanted or not isinstance(kind, list) or kind[0] != "transformers":
            continue
        cls = class_named(kind[1], folder)
        if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel):
            found[name] = read_net(cls, folder / name, dtype)
    return found
