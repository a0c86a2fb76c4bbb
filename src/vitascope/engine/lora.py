"""LoRA files for one request: read, matched against the denoiser, weighed, applied, and taken off again.

Source: LoRA, https://arxiv.org/abs/2106.09685, equation 3: W + (alpha / r) B A; the layers are PEFT's,
loaded by diffusers' `load_lora_adapter`.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitascope.context import Context
from vitascope.engine.tensor_files import WEIGHT_SUFFIXES, read_tensors, safetensors_header
from vitascope.errors import InvalidMedia, NotFound, RequestError

MAGNITUDE = "lora_magnitude_vector"
WEIGHT_NAME = "pytorch_lora_weights.safetensors"
PARTS = {
    "lora_down": "lora_A",
    "lora_up": "lora_B",
    "lora.down": "lora_A",
    "lora.up": "lora_B",
    "lora_A": "lora_A",
    "lora_B": "lora_B",
}
KEY = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_down|lora_up|lora\.down|lora\.up|lora_A|lora_B)(\.default)?\.weight"
)
PREFIXES = ("base_model.model.", "transformer.", "unet.", "diffusion_model.", "model.diffusion_model.")
KOHYA_PREFIXES = ("lora_unet__", "lora_unet_", "lora_transformer_")


@dataclass(frozen=True)
class LoraFile:
    """One LoRA and how strongly it is to work. Range: weight -10..10, 1 = as trained."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> LoraFile:
        """From "file", "file:0.8" or a folder with pytorch_lora_weights.safetensors.

        Raises: NotFound, RequestError for a weight that is no number or out of range.
        """
        head, colon, tail = text.rpartition(":")
        weight = 1.0
        if colon and not Path(text).expanduser().exists():
            try:
                weight = float(tail)
            except ValueError:
                head = text
        else:
            head = text
        path = Path(head).expanduser()
        if path.is_dir():
            path = path / WEIGHT_NAME
        if not path.is_file():
            raise NotFound(f"no LoRA file {str(path)!r}; write it as FILE or FILE:WEIGHT", param="loras")
        if path.suffix not in WEIGHT_SUFFIXES:
            raise RequestError(f"{str(path)!r} is not a LoRA file (*.safetensors)", param="loras")
        if not -10 <= weight <= 10:
            raise RequestError(f"the weight {tail} of {str(path)!r} must be in -10..10", param="loras")
        return cls(path, weight)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, which the recipe names."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass
class LoraLayers:
    """The content of a LoRA file in diffusers' names.

    `tensors`: "module.lora_A.weight" -> tensor; `alphas`: module -> alpha, None where the file says none.
    """

    tensors: dict[str, Any] = field(default_factory=dict)
    alphas: dict[str, float] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)

    def rank(self, module: str) -> float:
        """The rank r of one layer's two matrices."""
        return float(self.tensors[f"{module}.lora_A.weight"].shape[0])

    @property
    def modules(self) -> list[str]:
        """The layers that it changes."""
        return sorted(
            {name.removesuffix(".lora_A.weight") for name in self.tensors if name.endswith("A.weight")}
        )


@contextmanager
def applied(
    pipeline: Any, denoiser: str, loras: Sequence[LoraFile], context: Context
) -> Iterator[list[dict[str, Any]]]:
    """The denoiser with these LoRAs on it, for the time of the block; gives a report for the recipe.

    Raises: InvalidMedia for a file that fits no layer of this model, or is of another size; RequestError for a
    denoiser that diffusers loads no LoRA into.
    """
    if not loras:
        yield []
        return
    model = getattr(pipeline, denoiser)
    if not hasattr(model, "load_lora_adapter"):
        raise RequestError(
            f"diffusers loads no LoRA into a {type(model).__name__}: leave loras out", param="loras"
        )
    report = []
    names = [f"lora_{index}" for index in range(len(loras))]
    try:
        for name, lora in zip(names, loras, strict=True):
            layers = matched_layers(lora.path, model)
            if layers.unmatched:
                context.warn(
                    f"{len(layers.unmatched)} keys of {lora.path.name!r} fit no layer and were left out, "
                    f"first {layers.unmatched[0]!r}"
                )
            _load(pipeline, denoiser, model, layers, name)
            report.append(
                {
                    "file": lora.path.name,
                    "sha256": lora.sha256,
                    "weight": lora.weight,
                    "num_layers": len(layers.modules),
                    "num_keys_left_out": len(layers.unmatched),
                }
            )
        model.set_adapters(names, [lora.weight for lora in loras])
        yield report
    finally:
        model.unload_lora()


