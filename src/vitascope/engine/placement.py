"""Where and how a model runs, as one frozen record."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import RequestError

Speed = Literal["exact", "balanced", "turbo"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
Offload = Literal["none", "model", "sequential"]
Attention = Literal["auto", "model", "fa3", "cudnn", "sdpa"]
Quantize = Literal["auto", "none", "fp8"]


class Placement(BaseModel):
    """Where and how a model runs.

    `speed` is a promise about results: "exact" changes nothing beyond rounding; "balanced" and "turbo" are
    approximate within stated bounds. The other fields are expert switches: "auto" or None leaves the choice to
    `speed`, the model and the machine (`levers.decide`); anything else is done or is an error.
    Units: memory_gib in GiB (2**30 bytes) a device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = "auto"
    dtype: DtypeName = "auto"
    speed: Speed = "exact"
    memory_gib: float | None = Field(None, gt=0)
    offload: Offload = "none"
    vae_tiling: bool = False
    vae_slicing: bool = False
    vae_streaming: bool | None = Field(None, description="decode group by group of frames, without seams")
    attention: Attention = Field("auto", description="attention kernel; model: as diffusers has it")
    compile: bool | None = Field(None, description="compile the transformer's blocks")
    quantize: Quantize = Field("auto", description="fp8: 8-bit linears, approximate")
    skip_interval: int | None = Field(
        None, ge=1, le=10, description="compute every n-th step, foretell the others; 1 computes all"
    )

    def resolve(self) -> Self:
        """This placement with "auto" replaced by what this machine has.

        bfloat16 on CUDA, float32 on the CPU (bfloat16 VAE decoding on a CPU was measured to be hopeless).
        Raises: RequestError for a device that is not here.
        """
        import torch

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            kind = torch.device(device).type
        except RuntimeError as error:
            raise RequestError(
                f"unknown device {device!r}; use cpu, cuda, cuda:1, mps", param="device"
            ) from error
        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not available.get(kind, False):
            here = ", ".join(name for name, present in available.items() if present)
            raise RequestError(f"device {device!r} is not on this machine; here: {here}", param="device")
        dtype = self.dtype
        if dtype == "auto":
            dtype = "bfloat16" if kind == "cuda" else "float32"
        return self.model_copy(update={"device": device, "dtype": dtype})
