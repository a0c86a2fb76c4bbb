"""Measured rates, read from the committed calibration file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.levers import Levers
from vitascope.engine.subject import Gpu


class _Rates(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str = Field("", alias="from")


class StepRate(_Rates):
    """How fast the blocks of a family run on a device. Units: TFLOP/s.

    `width`: the channels of the model that was measured, where a family has several.
    """

    device: str
    width: int = 3072
    family: str
    attention: str
    linears: str
    compiled: bool = True
    linears_tflops: float = Field(gt=0)
    attention_tflops: float = Field(gt=0)


class Activations(_Rates):
    """Peak memory beside the weights while denoising, in 16-bit numbers. Units: GiB.

    `width`: the channels of the model that was measured.
    """

    family: str
    width: int = 3072
    compiled: bool = True
    linears: str = "model"
    fixed_gib: float
    gib_per_million_tokens: float
    exchange_gib_per_million_tokens: float = 0.0


class Decode(_Rates):
    """How a VAE decodes. Units: a million pixels of the clip for seconds, of one frame for memory.

    `shared_s`: what sharing its rows among GPUs costs a clip; None where each GPU decodes all.
    `tile`: width and height of the tiles, where a frame is decoded in tiles.
    """

    family: str
    vae: str
    seconds_per_megapixel: float | None = None  # memory alone is known
    group_gib_per_megapixel: float
    latent_frames_at_once: bool = False  # memory is that of one latent frame, times all of them
    tile: tuple[int, int] | None = None
    shared_s: float | None = None
    # Where an odd number of latent frames is decoded otherwise.
    odd_seconds_per_megapixel: float | None = None
    odd_gib_per_megapixel: float | None = None


class Exchange(_Rates):
    """What an exchange between GPUs costs in all, as a bandwidth. Units: GB/s a direction."""

    kind: str
    gb_s: float = Field(gt=0)


class Device(BaseModel):
    """A GPU that can be planned for without having it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: str
    capability: tuple[int, int]
    memory_gib: float


class Other(BaseModel):
    """What is about the same for every clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_s: float
    visit_gib_s: float
    pixels_s_per_megapixel: float
    context_gib: float


class Calibration(BaseModel):
    """All measured rates: of each device, of each family, and what is about the same for every clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made: date
    half_rate_tokens: float
    devices: dict[str, Device]
    steps: tuple[StepRate, ...]
    activations: tuple[Activations, ...]
    decodes: tuple[Decode, ...]
    exchanges: tuple[Exchange, ...]
    other: Other

    def device_called(self, gpu_name: str) -> str | None:
        """The calibrated device that a GPU is, by its short name; None for another one, be it of the same chip.

        An "NVIDIA H100 PCIe" has half the power of the H100 that was measured.
        """
        return next((name for name, device in self.devices.items() if device.gpu == gpu_name), None)

    def gpu(self, name: str) -> Gpu:
        """A calibrated device as the levers see it, with FlashAttention-3 and a Triton that can build our kernel."""
        device = self.devices[name]
        return Gpu(
            name=device.gpu, capability=device.capability, memory_gib=device.memory_gib, fa3=True, int8=True
        )

    def step(self, device: str, family: str, levers: Levers, width: int) -> StepRate | None:
        """The rates of blocks that run so, of the model nearest in width; None if that was never measured."""
        wanted = (device, family, levers.attention, levers.linears, levers.compile)
        return _nearest(
            width,
            (r for r in self.steps if (r.device, r.family, r.attention, r.linears, r.compiled) == wanted),
        )

    def activation(self, family: str, levers: Levers, width: int) -> Activations:
        """The memory of a family's blocks: that of exact linears or uncompiled blocks where no other was measured."""
        ways = ((levers.compile, levers.linears), (levers.compile, "model"), (False, "model"))
        found = (
            _nearest(
                width, (r for r in self.activations if (r.family, r.compiled, r.linears) == (family, *way))
            )
            for way in ways
        )
        return next(row for row in found if row is not None)

    def decode(self, family: str, vae: str) -> Decode | None:
        """How a family's VAE decodes; None if never measured so."""
        return next((row for row in self.decodes if (row.family, row.vae) == (family, vae)), None)

    def exchange(self, kind: str) -> Exchange:
        """The measured exchange of this kind, "ulysses" or "ring"."""
        return _only(self.exchanges, kind=kind)


def _nearest(width: int, rows: Iterable[Any]) -> Any:
    return min(rows, key=lambda row: abs(math.log(row.width / width)), default=None)


def _only(rows: Any, **wanted: str) -> Any:
    return next(row for row in rows if all(getattr(row, name) == value for name, value in wanted.items()))


@cache
def committed() -> Calibration:
    """The calibration that comes with Vitascope."""
    text = Path(__file__).with_name("calibration.toml").read_text(encoding="utf-8")
    return Calibration.model_validate(tomllib.loads(text))
