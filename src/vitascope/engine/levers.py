"""Decide how one model runs on one machine: attention kernel, compilation, quantization, offloading and the rest.

`decide` turns a placement into levers and says which of its wishes this model or machine cannot have; it is pure, so it
can be asked about a GPU that is not here. `pull` applies levers to loaded modules.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vitascope.engine import block_cache, guidance_interval
from vitascope.engine.denoisers import BLOCKS, blocks_of, denoisers_of
from vitascope.engine.lever_limits import HALF, no_compiling, no_fa3, no_fp8, no_int8, no_sage
from vitascope.engine.memory import CONTEXT_GIB
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import SkipSchedule
from vitascope.engine.subject import CUDNN_FIRST, HOPPER, Gpu, Subject
from vitascope.engine.vae_streams import STREAMS, refusal
from vitascope.errors import DependencyMissing, OutOfMemory, RequestError, ResourceError

# Below this many parameters a cold compile costs more than it saves.
COMPILE_FROM_PARAMETERS = 5e8
INT8_PAYS_AT = 128  # at 64 channels FlashAttention-3 is faster: H200, 6.8 ms, SageAttention2 8.0, ours 9.8
# Peak beside the weights at the model's own size and length, with guidance in one batch; measured on one H100.
ACTIVATIONS_GIB = {
    "MochiTransformer3DModel": 9.0,  # 5.8 and 8.8 in two runs of `balanced`
    "CogVideoXTransformer3DModel": 2.5,
    "AutoencoderKLMochi": 12.0,
    "AutoencoderKLCogVideoX": 15.0,
}


class Levers(BaseModel):
    """How one model runs, in full; "model" means as diffusers has it. `fallbacks` says what a word promised
    and this machine or model cannot have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: str = "model"
    compile: bool = False
    linears: Literal["model", "fp8"] = "model"
    vae: Literal["model", "stream"] = "model"
    skip: SkipSchedule | None = None
    cache: block_cache.BlockCache | None = None
    guidance: guidance_interval.GuidanceInterval | None = None
    offload: Literal["placement", "turns", "blocks"] = "placement"
    vae_tiling: bool = False
    fallbacks: tuple[str, ...] = ()

    @property
    def approximate_attention(self) -> bool:
        """Whether attention is 8-bit; the first and last blocks and steps are exact even so."""
        return self.attention in ("int8", "sage")

    def exact_in_a_ring(self, exact: str) -> Levers:
        """These levers where tokens go around a ring, in which a speed word's 8-bit attention has no place."""
        if not self.approximate_attention:
            return self
        return self._attending_exactly(exact, "8-bit attention cannot go around a ring of GPUs")

    def with_proven_linears(self, works: bool, asked: str) -> Levers:
        """These levers after fp8 linears were tried. Raises: ResourceError if asked for and not working."""
        if works or self.linears != "fp8":
            return self
        said = "fp8 linears do not work on this GPU with this torch"
        if asked != "auto":
            raise ResourceError(f"quantize={asked!r}: {said}; use quantize='none'")
        return self.model_copy(update={"linears": "model", "fallbacks": (*self.fallbacks, said)})

    def with_proven_kernel(self, works: bool, exact: str, asked: str) -> Levers:
        """These levers after the 8-bit kernel was tried. Raises: ResourceError if asked for and not working."""
        if works or self.attention != "int8":
            return self
        said = "8-bit attention does not work as this Triton builds it"
        if asked != "auto":
            raise ResourceError(f"attention={asked!r}: {said}; use 'fa3', 'cudnn' or 'sdpa'")
        return self._attending_exactly(exact, said)

    def _attending_exactly(self, exact: str, why: str) -> Levers:
        return self.model_copy(update={"attention": exact, "fallbacks": (*self.fallbacks, why)})

    def described(self) -> dict[str, Any]:
        """For a recipe: the levers that are on."""
        said = self.model_dump(mode="json", exclude_none=True)
        return {
            name: value for name, value in said.items() if value not in ("model", "placement", False, [], ())
        }

    def check_adapters(self) -> None:
        """Raises: RequestError where LoRA adapters cannot be put on the weights as they are kept."""
        if self.linears != "model":
            raise RequestError("LoRA adapters need exact linears; add quantize='none'", param="loras")
        if self.offload != "placement":
            raise RequestError(
                "LoRA adapters cannot visit the GPU with their model; leave memory out, or use offload='model'",
                param="loras",
            )


def decide(subject: Subject, placement: Placement, gpu: Gpu | None) -> Levers:
    """The levers of `subject` under `placement` on `gpu` (None: the CPU).

    What a speed word would like and cannot have is left out and said; what an expert switch asks for and
    cannot have is an error. Raises: RequestError, ResourceError, DependencyMissing.
    """
    placement.check_alone()
    subject.check_parts(placement)
    missed: list[str] = []
    compiled = _compiled(subject, placement, gpu, missed)
    attention = _attention(subject, placement, gpu, compiled, missed)
    linears = _linears(subject, placement, gpu, compiled, missed)
    cache = block_cache.decide(subject.transformer, placement)
    skip = None if cache else _skip(subject, placement, missed)
    vae = _vae(subject, placement, gpu)
    offload, tiling = _within_memory(subject, placement, gpu, linears)
    return Levers(
        attention=attention,
        compile=compiled,
        linears=linears,
        vae="model" if tiling else vae,
        skip=skip,
        cache=cache,
        guidance=guidance_interval.decide(subject.transformer, placement),
        offload=offload,
        vae_tiling=tiling,
        fallbacks=tuple(missed),
    )


