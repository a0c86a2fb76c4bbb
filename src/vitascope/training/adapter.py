"""The low-rank layers on a denoiser: put in, measured, and written as a file that others read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitascope.atomic import write_bytes
from vitascope.engine.lora import base_mark
from vitascope.engine.lora_files import packed
from vitascope.errors import RequestError
from vitascope.training.families.base import Family
from vitascope.training.recipe import Adapter

ADAPTER = "default"
# What PEFT must know to scale the layers; all else is its default, which later versions may name otherwise.
SETTINGS = (
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "bias",
)


@dataclass(frozen=True)
class Files:
    """What a training leaves behind."""

    lora: Path
    comfyui: Path


def insert(net: Any, adapter: Adapter, family: Family) -> list[nn.Parameter]:
    """Freeze the denoiser and put trainable layers, in float32, on the layers that the recipe names.

    Raises: RequestError for a target that names no linear layer.
    """
    from peft import LoraConfig

    net.requires_grad_(False)
    targets = _targets(adapter, family)
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            ends = sorted({name.split("blocks.")[-1].partition(".")[2] or name for name in linear})
            raise RequestError(
                f"adapter.targets: no linear layer ends in {target!r}; some that there are: {', '.join(ends[:12])}",
                param="adapter.targets",
            )
    net.add_adapter(
        LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.strength,  # type: ignore[arg-type]  # peft only multiplies with it
            target_modules=list(targets),
            lora_dropout=adapter.dropout,
            use_rslora=adapter.rslora,
            use_dora=adapter.dora,
            init_lora_weights=True,
        ),
        adapter_name=ADAPTER,
    )
    trained = [p for p in net.parameters() if p.requires_grad]
    for p in trained:
        p.data = p.data.float()
    return trained


def _targets(adapter: Adapter, family: Family) -> Sequence[str]:
    if adapter.targets == "attention":
        return family.attention
    if adapter.targets == "all":
        return (*family.attention, *family.feed_forward)
    return adapter.targets


def export(net: Any, folder: Path, name: str, notes: dict[str, str]) -> Files:
    """Write the adapter as `NAME.safetensors` as diffusers does, and in the names that ComfyUI reads.

    The adapter's settings go into the file: without them diffusers would take alpha for the rank.
    `notes` are further lines for the file's metadata. Raises: DiskFull.
    """
    from peft.utils import get_peft_model_state_dict

    config = net.peft_config[ADAPTER].to_dict()
    layers = get_peft_model_state_dict(net, adapter_name=ADAPTER)
    prefix = "transformer"
    tensors = {
        f"{prefix}.{key}": value.detach().to("cpu", torch.float32).contiguous()
        for key, value in layers.items()
    }
    adapter = {f"{prefix}.{key}": _plain(config[key]) for key in SETTINGS}
    metadata = {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(adapter, sort_keys=True),
        "vitascope_base": json.dumps(base_mark(net)),
        **notes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / f"{name}.safetensors", folder / f"{name}-comfyui.safetensors")
    write_bytes(files.lora, packed(tensors, metadata))
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    write_bytes(files.comfyui, packed(comfyui_names(tensors, scale), {"format": "pt", **notes}))
    return files


def comfyui_names(tensors: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """The layers under ComfyUI's names: prefixed with `diffusion_model.`, alpha beside each layer."""
    named: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        inner = "diffusion_model." + key.partition(".")[2]
        inner = inner.replace("lora_magnitude_vector.weight", "dora_scale").replace(
            "lora_magnitude_vector", "dora_scale"
        )
        named[inner.replace(".lora_A.", ".lora_down.").replace(".lora_B.", ".lora_up.")] = value
        if ".lora_A." in inner:
            named[inner.partition(".lora_A.")[0] + ".alpha"] = torch.tensor(scale * value.shape[0])
    return named


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else value
