"""Time and memory of a generation before anything is loaded, for GPUs that need not be here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from vitascope.engine.calibration import Calibration, Decode, StepRate, committed
from vitascope.engine.estimated_memory import decode_rate, peaks
from vitascope.engine.levers import ACTIVATIONS_GIB, Levers, decide
from vitascope.engine.parallel.layout import Layout, shares
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import num_careful
from vitascope.engine.subject import Gpu, Subject
from vitascope.engine.workload import Architecture, StepWork, Wanted


# Tensors of all video tokens that stay on the GPU between steps.
class Estimate(BaseModel):
    """What is predicted, and why. Units: seconds, GiB a GPU, FLOP.

    `seconds` by part is for compiled code that is already in the cache and modules that are loaded; a part is None
    where it was never measured so, all are where the steps were not measured on this device. `gib` is the peak while
    each part runs, of what torch allocates; CUDA's own comes on top of it. `room_gib` is what a GPU may use; None on
    a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    layout: Layout
    levers: Levers
    num_tokens: int
    num_computed_steps: int
    seconds_per_step: float | None
    seconds: dict[str, float | None] | None
    weights_gib: dict[str, float]
    gib: dict[str, float]
    context_gib: float
    room_gib: float | None
    step_flop: float
    because: tuple[str, ...]

    @property
    def total_s(self) -> float | None:
        """All parts together; None where one is not known."""
        known = [each for each in (self.seconds or {}).values() if each is not None]
        return sum(known) if self.seconds and len(known) == len(self.seconds) else None

    @property
    def peak_gib(self) -> float:
        """The most that one GPU needs, CUDA's own included."""
        return max(self.gib.values()) + self.context_gib

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.room_gib is None or self.peak_gib <= self.room_gib


def estimate(
    sizes: Architecture,
    wanted: Wanted,
    placement: Placement,
    gpu: Gpu | None,
    calibration: Calibration | None = None,
    *,
    splits: tuple[str, ...] = ("guidance", "tokens"),
) -> Estimate:
    """Predict one clip on `placement.gpus` GPUs like `gpu`, which need not be here (None: the CPU).

    Raises: RequestError, ResourceError for a placement that this model or device cannot have; OutOfMemory where
    `memory_gib` is too little.
    """
    calibration = calibration or committed()
    device = calibration.device_called(gpu.name) if gpu else "CPU"
    levers = decide(subject_of(sizes, placement.dtype), placement, gpu)
    if placement.vae_tiling:
        levers = levers.model_copy(update={"vae_tiling": True})
    layout = _layout(sizes, wanted, placement, splits)
    if layout.ring > 1 and gpu:
        levers = levers.exact_in_a_ring("fa3" if gpu.fa3 else "cudnn", placement.attention)
    rate = (
        calibration.step(device or "", sizes.family, levers, sizes.width)
        if placement.offload == "none"
        else None
    )
    tokens = sizes.num_tokens(wanted.width, wanted.height, wanted.num_frames)
    samples = (2 if wanted.guided else 1) // layout.cfg
    work = StepWork.of(
        sizes,
        tokens,
        samples=samples,
        sequence=layout.sequence,
        heads_share=shares(sizes.num_heads, layout.ulysses)[0] / sizes.num_heads / layout.ring,
        prompt_tokens=wanted.prompt_tokens,
    )
    computed, halved = _num_computed(levers, wanted)
    exchange_s = _exchange_seconds(sizes, work, layout, calibration)
    calls = wanted.num_calls
    step_s = None if rate is None else calls * (_step_seconds(work, rate, layout, calibration) + exchange_s)
    careful, careful_s = 0, 0.0
    if levers.approximate_attention and gpu:
        exact = levers.model_copy(update={"attention": "fa3" if gpu.fa3 else "cudnn"})
        if (careful_rate := calibration.step(device or "", sizes.family, exact, sizes.width)) is not None:
            careful = num_careful(wanted.num_inference_steps)
            careful_s = calls * (_step_seconds(work, careful_rate, layout, calibration) + exchange_s)
    seconds: dict[str, float | None] | None = None
    decode_s = _decode_seconds(sizes, wanted, levers, layout, calibration)
    if step_s is not None:
        megapixels = wanted.width * wanted.height * wanted.num_frames / 1e6
        visit_s = calibration.other.visit_s if levers.offload != "placement" else 0.0
        seconds = {
            "text": calibration.other.text_s + visit_s,
            "denoise": step_s * (computed - halved / 2 - careful) + careful_s * careful + visit_s,
            "decode": None if decode_s is None else decode_s + visit_s,
        }
        if levers.vae != "stream":  # whose frames arrive in 8 bits while the next ones are decoded
            seconds["pixels"] = calibration.other.pixels_s_per_megapixel * megapixels
    weights = sizes.weights_gib(placement.dtype, fp8=levers.linears == "fp8")
    made = Estimate(
        device=device or (gpu.name if gpu else "CPU"),
        layout=layout,
        levers=levers,
        num_tokens=tokens,
        num_computed_steps=computed,
        seconds_per_step=step_s,
        seconds=seconds,
        weights_gib=weights,
        gib=peaks(sizes, wanted, levers, placement, work, layout, weights, calibration),
        context_gib=calibration.other.context_gib if gpu else 0.0,
        room_gib=min(gpu.memory_gib, placement.memory_gib or gpu.memory_gib) if gpu else None,
        step_flop=_step_flop(sizes, tokens, wanted),
        because=_reasons(
            levers, layout, gpu, decode_rate(sizes, levers, calibration), seconds is not None, placement
        ),
    )
    return (
        made
        if made.fits
        else made.model_copy(
            update={"because": (*made.because, _too_much(made, placement, sizes.transformer))}
        )
    )


