"""A denoiser from one file of weights, with the configuration of a model in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine import gguf_files
from vitascope.engine.tensor_files import read_tensors
from vitascope.errors import InvalidMedia

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "module.")


def load_denoiser(cls: Any, path: Path, config_folder: Path, dtype_name: str) -> Any:
    """A model of the diffusers class `cls`, its tensors from `path` cast to the dtype called `dtype_name`.

    Understands diffusers' names with or without a prefix, and the authors' own names where diffusers'
    `from_single_file` knows them. Of a GGUF file the linears stay packed.
    Raises: InvalidMedia if names or shapes fit in neither way, DependencyMissing for GGUF.
    """
    import torch
    from accelerate import init_empty_weights

    dtype = getattr(torch, dtype_name)
    if path.suffix == gguf_files.SUFFIX:
        return gguf_files.load_denoiser(cls, path, config_folder, dtype)
    config = cls.load_config(config_folder)
    with init_empty_weights(
        include_buffers=False
    ):  # buffers such as sincos positions are computed, not loaded
        model = cls.from_config(config)
    expected = model.state_dict()
    tensors = read_tensors(path)
    if hasattr(cls, "from_authors_names"):  # a network of ours whose checkpoints come with other names
        tensors = cls.from_authors_names(tensors)
    tensors = without_prefix(tensors, expected)
    if not expected.keys() & tensors.keys():
        return _by_diffusers(cls, path, config_folder, dtype)
    _check_same(path, cls.__name__, expected, tensors)
    kept = set(cls._keep_in_fp32_modules or ())

    def cast(name: str, tensor: Any) -> Any:
        """A tensor in the dtype, or in float32 where the class keeps it: as diffusers does, and `to` would not."""
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(torch.float32 if kept & set(name.split(".")) else dtype)

    model.load_state_dict(
        {name: cast(name, tensor) for name, tensor in tensors.items()}, strict=True, assign=True
    )
    for name, buffer in list(model.named_buffers()):
        owner, _, last = name.rpartition(".")
        if buffer.is_floating_point() and not kept & set(name.split(".")):
            model.get_submodule(owner)._buffers[last] = buffer.to(dtype)
    return model.eval()


def without_prefix(tensors: dict[str, Any], expected: Any) -> dict[str, Any]:
    """`tensors` with the prefix taken off that makes most of their names expected ones."""
    for prefix in ("", *PREFIXES):
        cut = {
            name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
        }
        if expected.keys() & cut.keys():
            return cut
    return tensors


def _check_same(path: Path, kind: str, expected: dict[str, Any], tensors: dict[str, Any]) -> None:
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    other = sorted(
        name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape
    )
    if other:
        have, want = tuple(tensors[other[0]].shape), tuple(expected[other[0]].shape)
        raise InvalidMedia(
            f"{str(path)!r} is another {kind}: {other[0]} has shape {have}, not {want}", param="model"
        )
    if missing or foreign:
        first = f"lacks {missing[0]!r}" if missing else f"has {foreign[0]!r} too"
        raise InvalidMedia(
            f"{str(path)!r} is no whole {kind} like its base: it {first} ({len(missing)} missing, "
            f"{len(foreign)} unknown)",
            param="model",
        )


def _by_diffusers(cls: Any, path: Path, config_folder: Path, dtype: Any) -> Any:
    try:
        return cls.from_single_file(
            str(path), config=str(config_folder), dtype=dtype, local_files_only=True, use_safetensors=None
        )
    except (AttributeError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise InvalidMedia(
            f"{str(path)!r} holds no {cls.__name__}: none of its names is known", param="model"
        ) from error
