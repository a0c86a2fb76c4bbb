"""The state between two denoising steps as bytes: safetensors with a JSON description, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitascope.errors import InvalidMedia

FORMAT = "vitascope denoising state 2"
NOT_STATE = {"step", "_internal_dict"}  # our wrapper, and the configuration


class Unsaveable(Exception):
    """A scheduler keeps something that is neither a number, a text, a list, a dictionary nor a tensor."""


@dataclass
class DenoisingState:
    """Everything that step k+1 depends on and the loop would not compute again.

    `kept`: what the levers of single steps remember, such as answers from which later ones are extrapolated.
    """

    output: dict[str, Any]
    scheduler: dict[str, Any]
    generators: list[Any]
    kept: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    num_denoiser_calls: int = 0
    num_unguided_steps: int = 0
    denoiser_output_shape: tuple[int, ...] = ()
    identity: str = field(default="", repr=False)


def capture(
    scheduler: Any, at_start: Mapping[str, Any], generators: Sequence[Any], output: dict[str, Any]
) -> DenoisingState:
    """The state after a step. `at_start`: the scheduler's attributes before the first one.

    Raises: Unsaveable.
    """
    kept = {}
    for name, value in vars(scheduler).items():
        if name in NOT_STATE:
            continue
        if _is_plain(value):
            kept[name] = value
        elif value is not at_start.get(name):
            raise Unsaveable(f"{type(scheduler).__name__}.{name} is a {type(value).__name__}")
    return DenoisingState(output, kept, [generator.get_state() for generator in generators])


def restore(state: DenoisingState, scheduler: Any, generators: Sequence[Any]) -> None:
    """Put a scheduler and the random number generators back to where `state` was captured."""
    if len(generators) != len(state.generators):
        raise InvalidMedia(f"the saved state is of {len(state.generators)} clips, not {len(generators)}")
    vars(scheduler).update(state.scheduler)
    for generator, saved in zip(generators, state.generators, strict=True):
        generator.set_state(saved)


def to_bytes(state: DenoisingState, identity: str) -> bytes:
    """One safetensors file whose metadata describe the state and name the run that it belongs to."""
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    described = {
        "identity": identity,
        "step": state.step,
        "num_denoiser_calls": state.num_denoiser_calls,
        "num_unguided_steps": state.num_unguided_steps,
        "denoiser_output_shape": list(state.denoiser_output_shape),
        "output": _encode(state.output, tensors),
        "scheduler": _encode(state.scheduler, tensors),
        "generators": _encode(state.generators, tensors),
        "kept": _encode(state.kept, tensors),
    }
    return save(tensors, metadata={"format": FORMAT, "state": json.dumps(described)})


def from_bytes(data: bytes, identity: str) -> DenoisingState:
    """Read a state back. Raises: InvalidMedia if it is damaged or belongs to a run with other inputs."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        tensors = load(data)
        described = json.loads(metadata["state"])
        if metadata.get("format") != FORMAT:
            raise InvalidMedia(f"the saved denoising state is of another format, {metadata.get('format')!r}")
    except (ValueError, KeyError, AttributeError, SafetensorError) as error:
        raise InvalidMedia("the saved denoising state is damaged; delete it and start again") from error
    if described["identity"] != identity:
        raise InvalidMedia(
            "the saved denoising state belongs to a run with other inputs (task, knobs, weights, placement); "
            "delete it, or ask for the same as before"
        )
    return DenoisingState(
        output=_decode(described["output"], tensors),
        scheduler=_decode(described["scheduler"], tensors),
        generators=_decode(described["generators"], tensors),
        kept=_decode(described["kept"], tensors),
        step=described["step"],
        num_denoiser_calls=described["num_denoiser_calls"],
        num_unguided_steps=described["num_unguided_steps"],
        denoiser_output_shape=tuple(described["denoiser_output_shape"]),
        identity=identity,
    )


def _is_plain(value: Any) -> bool:
    import numpy as np
    import torch

    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(part) for key, part in value.items())
    return value is None or isinstance(
        value, bool | int | float | str | torch.Tensor | np.ndarray | np.generic
    )


def _encode(value: Any, tensors: dict[str, Any]) -> Any:
    """`value` as JSON, tensors moved to `tensors` and named."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name, "device": str(value.device)}
    if isinstance(value, np.ndarray | np.generic):
        name = str(len(tensors))
        tensors[name] = torch.from_numpy(np.array(value))
        return {"numpy": name, "scalar": isinstance(value, np.generic)}
    if isinstance(value, dict):
        return {"dict": {key: _encode(part, tensors) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(part, tensors) for part in value]}
    return {"value": value}


def _decode(node: dict[str, Any], tensors: Mapping[str, Any]) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]].to(node["device"])
    if "numpy" in node:
        array = tensors[node["numpy"]].numpy()
        return array[()] if node["scalar"] else array
    if "dict" in node:
        return {key: _decode(part, tensors) for key, part in node["dict"].items()}
    if "list" in node:
        return [_decode(part, tensors) for part in node["list"]]
    if "tuple" in node:
        return tuple(_decode(part, tensors) for part in node["tuple"])
    return node["value"]