def subject_of(sizes: Architecture, dtype: str) -> Subject:
    """What the levers must know of a model."""
    weights = sizes.weights_gib(dtype)
    return Subject(
        transformer=sizes.transformer,
        vae=sizes.vae,
        num_parameters=sizes.billions.denoiser * 1e9,
        head_dim=sizes.head_dim,
        fp8_parameters=sizes.fp8_billions * 1e9,
        parts_gib={
            "transformer": weights["denoiser"],
            "text_encoder": weights["text_encoder"],
            "vae": weights["vae"],
        },
    )


def _layout(sizes: Architecture, wanted: Wanted, placement: Placement, splits: tuple[str, ...]) -> Layout:
    return Layout.derived(
        placement.gpus,
        sizes.num_heads if "tokens" in splits else None,
        guided=wanted.guided and "guidance" in splits,
        cfg=placement.cfg_degree,
        ulysses=placement.ulysses_degree,
        ring=placement.ring_degree,
    )


def _step_flop(sizes: Architecture, tokens: int, wanted: Wanted) -> float:
    """Of all GPUs together."""
    samples = (2 if wanted.guided else 1) * wanted.num_calls
    work = StepWork.of(sizes, tokens, samples=samples, prompt_tokens=wanted.prompt_tokens)
    return work.linears + work.attention


def _num_computed(levers: Levers, wanted: Wanted) -> tuple[int, int]:
    """How many steps are computed at the most, and how many of them for one prompt alone."""
    steps = wanted.num_inference_steps
    schedule = levers.skip
    if levers.cache and levers.cache.kind == "taylor":
        schedule = levers.cache.schedule
    computed = schedule.computed(steps) if schedule else (True,) * steps
    guided = levers.guidance.guided(steps) if levers.guidance and wanted.guided else (True,) * steps
    return sum(computed), sum(one and not both for one, both in zip(computed, guided, strict=True))


def _step_seconds(work: StepWork, rate: StepRate, layout: Layout, calibration: Calibration) -> float:
    """Arithmetic over the measured rates; short sequences keep attention from its full rate."""
    at_once = work.tokens * layout.ulysses
    reached = at_once / (at_once + calibration.half_rate_tokens)
    linears = work.linears / (rate.linears_tflops * 1e12)
    return linears + work.attention / (rate.attention_tflops * 1e12 * reached)


def _exchange_seconds(sizes: Architecture, work: StepWork, layout: Layout, calibration: Calibration) -> float:
    """What handing tokens around costs: queries, keys, values and outputs in Ulysses, keys and values in a ring."""
    tensor = work.samples * work.tokens * sizes.width * 2.0  # bytes of one, in bfloat16
    seconds = 0.0
    if layout.ulysses > 1:
        leaving = 4 * tensor * (layout.ulysses - 1) / layout.ulysses
        seconds += leaving / (calibration.exchange("ulysses").gb_s * 1e9)
    if layout.ring > 1:
        passing = 2 * tensor * (layout.ring - 1)
        seconds += passing / (calibration.exchange("ring").gb_s * 1e9)
    return seconds * sizes.num_layers


