"""The seconds of a generation, part by part, from arithmetic over measured rates."""

from __future__ import annotations

from vitascope.engine.calibration import StepRate
from vitascope.engine.levers import Levers
from vitascope.engine.planned_run import PlannedRun
from vitascope.engine.step_plan import num_careful


def step_seconds(run: PlannedRun, levers: Levers | None = None) -> float | None:
    """One computed step under these levers (None: the run's), both prompts; None if never measured on this device."""
    rate = run.rate(levers)
    return None if rate is None else run.wanted.num_calls * (_arithmetic(run, rate) + _exchange(run))


def num_computed(run: PlannedRun) -> int:
    """How many steps are computed at the most."""
    return sum(_computed(run))


def part_seconds(run: PlannedRun) -> dict[str, float | None] | None:
    """Each part; a part is None that was never measured so, all are where the steps were not."""
    step_s = step_seconds(run)
    if step_s is None:
        return None
    computed, guided = _computed(run), _guided(run)
    halved = sum(one and not both for one, both in zip(computed, guided, strict=True))
    careful, careful_s = 0, step_seconds(run, run.exact_levers)
    if run.levers.approximate_attention and careful_s is not None:
        careful = num_careful(run.wanted.num_inference_steps)
    denoise_s = step_s * (sum(computed) - halved / 2 - careful) + (careful_s or 0.0) * careful
    decode_s = _decode(run)
    seconds = {
        "text": run.calibration.other.text_s + _visit(run, "text_encoder")
        if _reads_as_measured(run)
        else None,
        "denoise": denoise_s + _visit(run, "denoiser"),
        "decode": None if decode_s is None else decode_s + _visit(run, "vae"),
    }
    if run.levers.vae != "stream":  # whose frames arrive in 8 bits while the next ones are decoded
        seconds["pixels"] = run.calibration.other.pixels_s_per_megapixel * run.wanted.megapixels
    return seconds


def _reads_as_measured(run: PlannedRun) -> bool:
    return run.placement.text_encoder_device is None and run.placement.text_encoder_precision == "full"


def _computed(run: PlannedRun) -> tuple[bool, ...]:
    steps, schedule = run.wanted.num_inference_steps, run.levers.skip
    if run.levers.cache and run.levers.cache.kind == "taylor":
        schedule = run.levers.cache.schedule
    return tuple(schedule.computed(steps)) if schedule else (True,) * steps


def _guided(run: PlannedRun) -> tuple[bool, ...]:
    """Which steps ask both prompts, of those that ask two at all."""
    steps = run.wanted.num_inference_steps
    two = run.wanted.guided or run.wanted.num_calls > 1
    return tuple(run.levers.guidance.guided(steps)) if run.levers.guidance and two else (True,) * steps


def _arithmetic(run: PlannedRun, rate: StepRate) -> float:
    """Operations over the measured rates; short sequences keep attention from its full rate."""
    at_once = run.work.tokens * run.layout.ulysses
    reached = at_once / (at_once + run.calibration.half_rate_tokens)
    linears = run.work.linears / (rate.linears_tflops * 1e12)
    return linears + run.work.attention / (rate.attention_tflops * 1e12 * reached)


def _exchange(run: PlannedRun) -> float:
    """What handing tokens around costs: queries, keys, values and outputs in Ulysses, keys and values in a ring."""
    tensor = run.work.samples * run.work.tokens * run.sizes.width * 2.0  # bytes of one, in bfloat16
    ulysses, ring, seconds = run.layout.ulysses, run.layout.ring, 0.0
    if ulysses > 1:
        leaving = 4 * tensor * (ulysses - 1) / ulysses
        seconds += leaving / (run.calibration.exchange("ulysses").gb_s * 1e9)
    if ring > 1:
        passing = 2 * tensor * (ring - 1)
        seconds += passing / (run.calibration.exchange("ring").gb_s * 1e9)
    return seconds * run.sizes.num_layers


def _visit(run: PlannedRun, part: str) -> float:
    """A part's way to the GPU, where parts take turns there."""
    streamed = run.levers.offload == "blocks" and part == "denoiser"
    if run.levers.offload == "placement" or streamed:
        return 0.0
    return run.weights_gib[part] / run.calibration.other.visit_gib_s


def _decode(run: PlannedRun) -> float | None:
    rate = run.decode
    if rate is None or rate.seconds_per_megapixel is None:
        return None
    odd = run.num_latent_frames % 2 and rate.odd_seconds_per_megapixel
    alone = (odd or rate.seconds_per_megapixel) * run.wanted.megapixels
    if run.layout.world == 1 or rate.shared_s is None:
        return alone
    return alone / run.layout.world + rate.shared_s
