"""GGUF files: the names and shapes in them, and a denoiser whose linears stay in their few bits.

Source: the format, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; read by the gguf package, and turned
into a model by diffusers' `from_single_file` with `GGUFQuantizationConfig`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine.failures import first_line
from vitascope.errors import DependencyMissing, InvalidMedia

SUFFIX = ".gguf"


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, as torch says them.

    Raises: DependencyMissing, InvalidMedia for a file that is damaged or cut short.
    """
    # GGUF writes the fastest dimension first.
    return {tensor.name: tuple(int(side) for side in tensor.shape[::-1]) for tensor in _tensors(path)}


def load_denoiser(cls: Any, path: Path, config_folder: Path, dtype: Any) -> Any:
    """A model of the diffusers class `cls` that computes in `dtype`; its linears are unpacked as they run.

    Raises: DependencyMissing, InvalidMedia for a class that diffusers has no GGUF reader for, and for a file of
    another model, of a quantization that diffusers does not know, or damaged.
    """
    import torch

    _tensors(path)
    if not hasattr(cls, "from_single_file"):
        raise InvalidMedia(
            f"{str(path)!r}: diffusers reads no GGUF file of a {cls.__name__}; give safetensors",
            param="model",
        )
    from diffusers import GGUFQuantizationConfig

    from vitascope.engine.pipelines import quiet

    try:
        with quiet():
            model = cls.from_single_file(
                str(path),
                config=str(config_folder),
                quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
                dtype=dtype,
                local_files_only=True,
            )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # each of its converters stumbles over foreign names in a way of its own
        raise InvalidMedia(
            f"{str(path)!r} is no {cls.__name__} like its base: {_said(error)}", param="model"
        ) from error
    _unpack_all_but_linears(model, dtype)
    return model.eval()


def _tensors(path: Path) -> list[Any]:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise DependencyMissing("gguf", "gguf", f"the file {str(path)!r}") from error
    try:
        return list(GGUFReader(path).tensors)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise InvalidMedia(
            f"{str(path)!r} is no GGUF file, or a damaged one: {first_line(error)}; fetch it again",
            param="model",
        ) from error


def _said(error: Exception) -> str:
    """An error of diffusers' loader in one line; those that it raises when tensors are missing are explained."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, NotImplementedError):  # torch, asked to move what was never filled
        return "it lacks some of its tensors"
    return first_line(error).partition(". If you want")[0].replace("  ", " it, ")


def _unpack_all_but_linears(model: Any, dtype: Any) -> None:
    """diffusers unpacks the weights of linears as they run; anything else would be read as raw bytes.

    What it keeps in float32 it unpacks itself, but as a bare tensor, which a module should not hold.
    """
    from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter, dequantize_gguf_tensor
    from torch import nn

    for module in model.modules():
        for name, held in list(module._parameters.items()):
            runs_packed = isinstance(module, GGUFLinear) and name == "weight"
            if isinstance(held, GGUFParameter) and not runs_packed:
                held = dequantize_gguf_tensor(held).to(dtype)
            if held is not None and not isinstance(held, nn.Parameter):
                module._parameters[name] = nn.Parameter(held, requires_grad=False)