def _load(pipeline: Any, denoiser: str, model: Any, layers: LoraLayers, name: str) -> None:
    alphas = {f"{denoiser}.{module}.alpha": alpha for module, alpha in layers.alphas.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are meant
        model.load_lora_adapter(
            {f"{denoiser}.{key}": tensor for key, tensor in layers.tensors.items()},
            prefix=denoiser,
            network_alphas=alphas or None,
            adapter_name=name,
            _pipeline=pipeline,
        )


def base_mark(model: Any) -> dict[str, Any]:
    """What tells a denoiser's architecture apart; written into a LoRA by training and compared when it is applied."""
    names = ("num_layers", "num_attention_heads", "attention_head_dim", "in_channels")
    found = {name: model.config.get(name) for name in names if model.config.get(name) is not None}
    return {"class": type(model).__name__, **found}


def matched_layers(path: Path, model: Any) -> LoraLayers:
    """Read a LoRA file and find its layers in `model`.

    Understands diffusers' and PEFT's names, with or without a prefix, and kohya's with underscores. Alpha is
    taken from `.alpha` keys or from the adapter metadata in the file; without either it is the rank.
    Raises: InvalidMedia naming the file: no layer matches, another width, or made for another architecture.
    """
    tensors = read_tensors(path)
    _check_base(path, model)
    known = {name for name, _ in model.named_modules()}
    by_underscores = {name.replace(".", "_"): name for name in known}
    layers = LoraLayers()
    for key, tensor in tensors.items():
        module_name, part = split_key(key)
        module = _find(module_name, known, by_underscores) if part else None
        if module is None:
            layers.unmatched.append(key)
        elif part == "alpha":
            layers.alphas[module] = alpha_of(path, key, tensor)
        elif part == MAGNITUDE:
            layers.tensors[f"{module}.{MAGNITUDE}"] = tensor
        else:
            layers.tensors[f"{module}.{part}.weight"] = tensor
    drop_halves(layers)
    if not layers.modules:
        raise InvalidMedia(
            f"{path.name!r} fits no layer of {type(model).__name__}: its {len(tensors)} keys look like "
            f"{next(iter(tensors), '')!r}{_said_base(path)}; it was trained for another model",
            param="loras",
        )
    for module in layers.modules:
        _check_shape(path, model, layers, module)
    if layers.alphas:  # a layer that says none beside others that do has its rank
        layers.alphas = {module: layers.alphas.get(module, layers.rank(module)) for module in layers.modules}
    else:
        layers.alphas = alphas_of_metadata(path, layers)
    return layers


def split_key(key: str) -> tuple[str, str]:
    """The module of a key and which part of its LoRA it is; no part for a key of something else."""
    if key.endswith(".alpha"):
        return key.removesuffix(".alpha"), "alpha"
    for ending in (f".{MAGNITUDE}", f".{MAGNITUDE}.weight", ".dora_scale"):
        if key.endswith(ending):
            return key.removesuffix(ending), MAGNITUDE
    found = KEY.fullmatch(key)
    return (found["module"], PARTS[found["part"]]) if found else (key, "")


def alpha_of(path: Path, key: str, tensor: Any) -> float:
    """The number in an alpha's tensor. Raises: InvalidMedia naming the file, if it holds none or several."""
    if tensor.numel() != 1:
        raise InvalidMedia(
            f"{path.name!r}: {key!r} holds {tensor.numel()} values; an alpha is one number", param="loras"
        )
    return float(tensor)


def _find(module: str, known: set[str], by_underscores: dict[str, str]) -> str | None:
    for prefix in ("", *PREFIXES):
        if module.startswith(prefix) and module.removeprefix(prefix) in known:
            return module.removeprefix(prefix)
    for prefix in KOHYA_PREFIXES:
        if module.startswith(prefix) and module.removeprefix(prefix) in by_underscores:
            return by_underscores[module.removeprefix(prefix)]
    stripped = module.removeprefix("base_model.model.").removeprefix("transformer.")
    return stripped if stripped in known else None


def drop_halves(layers: LoraLayers) -> None:
    """Move matrices without their other half to the unmatched."""
    for name in list(layers.tensors):
        if name.endswith(MAGNITUDE):
            continue
        module, part = name.removesuffix(".weight").rsplit(".", 1)
        if f"{module}.{'lora_B' if part == 'lora_A' else 'lora_A'}.weight" not in layers.tensors:
            layers.unmatched.append(name)
            del layers.tensors[name]


def _check_base(path: Path, model: Any) -> None:
    said = file_metadata(path).get("vitascope_base")
    if said is None:
        return
    trained, here = json.loads(said), base_mark(model)
    for name, value in trained.items():
        if here.get(name) != value:
            raise InvalidMedia(
                f"{path.name!r} is for another model{_said_base(path)}: it was trained on one with "
                f"{name}={value}, this one has {name}={here.get(name)}",
                param="loras",
            )


def _check_shape(path: Path, model: Any, layers: LoraLayers, module: str) -> None:
    weight = model.get_submodule(module).weight
    shape = getattr(weight, "quant_shape", weight.shape)  # GGUF: not that of the packed bytes
    down, up = layers.tensors[f"{module}.lora_A.weight"], layers.tensors[f"{module}.lora_B.weight"]
    if down.shape[1] != shape[1] or up.shape[0] != shape[0] or down.shape[0] != up.shape[1]:
        raise InvalidMedia(
            f"{path.name!r} is for another model{_said_base(path)}: its {module} maps {down.shape[1]} to "
            f"{up.shape[0]} channels, here it maps {shape[1]} to {shape[0]}",
            param="loras",
        )


def file_metadata(path: Path) -> dict[str, str]:
    """The lines that a safetensors file carries beside its tensors."""
    return safetensors_header(path).get("__metadata__", {}) if path.suffix == ".safetensors" else {}


def _said_base(path: Path) -> str:
    metadata = file_metadata(path)
    said = next(
        (
            metadata[k]
            for k in ("base_model", "ss_base_model_version", "modelspec.architecture")
            if k in metadata
        ),
        "",
    )
    return f" (it names {said!r})" if said else ""


def alphas_of_metadata(path: Path, layers: LoraLayers) -> dict[str, float]:
    """Alpha of each layer from the `lora_adapter_metadata` that diffusers writes into the file.

    Empty where there is none. Raises: InvalidMedia for metadata that PEFT does not write.
    """
    try:
        adapter = json.loads(file_metadata(path).get("lora_adapter_metadata", "{}"))
        plain = {
            key.removeprefix("transformer.").removeprefix("unet."): value for key, value in adapter.items()
        }
        if "lora_alpha" not in plain:
            return {}
        pattern = plain.get("alpha_pattern") or {}
        alphas = {
            module: float(
                next((v for k, v in pattern.items() if module.endswith(k.lstrip("^"))), plain["lora_alpha"])
            )
            for module in layers.modules
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidMedia(
            f"{path.name!r}: its lora_adapter_metadata cannot be read, so how strongly it works is not known",
            param="loras",
        ) from error
    if plain.get("use_rslora"):  # its strength is alpha / sqrt(rank), said here as alpha / rank
        return {module: alpha * layers.rank(module) ** 0.5 for module, alpha in alphas.items()}
    return alphas
