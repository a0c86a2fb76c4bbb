"""Inspect LoRA files, convert them between naming schemes, and merge them into a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vitascope.atomic import write_bytes
from vitascope.context import Context
from vitascope.engine.lora import (
    MAGNITUDE,
    PREFIXES,
    LoraFile,
    LoraLayers,
    alpha_of,
    alphas_of_metadata,
    applied,
    drop_halves,
    file_metadata,
    split_key,
)
from vitascope.engine.tensor_files import WEIGHT_SUFFIXES, read_tensors
from vitascope.errors import InvalidMedia, RequestError

Layout = Literal["diffusers", "comfyui", "peft"]
LAYOUTS: dict[str, str] = {
    "diffusers": "transformer.",
    "comfyui": "diffusion_model.",
    "peft": "base_model.model.",
}


class LoraInfo(BaseModel):
    """What a LoRA file holds. `alpha` None: the file says none, so it is taken for the rank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    layout: str
    num_layers: int
    num_parameters: int
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    is_dora: bool
    targets: tuple[str, ...]
    unknown_keys: tuple[str, ...]
    metadata: dict[str, str]


def read_layers(path: Path) -> tuple[LoraLayers, str]:
    """The layers of a LoRA file by themselves, and in whose names they are. Raises: InvalidMedia."""
    layers, prefixes = LoraLayers(), set()
    tensors = read_tensors(path)
    for key, tensor in tensors.items():
        name, part = split_key(key)
        prefix = max((p for p in PREFIXES if name.startswith(p)), key=len, default="")
        module = name.removeprefix(prefix)
        if not part:
            layers.unmatched.append(key)
            continue
        prefixes.add(prefix)
        if part == "alpha":
            layers.alphas[module] = alpha_of(path, key, tensor)
        else:
            layers.tensors[f"{module}.{part}" + ("" if part == MAGNITUDE else ".weight")] = tensor
    drop_halves(layers)
    if not layers.modules:
        raise InvalidMedia(f"{path.name!r} holds no LoRA: its keys look like {next(iter(tensors), '')!r}")
    if not layers.alphas:
        layers.alphas = alphas_of_metadata(path, layers)
    layout = next((name for name, prefix in LAYOUTS.items() if prefix in prefixes), "bare")
    return layers, layout


def look_into(file: LoraFile) -> LoraInfo:
    """Read names, ranks and metadata. Raises: InvalidMedia for a file that holds no LoRA."""
    path = file.path
    layers, layout = read_layers(path)
    metadata = file_metadata(path)
    ranks = sorted({int(layers.rank(module)) for module in layers.modules})
    return LoraInfo(
        file=str(path),
        sha256=file.sha256,
        layout=layout,
        num_layers=len(layers.modules),
        num_parameters=sum(tensor.numel() for tensor in layers.tensors.values()),
        ranks=tuple(ranks),
        alphas=tuple(sorted(set(layers.alphas.values()))),
        is_dora=any(name.endswith("magnitude_vector") for name in layers.tensors),
        targets=tuple(sorted({_ending(module) for module in layers.modules})),
        unknown_keys=tuple(layers.unmatched[:20]),
        metadata={k: v for k, v in metadata.items() if k not in ("format", "lora_adapter_metadata")},
    )


def _ending(module: str) -> str:
    parts = module.split(".")
    numbers = [i for i, part in enumerate(parts[:-1]) if part.isdigit()]
    return ".".join(parts[numbers[0] + 1 :]) if numbers else module


def packed(tensors: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """A safetensors file with its notes in alphabetical order: equal LoRAs are equal files.

    The library writes them in an order that changes from process to process.
    Source: layout of https://github.com/huggingface/safetensors#format, alignment included.
    """
    from safetensors.torch import save

    made = save(tensors)
    size = int.from_bytes(made[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(made[8 : 8 + size])}
    said = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    said += b" " * (-len(said) % 8)
    return len(said).to_bytes(8, "little") + said + made[8 + size :]


def convert(file: LoraFile, output: Path, layout: Layout, any_base: bool = False) -> Path:
    """Write a LoRA in another program's names; what it does stays the same.

    "diffusers" and "peft" have one strength for a whole file, so alpha goes into the matrices there where
    layers differ. `any_base` leaves out the note of the architecture that it was trained on.
    Raises: InvalidMedia, RequestError for an output that is no .safetensors, DiskFull.
    """
    import torch

    if output.suffix != ".safetensors":
        raise RequestError(f"{str(output)!r} must end in .safetensors", param="output")
    layers, _ = read_layers(file.path)
    prefix, tensors = LAYOUTS[layout], {}
    for name, tensor in layers.tensors.items():
        module = name.partition(".lora_")[0]
        factor = layers.alphas.get(module, layers.rank(module)) / layers.rank(module)
        if layout == "comfyui":
            name = name.replace("lora_A", "lora_down").replace("lora_B", "lora_up")
            name = name.replace("lora_magnitude_vector", "dora_scale")
            if ".lora_down." in name:
                tensors[f"{prefix}{module}.alpha"] = torch.tensor(factor * layers.rank(module))
        elif ".lora_B." in name:
            tensor = tensor * factor
        tensors[prefix + name] = tensor.contiguous()
    kept = dict(file_metadata(file.path))
    for gone in ("lora_adapter_metadata", *(("vitascope_base",) if any_base else ())):
        kept.pop(gone, None)
    write_bytes(output, packed(tensors, {**kept, "format": "pt"}))
    return output


def merge(
    folder: Path, pipeline: Any, component: str, loras: Sequence[LoraFile], output: Path, context: Context
) -> list[dict[str, Any]]:
    """Write a copy of a model's folder with LoRAs merged into one component; it runs as fast as without them.

    `pipeline` has that component loaded. Gives a report of the LoRAs. Raises: InvalidMedia for a LoRA of another
    model, RequestError if the output exists, DiskFull.
    """
    if output.exists():
        raise RequestError(f"{str(output)!r} exists; name a new folder", param="output")
    model = getattr(pipeline, component)
    with applied(pipeline, component, loras, context) as report:
        model.fuse_lora(adapter_names=[f"lora_{i}" for i in range(len(loras))])
    partial = output.with_name(f".{output.name}-partial")
    try:
        shutil.copytree(folder, partial, ignore=lambda d, names: _weights_of(d, names, folder / component))
        model.save_pretrained(partial / component)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _weights_of(directory: str, names: list[str], component: Path) -> list[str]:
    if Path(directory) != component:
        return []
    return [name for name in names if Path(name).suffix in WEIGHT_SUFFIXES or name.endswith(".index.json")]
