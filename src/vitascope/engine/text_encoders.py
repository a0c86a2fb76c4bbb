"""Text encoders that are loaded when a prompt has to be read, once for all models that use the same one.

An encoder can be larger than the model that it serves. It may live on another device than the rest, with its
weights in 8 bits, and is never loaded where all prompts were read before (`engine.prompt_cache`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.engine import weights
from vitascope.engine.placement import Placement
from vitascope.engine.transformers_nets import class_named, read_net

# Of encoders that are loaded now: what else uses the same files on the same device finds them here.
_LOADED: WeakValueDictionary[tuple[str, ...], nn.Module] = WeakValueDictionary()
_LOCK = threading.Lock()


class LazyTextEncoder(nn.Module):
    """Stands for a text encoder in a pipeline and loads it at the first call.

    Takes part in `to` like any module, and answers for dtype, device and config without loading. The encoder
    itself runs on `placement.text_encoder_device` and hands its outputs over to where the pipeline is.
    """

    def __init__(self, folder: Path, cls: Any, placement: Placement, prefix: str = "") -> None:
        super().__init__()
        dtype = getattr(torch, placement.dtype)
        self.folder, self.prefix = folder, prefix
        self._class, self._placement = cls, placement
        self.leaves_after_use = placement.offload != "none"  # parts take turns: this one has had its turn
        self._encoder: list[nn.Module] = []  # in a list, so that it is no submodule that `to` would move
        self.config = cls.config_class.from_pretrained(folder, local_files_only=True)
        self.register_buffer("_place", torch.empty(0, dtype=dtype), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the encoder's outputs."""
        return cast(torch.dtype, getattr(torch, self._placement.dtype))

    @property
    def device(self) -> torch.device:
        """Where the pipeline is: inputs come from there and outputs go there."""
        return cast(Tensor, self._place).device

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """One empty parameter on this module's device: offloading asks a module's first parameter where it is."""
        del recurse
        yield cast(nn.Parameter, self._place)

    @property
    def is_loaded(self) -> bool:
        """Whether this encoder's weights are in memory for this pipeline."""
        return bool(self._encoder)

    def encoder(self) -> nn.Module:
        """The real one. Raises: WeightsMissing, InvalidMedia."""
        if not self._encoder:
            self._encoder.append(self._shared())
        return self._encoder[0]

    @property
    def pending_gib(self) -> float:
        """What the encoder takes on the main device, loaded or not: nothing with a device of its own. Units: GiB."""
        from vitascope.engine.memory import component_gib, on_main_device

        sizes = {
            "text_encoder": component_gib(self.folder.parent, self._placement.dtype).get(
                self.folder.name, 0.0
            )
        }
        return sum(on_main_device(sizes, self._placement).values())

    def _shared(self) -> nn.Module:
        place = self._placement.text_encoder_device or torch.device(self._placement.device).type
        key = (
            *(weights.fingerprint(self.folder), self._class.__name__, place),
            *(self._placement.dtype, self._placement.text_encoder_precision),
        )
        with _LOCK:
            encoder = _LOADED.get(key)
            if encoder is None:
                encoder = self._load().to(self._runs_on())
                _LOADED[key] = encoder
            return encoder

    def _runs_on(self) -> torch.device:
        return torch.device(self._placement.text_encoder_device or self.device)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Whatever moves this moves the encoder: offloading needs to know nothing of stand-ins."""
        super()._apply(fn, recurse)
        if self._encoder and self._placement.text_encoder_device is None:
            self._encoder[0]._apply(fn, recurse)
        return self

    def _load(self) -> nn.Module:
        encoder: nn.Module = read_net(self._class, self.folder, getattr(torch, self._placement.dtype))
        if self._placement.text_encoder_precision == "int8":
            quantize_to_int8(encoder)
        return encoder

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the encoder gives, on the pipeline's device."""
        run_on = self._runs_on()
        encoder = self.encoder().to(run_on)  # another pipeline may have moved it
        made = encoder(*_moved(args, run_on), **_moved(kwargs, run_on))
        if self.leaves_after_use:
            encoder.to("cpu")
        return _moved(made, self.device)


def lazily(folder: Path, placement: Placement, taken: Callable[[str], bool]) -> dict[str, LazyTextEncoder]:
    """The text encoders of a folder in diffusers layout, none of them loaded; `taken` ones are left out."""
    found = {}
    for name, kind in weights.read_json(folder / "model_index.json").items():
        if not name.startswith("text_encoder") or not isinstance(kind, list) or kind[0] != "transformers":
            continue
        if not taken(name):
            found[name] = LazyTextEncoder(folder / name, class_named(kind[1], folder), placement)
    return found


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors in a nest of the usual containers on `device`; the containers keep their kind."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):  # the outputs of transformers are dictionaries of a kind
        for name in list(value):
            value[name] = _moved(value[name], device)
        return value
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device) for item in value)
    return value


class Int8Linear(nn.Module):
    """A linear layer whose weights are 8-bit integers with a scale for each output.

    Halves the memory of bfloat16. The largest error of a weight is 1/254 of the largest weight of its row.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.detach().float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        rounded = (linear.weight.detach().float() / scale).round().to(torch.int8)
        self.register_buffer("weight", rounded)
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        """What the replaced linear layer computes, in the inputs' dtype."""
        weight, scale = cast(Tensor, self.weight), cast(Tensor, self.scale)
        bias = cast(Tensor | None, self.bias)
        return F.linear(inputs, weight.to(inputs.dtype) * scale.to(inputs.dtype), bias)


def quantize_to_int8(net: nn.Module) -> None:
    """Put 8-bit layers in the place of all linear layers of `net`; embeddings and norms stay."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))
