"""Golden fixtures: what upstream code computed, case by case, for our ports to match.

A root holds `<system>/<case>/<name>.safetensors` with one `config.json` a case (one entry a name), and
`<system>/state_dict_full_<net>.json` with the names and shapes of a released checkpoint. Nothing here knows
how many systems, cases or tensors there are: a port's parity test walks whatever the root holds.

Run `pytest tests/parity -s` to see every comparison.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

CHECKOUT = Path(__file__).resolve().parents[2]


def golden_root() -> Path:
    """Find the fixtures: `VITASCOPE_GOLDEN`, else `../shared/golden` by the checkout, else `tests/golden`.

    Raises: FileNotFoundError when none of them is a folder, so that missing fixtures never pass as parity.
    """
    named = os.environ.get("VITASCOPE_GOLDEN")
    beside, within = CHECKOUT.parent / "shared" / "golden", CHECKOUT / "tests" / "golden"
    places = [Path(named)] if named else [beside, within]
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no golden fixtures in {' or '.join(map(str, places))}: set VITASCOPE_GOLDEN")


@dataclass(frozen=True)
class Case:
    """One folder of fixtures that were made together: `system` says by which code, `name` is the folder's."""

    system: str
    name: str
    path: Path
    config: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.system}/{self.name}"

    @property
    def names(self) -> list[str]:
        """The fixtures of this case: file names without `.safetensors`."""
        return sorted(file.stem for file in self.path.glob("*.safetensors"))

    def starting(self, prefix: str) -> list[str]:
        """The fixtures that the configuration describes and whose names start so."""
        return [name for name in self.names if name.startswith(prefix) and name in self.config]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one fixture; floating tensors come as float32 whatever they were stored in."""
        with safe_open(self.path / f"{name}.safetensors", framework="pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        return {key: t.float() if t.is_floating_point() else t for key, t in stored.items()}

    def group(self, name: str, prefix: str) -> dict[str, Tensor]:
        """The tensors of one fixture below `prefix` ("sd.", "in.", "out."), which is cut off their names."""
        tensors = self.tensors(name)
        return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}

    def stored_as_half(self, name: str, key: str) -> bool:
        """Whether a tensor was rounded to float16 in its file, so that only 3 digits of it can be met."""
        with safe_open(self.path / f"{name}.safetensors", framework="pt") as file:
            return str(file.get_slice(key).get_dtype()) == "F16"


def systems() -> list[str]:
    """Every system that the root has a folder for."""
    return sorted(folder.name for folder in golden_root().iterdir() if folder.is_dir())


def cases(system: str) -> list[Case]:
    """Every case of a system in the root; a root without that system gives none, and says so."""
    folder = golden_root() / system
    found = sorted(folder.glob("*/config.json"))
    if not found:
        say(f"{system}: no case in {golden_root()}")
    return [Case(system, file.parent.name, file.parent, json.loads(file.read_text())) for file in found]


def released_shapes(system: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """The full-size checkpoints of a system: net -> upstream parameter name -> shape."""
    shapes = {}
    for file in sorted((golden_root() / system).glob("state_dict_full_*.json")):
        listed = json.loads(file.read_text())
        net = file.stem.removeprefix("state_dict_full_")
        shapes[net] = {key: tuple(shape) for key, (shape, _dtype) in listed.items()}
    return shapes


def say(line: str) -> None:
    """Print what a parity test saw."""
    print(line)  # noqa: T201


WORST: dict[str, tuple[float, str]] = {}
"""The largest share of its tolerance that a comparison of a system has used, and which that was."""


def half_step(stored: Tensor) -> Tensor:
    """How far a number may have moved when it was rounded to the float16 that is stored."""
    _, exponent = torch.frexp(stored.double().abs().clamp_min(2**-14))
    return torch.ldexp(torch.ones(()).double(), exponent - 12)


def compare(
    case: Case, tensor_name: str, actual: Tensor, expected: Tensor, atol: float, *, half: bool = False
) -> float:
    """Print how far `actual` is from upstream's `expected`; fail above `atol`; return the largest error.

    With `half`, `expected` was rounded to float16 in its file: only what goes beyond that counts as an error.
    """
    where = f"{case.system} {case.name} {tensor_name}"
    got, want = tuple(actual.shape), tuple(expected.shape)
    assert got == want, f"{where}: shape {got}, not {want}"
    difference = (actual.detach().cpu().double() - expected.cpu().double()).abs()
    if half:
        difference = (difference - half_step(expected)).clamp_min(0)
    error = difference.max().item() if difference.numel() else 0.0
    share = error / atol
    say(
        f"{where}: max error {error:.2e}{' beyond float16' if half else ''} "
        f"(allowed {atol:.0e}, {share:.0%} of it)"
    )
    WORST[case.system] = max(WORST.get(case.system, (0.0, "")), (share, f"{case.name} {tensor_name}"))
    # Written so that NaN fails too.
    assert error <= atol, f"{where}: max error {error:.3e} is above {atol:.0e}"
    return error


def compare_all(case: Case, fixture: str, computed: dict[str, Tensor], atol: float) -> None:
    """Compare every output of a fixture; what we compute nothing like is named and left out."""
    compared = 0
    for name, expected in case.group(fixture, "out.").items():
        if name not in computed:
            say(f"{case.system} {case.name} {fixture} {name}: left out, we compute nothing like it")
            continue
        half = case.stored_as_half(fixture, f"out.{name}")
        scale = max(1.0, expected.abs().max().item()) if half else 1.0
        compare(case, f"{fixture} {name}", computed[name], expected, atol * scale, half=half)
        compared += 1
    assert compared, f"{case} {fixture}: no output that we compute"