def decide_without_sage(subject: Subject, placement: Placement, gpu: Gpu) -> Levers:
    """The levers where SageAttention2 is installed and was tried in vain. Raises: ResourceError if it was asked for."""
    said = f"SageAttention2 as it is installed does not work on {gpu.name}"
    chosen = decide(subject, placement, gpu.model_copy(update={"sage": said}))
    return chosen.model_copy(update={"fallbacks": (*chosen.fallbacks, said)})


def _attention(
    subject: Subject, placement: Placement, gpu: Gpu | None, compiled: bool, missed: list[str]
) -> str:
    asked = placement.attention
    if asked not in ("auto", "model"):
        _check_attention(asked, subject, placement, gpu)
    if asked != "auto":
        return asked
    if gpu is None or subject.transformer not in BLOCKS:
        return "model"
    if kernel := _in_8_bits(subject, placement, gpu, compiled, missed):
        return kernel
    if gpu.capability == HOPPER and placement.dtype == "bfloat16" and gpu.fa3:
        if lacking := no_fa3(subject):
            missed.append(lacking)
            return "sdpa"
        return "fa3"
    half = placement.dtype in HALF
    return "cudnn" if gpu.capability in CUDNN_FIRST and half else "sdpa"


def _check_attention(asked: str, subject: Subject, placement: Placement, gpu: Gpu | None) -> None:
    """Check a kernel that was asked for by name. Raises: RequestError, ResourceError, DependencyMissing."""
    if subject.transformer not in BLOCKS:
        named = block_cache.in_words(subject.transformer)
        raise RequestError(
            f"attention={asked!r} has no effect on {named}; leave it at 'auto'", param="attention"
        )
    if asked == "sdpa":
        return
    if gpu is None:
        raise ResourceError(f"attention={asked!r} needs a CUDA GPU; use 'sdpa'")
    if asked == "int8" and (lacking := no_int8(subject, placement, gpu)):
        raise ResourceError(f"attention='int8': {lacking}; use 'fa3', 'cudnn' or 'sdpa'")
    if asked == "sage" and (lacking := no_sage(placement, gpu)):
        raise ResourceError(f"attention='sage': {lacking}")
    if asked != "fa3":
        return
    if gpu.capability != HOPPER:
        raise ResourceError(f"attention='fa3' needs a Hopper GPU (H100, H200), not {gpu.name}; use 'sdpa'")
    if not gpu.fa3:
        raise DependencyMissing("fa3-fwd", "hopper", "attention='fa3'")
    if lacking := no_fa3(subject):
        raise ResourceError(f"attention='fa3': {lacking}; use 'cudnn' or 'sdpa'")


def _in_8_bits(
    subject: Subject, placement: Placement, gpu: Gpu, compiled: bool, missed: list[str]
) -> str | None:
    """The 8-bit kernel that a speed word takes: SageAttention2 where it is installed, else ours."""
    if placement.speed == "exact" or subject.head_dim != INT8_PAYS_AT:
        return None
    has_sage = no_sage(placement, gpu) is None
    lacking = None if has_sage else no_int8(subject, placement, gpu)
    if lacking is None and not compiled:
        lacking = "8-bit attention gains nothing without compiled blocks"
    if lacking is None:
        return "sage" if has_sage else "int8"
    missed.append(lacking)
    return None


def _compiled(subject: Subject, placement: Placement, gpu: Gpu | None, missed: list[str]) -> bool:
    known = subject.transformer in BLOCKS
    if placement.compile and not known:
        named = block_cache.in_words(subject.transformer)
        raise RequestError(f"compile has no effect on {named}; leave it out", param="compile")
    scattered = placement.offload == "sequential"  # layer by layer, by hooks within the blocks
    if placement.compile and scattered:
        raise RequestError("compile does not go with offload='sequential'; choose one", param="compile")
    lacking = None if gpu is None else no_compiling(placement, gpu)
    if placement.compile and lacking:
        raise ResourceError(f"compile: {lacking}; leave it out")
    if placement.compile is not None:
        return placement.compile
    if not known or scattered or subject.quantized:  # packed linears were never timed compiled
        return False
    if gpu is None or subject.num_parameters < COMPILE_FROM_PARAMETERS:
        return False
    if lacking:
        missed.append(lacking)
    return lacking is None


