"""Files of tensors: whether they are whole, how much they hold, and reading them without pickled code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from vitascope.engine import gguf_files
from vitascope.engine.failures import first_line
from vitascope.errors import InvalidMedia, WeightsMissing

WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt"})
INTEGERS = frozenset({"BOOL", "I8", "U8", "I16", "U16", "I32", "U32"})  # I64 are positions, not weights
MAX_HEADER = 100_000_000  # the limit of the safetensors library itself


def safetensors_header(path: Path) -> dict[str, Any]:
    """Names, types, shapes and offsets of the tensors in a file, without reading them.

    Raises: InvalidMedia, WeightsMissing for a git-lfs pointer. Source: the safetensors format,
    https://github.com/huggingface/safetensors#format.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":
            raise WeightsMissing(f"{str(path)!r} is a git-lfs pointer, not the weights; run: git lfs pull")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(MAX_HEADER, path.stat().st_size):
            raise InvalidMedia(f"{str(path)!r} is not a safetensors file, or a truncated one")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise InvalidMedia(
                f"{str(path)!r} is not a safetensors file: its header cannot be read"
            ) from error
    if not isinstance(header, dict):
        raise InvalidMedia(f"{str(path)!r} is not a safetensors file: its header is no object")
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    whole = 8 + length + max(ends, default=0)
    if path.stat().st_size < whole:
        have = path.stat().st_size
        raise InvalidMedia(f"{str(path)!r} is truncated: {have:,} of {whole:,} bytes; fetch it again")
    return header


def check_whole(path: Path, *, quantized: bool = False) -> None:
    """Check that a safetensors file can be taken as weights.

    Raises: InvalidMedia for one that is damaged or cut short, or, unless `quantized`, whose matrices are integers.
    """
    if path.suffix != ".safetensors":
        return
    for name, entry in safetensors_header(path).items():
        integers = name != "__metadata__" and entry["dtype"] in INTEGERS and len(entry["shape"]) > 1
        if integers and not quantized:
            raise InvalidMedia(
                f"{str(path)!r} holds {name!r} as integers ({entry['dtype']}), and its config.json says of no "
                "quantization; give the weights as float32, float16 or bfloat16"
            )


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a weights file. Raises: InvalidMedia, WeightsMissing, DependencyMissing."""
    if path.suffix == gguf_files.SUFFIX:
        return gguf_files.shapes(path)
    if path.suffix != ".safetensors":
        return {name: tuple(tensor.shape) for name, tensor in read_tensors(path).items()}
    header = safetensors_header(path)
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def num_parameters(path: Path) -> int:
    """How many numbers a weights file holds; pickled files are judged by their size, two bytes a number."""
    if path.suffix != ".safetensors":
        return path.stat().st_size // 2
    return sum(math.prod(shape) for shape in tensor_shapes(path).values())


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors or pickled file, on the CPU; no pickled code is run.

    A pickled file may wrap its tensors in "state_dict", "module" or "model". Raises: InvalidMedia.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        safetensors_header(path)
        return load_file(path)
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):  # an old archive that cannot be mapped, or no archive at all
        data = _load_unmapped(path)
    except Exception as error:
        raise _unreadable(path, error) from error
    for wrapper in ("state_dict", "module", "model"):
        if isinstance(data, dict) and isinstance(data.get(wrapper), dict):
            data = data[wrapper]
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise InvalidMedia(f"{str(path)!r} holds no plain dictionary of tensors")
    return data


def _load_unmapped(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidMedia:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start != b"PK" and start[:1] != b"\x80":
        return InvalidMedia(
            f"{str(path)!r} is no file of weights, neither safetensors nor a pickle of PyTorch"
        )
    if "weights_only" in str(error) or "Unsupported" in str(error):
        return InvalidMedia(
            f"{str(path)!r} needs pickled code to load, which is never run; convert it to safetensors"
        )
    return InvalidMedia(f"{str(path)!r} cannot be read as weights: {first_line(error)}")