def _decode_seconds(
    sizes: Architecture, wanted: Wanted, levers: Levers, layout: Layout, calibration: Calibration
) -> float | None:
    rate = decode_rate(sizes, levers, calibration)
    if rate is None or rate.seconds_per_megapixel is None:
        return None
    odd = sizes.num_latent_frames(wanted.num_frames) % 2 and rate.odd_seconds_per_megapixel
    alone = (odd or rate.seconds_per_megapixel) * wanted.width * wanted.height * wanted.num_frames / 1e6
    if layout.world == 1 or rate.shared_s is None:
        return alone
    return alone / layout.world + rate.shared_s


def _too_much(made: Estimate, placement: Placement, transformer: str) -> str:
    """What is said of a clip that does not fit, and what would help. Its largest part decides."""
    largest = max(made.gib, key=lambda part: made.gib[part])
    streamed = (
        largest == "decode" and made.levers.vae == "stream"
    )  # group by group: the length does not matter
    helps = ["a smaller size", *([] if streamed else ["fewer frames"])]
    if placement.offload == "none" and made.levers.offload == "placement":
        turns = transformer in ACTIVATIONS_GIB
        helps.append(
            f"memory_gib={int(made.room_gib or 0)} (parts take turns)" if turns else "offload='model'"
        )
    said = f"does not fit: {made.peak_gib:.1f} GiB while it does {largest!r}, and {made.room_gib:.1f} may be used"
    return f"{said}; try {' or '.join(helps)}"


def _reasons(
    levers: Levers, layout: Layout, gpu: Gpu | None, decode: Decode | None, timed: bool, placement: Placement
) -> tuple[str, ...]:
    """Why it will run so, a line for each choice."""
    name = gpu.name if gpu else "a CPU"
    asked = (
        "as asked" if placement.attention == levers.attention else f"which speed={placement.speed!r} allows"
    )
    said = {
        "fa3": f"attention: FlashAttention-3, the fastest exact kernel on {name}",
        "int8": f"attention: 8-bit with smoothing, {asked}; first and last steps exact",
        "sage": "attention: SageAttention2, as asked; first and last steps exact",
        "cudnn": f"attention: cuDNN, the fastest exact kernel on {name} without fa3-fwd",
        "sdpa": "attention: torch's own choice",
        "model": "attention: as diffusers has it",
    }
    lines = [said[levers.attention]]
    if levers.compile:
        lines.append("blocks compiled: each new size takes up to a minute once, then it is kept on disk")
    if levers.linears == "fp8":
        why = "as asked" if placement.quantize == "fp8" else f"which speed={placement.speed!r} allows"
        lines.append(f"8-bit linears, {why}: faster, and half the memory")
    if levers.skip is not None:
        lines.append("after the first steps only some are computed, the others foretold")
    if levers.cache is not None and levers.cache.kind == "taylor":
        lines.append("after the first steps the last block's output is foretold on some")
    elif levers.cache is not None:
        lines.append(
            f"cache {levers.cache.kind}: how many steps it leaves out depends on the clip; the time is without"
        )
    if levers.guidance is not None:
        lines.append("the negative prompt is asked on some steps only: the others take half the time")
    if levers.vae == "stream":
        lines.append("VAE: group by group of frames with its causal past, no tile seams")
    if levers.offload != "placement":
        how = "parts take turns on the GPU" if levers.offload == "turns" else "blocks arrive one ahead"
        lines.append(f"memory_gib={placement.memory_gib:g}: {how}")
    if layout.world > 1:
        many = f"{layout.world} {'GPUs' if gpu else 'processes'}"
        lines.append(f"{many} as {layout.described()}: {_why(layout)}")
    lines += [f"not here: {missed}" for missed in levers.fallbacks]
    if decode is None:
        lines.append("the memory of decoding so was not measured: it is not among the GiB")
    if not timed:
        lines.append("no time is predicted: this way of running was not measured on this device")
    return tuple(lines)


def _why(layout: Layout) -> str:
    said = []
    if layout.cfg > 1:
        said.append("the prompt and the negative prompt apart, which sends least")
    if layout.ulysses > 1:
        said.append("tokens exchanged for heads")
    if layout.ring > 1:
        said.append("keys and values in a ring, since the heads do not share out evenly")
    return "; ".join(said)