def _linears(
    subject: Subject, placement: Placement, gpu: Gpu | None, compiled: bool, missed: list[str]
) -> Literal["model", "fp8"]:
    asked = placement.quantize
    if asked == "none" or (asked == "auto" and placement.speed == "exact"):
        return "model"
    lacking = no_fp8(subject, placement, gpu)
    if lacking is None and not compiled and asked == "auto":
        lacking = "fp8 linears gain nothing without compiled blocks"
    if lacking is None:
        return "fp8"
    if asked == "fp8":
        raise ResourceError(f"quantize='fp8': {lacking}; use quantize='none'")
    missed.append(lacking)
    return "model"


def _skip(subject: Subject, placement: Placement, missed: list[str]) -> SkipSchedule | None:
    asked = placement.skip_interval
    if asked == 1 or (asked is None and placement.speed != "turbo"):
        return None
    if subject.transformer == "NoneType":
        if asked is not None:
            raise RequestError(
                "skip_interval has no effect on a model without a transformer", param="skip_interval"
            )
        missed.append("steps are skipped for transformers only")
        return None
    return SkipSchedule(interval=asked)


def _vae(subject: Subject, placement: Placement, gpu: Gpu | None) -> Literal["model", "stream"]:
    known = subject.vae in STREAMS
    if placement.vae_streaming and not known:
        raise refusal(subject.vae)
    if placement.vae_streaming and placement.vae_tiling:
        raise RequestError("choose vae_streaming or vae_tiling, not both", param="vae_streaming")
    # A stream reads weights that offloading's hooks bring for their layer alone.
    scattered = placement.offload == "sequential"
    if placement.vae_streaming and scattered:
        raise RequestError(
            "vae_streaming does not go with offload='sequential'; choose one", param="vae_streaming"
        )
    if placement.vae_streaming is None:
        streams = known and gpu is not None and not placement.vae_tiling and not scattered
        return "stream" if streams else "model"
    return "stream" if placement.vae_streaming else "model"


def _within_memory(
    subject: Subject, placement: Placement, gpu: Gpu | None, linears: str
) -> tuple[Literal["placement", "turns", "blocks"], bool]:
    """How weights are placed so that a clip of the model's own size stays within `memory_gib`, and VAE tiling."""
    limit = placement.memory_gib
    if limit is None or gpu is None or placement.offload != "none":
        return "placement", False
    room = limit - CONTEXT_GIB
    if subject.transformer not in ACTIVATIONS_GIB or subject.quantized:
        if sum(subject.parts_gib.values()) > room:
            raise OutOfMemory(
                f"the weights do not fit in {limit:.1f} GiB; use offload='model' or 'sequential'"
            )
        return "placement", False
    denoiser, activations = subject.denoiser_gib(linears), ACTIVATIONS_GIB[subject.transformer]
    others = [gib for part, gib in subject.parts_gib.items() if part != "transformer"]
    decoding = ACTIVATIONS_GIB.get(subject.vae, 0.0)
    if denoiser + sum(others) + max(activations, decoding) <= room:
        return "placement", False
    tiling = subject.vae == "AutoencoderKLCogVideoX" and decoding + subject.parts_gib.get("vae", 0.0) > room
    if denoiser + activations <= room:
        return "turns", tiling
    largest = 3 * denoiser / 40  # two blocks of forty and what stands beside them
    if largest + activations > room or max(others, default=0.0) > room:
        needed = max(largest + activations, *others) + CONTEXT_GIB
        raise OutOfMemory(
            f"memory {limit:.1f} GiB is too little for {subject.transformer} even block by block; "
            f"it needs {needed:.1f} GiB at the model's own size"
        )
    return "blocks", tiling


def shrink(pipeline: Any, levers: Levers, device: str) -> None:
    """The levers that make weights smaller, before they are moved to `device`."""
    from vitascope.engine import quantize

    if levers.linears == "fp8":
        for denoiser in denoisers_of(pipeline):
            quantize.fp8_linears(blocks_of(denoiser), device=device)


def pull(pipeline: Any, levers: Levers, device: str) -> None:
    """The other levers, once for each set of modules."""
    from vitascope.engine import attention, attention_processors, offload, streaming_vae
    from vitascope.engine.compile import compile_blocks, compiler_for, keep_compiled_in
    from vitascope.settings import Settings

    if levers.compile and device == "cpu" and compiler_for(device) is None:
        raise ResourceError("compile: it needs a C++ compiler such as g++; leave it out")
    for denoiser in denoisers_of(pipeline):
        if levers.attention != "model":
            exact = None
            if levers.approximate_attention:
                exact = attention.joined(attention.best_exact(device, denoiser.dtype))
            attention_processors.install(denoiser, attention.joined(levers.attention), exact)
        if levers.compile:
            keep_compiled_in(Settings.from_environment().home / "compiled")
            compile_blocks(blocks_of(denoiser))
    if levers.vae == "stream":
        streaming_vae.install(pipeline.vae, compiled=levers.compile)
    if levers.offload != "placement":
        parts = {name: part for name, part in pipeline.components.items() if hasattr(part, "parameters")}
        blocks = blocks_of(pipeline.transformer) if levers.offload == "blocks" else []
        offload.take_turns(parts, device, blocks)
