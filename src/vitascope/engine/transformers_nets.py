"""Networks of the transformers library out of a folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import torch

from vitascope.engine import weights
from vitascope.engine.failures import first_line
from vitascope.errors import InvalidMedia


def read_net(cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The network of class `cls` in `folder`, in main memory.

    Raises: InvalidMedia for weights that do not fit, or that lack a tensor: transformers would fill it at random.
    """
    from vitascope.engine.pipelines import quiet

    try:
        with quiet():
            net, told = cls.from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise
        raise InvalidMedia(
            f"{str(folder)!r} cannot be loaded as {cls.__name__}: {first_line(error)}", param="model"
        ) from error
    if lacking := sorted(told["missing_keys"]):
        raise InvalidMedia(
            f"{str(folder)!r} lacks {len(lacking)} of the tensors of a {cls.__name__}, such as "
            f"{lacking[0]!r}: not all of its weights, or another model's",
            param="model",
        )
    return net.eval()


def nets_of(folder: Path, wanted: Container[str], dtype: torch.dtype) -> dict[str, Any]:
    """The networks of transformers among the `wanted` parts that the model_index.json of `folder` names.

    Raises: as `read_net`.
    """
    import transformers

    found = {}
    for name, kind in weights.read_json(folder / "model_index.json").items():
        if name not in wanted or not isinstance(kind, list) or kind[0] != "transformers":
            continue
        cls = getattr(transformers, kind[1], None)
        if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel):
            found[name] = read_net(cls, folder / name, dtype)
    return found
