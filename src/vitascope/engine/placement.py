"""Where and how a model runs, as one frozen record."""

from __future__ import annotations

from math import prod
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import RequestError

Speed = Literal["exact", "balanced", "turbo"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
Offload = Literal["none", "model", "sequential"]
Attention = Literal["auto", "model", "fa3", "cudnn", "sdpa", "int8", "sage"]
Quantize = Literal["auto", "none", "fp8"]
Cache = Literal["none", "first-block", "mag", "taylor"]
# Fields that change no frame beyond rounding.
MOVES_ONLY = ("memory_gib", "offload", "vae_slicing", "vae_streaming", "text_encoder_device", "prompt_cache")


class Placement(BaseModel):
    """Where and how a model runs.

    `speed` is a promise about results: "exact" changes nothing beyond rounding; "balanced" and "turbo" are
    approximate within stated bounds. The other fields are expert switches: "auto" or None leaves the choice to
    `speed`, the model and the machine (`levers.decide`); anything else is done or is an error.
    `gpus` processes share each clip, one a GPU (CPU processes with device "cpu"); how they share it is derived
    from the model, or said by the degrees, whose product is `gpus`.
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
    text_encoder_device: str | None = Field(None, description="None: where the rest is")
    text_encoder_precision: Literal["full", "int8"] = "full"
    prompt_cache: bool = Field(True, description="keep the embeddings of prompts on disk")
    vae_streaming: bool | None = Field(None, description="decode group by group of frames, without seams")
    attention: Attention = Field("auto", description="attention kernel; model: as diffusers has it")
    compile: bool | None = Field(None, description="compile the transformer's blocks")
    quantize: Quantize = Field("auto", description="fp8: 8-bit linears, approximate")
    skip_interval: int | None = Field(
        None, ge=1, le=10, description="compute every n-th step, extrapolate the others; 1 computes all"
    )
    cache: Cache = Field("none", description="leave the network's blocks out on steps much like the last")
    cache_threshold: float | None = Field(None, gt=0, le=10, description="None: as calibrated on the model")
    guidance_interval: tuple[float, float] | None = Field(
        None, description="from and to which share of the steps the negative prompt is asked"
    )
    guidance_outside: Literal["none", "reuse"] | None = Field(
        None, description="outside of it: no guidance, or the last difference of the two prompts"
    )
    gpus: int = Field(1, ge=1, le=64, description="processes that share each clip, one a GPU")
    cfg_degree: int | None = Field(None, ge=1, le=2, description="of them, how many share the two prompts")
    ulysses_degree: int | None = Field(None, ge=1, description="how many share a clip's tokens by its heads")
    ring_degree: int | None = Field(None, ge=1, description="how many share a clip's tokens in a ring")

    def deciding(self) -> dict[str, Any]:
        """The fields that can change a clip's frames: neither where weights are kept nor how much memory is used."""
        kind = self.device.partition(":")[0]
        return {**self.model_dump(mode="json", exclude=set(MOVES_ONLY)), "device": kind}

    def resolve(self) -> Self:
        """This placement with "auto" replaced by what this machine has.

        bfloat16 on CUDA, float32 on the CPU (bfloat16 VAE decoding on a CPU was measured to be hopeless).
        Raises: RequestError for a device that is not here, an offload without a GPU, or degrees that do not
        share out `gpus`.
        """
        import torch

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = _present(device, "device")
        if self.text_encoder_device is not None:
            _present(self.text_encoder_device, "text_encoder_device")
        if device == "cpu" and self.device == "auto" and self.gpus > 1:
            raise RequestError(
                f"gpus={self.gpus}, and this machine has no GPU; leave gpus out, or give device 'cpu' to share "
                "the work among CPU processes",
                param="gpus",
            )
        self.check_for(kind)
        dtype = self.dtype
        if dtype == "auto":
            dtype = "bfloat16" if kind == "cuda" else "float32"
        return self.model_copy(update={"device": device, "dtype": dtype})

    def check_for(self, kind: str) -> None:
        """See that a device of this kind ("cpu", "cuda"), here or not, can have what is asked. Raises: RequestError."""
        self.check_degrees()
        if self.text_encoder_device is not None:
            _kind_of(self.text_encoder_device, "text_encoder_device")
        if kind == "cpu" and self.offload != "none":
            raise RequestError(f"offload={self.offload!r} needs a GPU, not device 'cpu'", param="offload")

    def check_together(self, num_clips: int) -> None:
        """See that what is for a batch is not asked of one clip. Raises: RequestError."""
        if self.vae_slicing and num_clips == 1:
            raise RequestError(
                "vae_slicing has no effect on one clip: it decodes the clips of a batch in turn; leave it out",
                param="vae_slicing",
            )

    def check_alone(self) -> None:
        """See that what one GPU alone can do is not asked of several. Raises: RequestError."""
        asked = {"cache": self.cache != "none", "guidance_interval": self.guidance_interval is not None}
        wrong = next((name for name, given in asked.items() if given), None)
        if self.gpus > 1 and wrong:
            raise RequestError(
                f"{wrong} works on one GPU, not on gpus={self.gpus}; leave it out, or use skip_interval",
                param=wrong,
            )

    def check_degrees(self) -> None:
        """See that the degrees that are given can be those of `gpus`. Raises: RequestError."""
        degrees = {name: getattr(self, name) for name in ("cfg_degree", "ulysses_degree", "ring_degree")}
        given = {name: degree for name, degree in degrees.items() if degree is not None}
        wrong = next((name for name, degree in given.items() if degree > 1), None)
        if self.gpus == 1 and wrong:
            raise RequestError(f"{wrong}={given[wrong]} needs gpus, how many share the work", param=wrong)
        product = prod(given.values())
        if self.gpus % product:
            said = " x ".join(f"{name}={degree}" for name, degree in given.items())
            raise RequestError(f"{said} does not share out gpus={self.gpus}", param=wrong)

    def check_gpus(self) -> None:
        """See that this machine has the devices of a resolved placement. Raises: RequestError."""
        if self.gpus == 1:
            return
        self.check_alone()
        import torch

        if self.device not in ("cuda", "cpu"):
            raise RequestError(
                f"gpus={self.gpus} needs device 'cuda' (all of them), not {self.device!r}", param="gpus"
            )
        if self.device == "cuda" and torch.cuda.device_count() < self.gpus:
            raise RequestError(f"gpus={self.gpus}, and {torch.cuda.device_count()} are here", param="gpus")


def _kind_of(device: str, param: str) -> str:
    """Such as "cuda" of "cuda:1". Raises: RequestError for no device of torch's."""
    import torch

    try:
        return torch.device(device).type
    except RuntimeError as error:
        raise RequestError(f"unknown {param} {device!r}; use cpu, cuda, cuda:1, mps", param=param) from error


def _present(device: str, param: str) -> str:
    """The kind of a device that is on this machine. Raises: RequestError."""
    import torch

    kind = _kind_of(device, param)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        here = ", ".join(name for name, present in available.items() if present)
        raise RequestError(f"{param} {device!r} is not on this machine; here: {here}", param=param)
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise RequestError(
            f"{param} {device!r} is not on this machine, which has {torch.cuda.device_count()} GPUs, from cuda:0 on",
            param=param,
        )
    return kind
