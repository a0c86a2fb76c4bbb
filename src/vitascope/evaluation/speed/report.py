"""A timing as Markdown and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.atomic import write_bytes
from vitascope.errors import DependencyMissing
from vitascope.evaluation.speed.records import AS_IS, BenchResult, Timing

HEADER = (
    *("", "first step, s", "step, s", "x", "of floor", "error"),
    *("first decode, s", "decode, s", "x", "decode GiB", "clip, s", "x", "clip GiB"),
)


def rows(result: BenchResult) -> tuple[list[str], list[list[str]]]:
    """The table: one row a way of running, compared with diffusers as it is."""
    return list(HEADER), [_row(name, result) for name in _in_order(result)]


def _in_order(result: BenchResult) -> list[str]:
    return sorted(result.timings, key=lambda name: name != AS_IS)


def step_of(name: str, result: BenchResult) -> float | None:
    """Seconds a step of a clip: the median, or the mean over those that a schedule computes and leaves out."""
    timing = result.timings.get(name, Timing())
    if timing.num_computed_steps is None:
        return timing.step_s
    if timing.clip_s:
        return sum(timing.clip_steps_s) / len(timing.clip_steps_s)
    computed = result.timings.get("balanced", Timing()).step_s
    return computed and computed * timing.num_computed_steps / result.num_steps


def clip_estimate(name: str, result: BenchResult, finish_s: float | None = None) -> float | None:
    """What a whole clip takes from noise to MP4 by its steps, for ways that were not run unbroken.

    `finish_s` stands for decoding and writing where they were not measured; None there without it.
    """
    step = step_of(name, result)
    timing, ours = result.timings.get(name, Timing()), result.timings.get("exact", Timing())
    finish = timing.finish_s or (None if name == AS_IS else ours.finish_s)  # all of ours decode alike
    finish = finish or timing.decode_s or finish_s
    return None if step is None or finish is None else result.num_steps * step + finish


def _row(name: str, result: BenchResult) -> list[str]:
    timing, base = result.timings[name], result.timings.get(AS_IS, Timing())
    if timing.failed and timing.step_s is None and timing.clip_s is None:
        return [name, "failed", *[""] * (len(HEADER) - 2)]
    step, whole = step_of(name, result), timing.clip_s or clip_estimate(name, result)
    scheduled = timing.num_computed_steps
    return [
        name if scheduled is None else f"{name} ({scheduled} of {result.num_steps})",
        _first(timing.first_step_s, timing.first_step),
        _number(step, 3),
        _ratio(base.step_s, step),
        _number(step / result.floor_step_s if step and result.floor_step_s else None, 2),
        _number(timing.relative_error, 4),
        _first(timing.decode_first_s, timing.decode_first),
        _number(timing.decode_s, 2),
        _ratio(base.decode_s, timing.decode_s),
        _number(timing.decode_alone_gib, 1),
        ("" if timing.clip_s or whole is None else "~") + _number(whole, 1),
        _ratio(clip_estimate(AS_IS, result), whole),
        _number(timing.clip_peak_gib or timing.step_peak_gib, 1),
    ]


def _first(seconds: float | None, start: str | None) -> str:
    return " ".join(filter(None, (_number(seconds, 1), start)))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _ratio(base: float | None, ours: float | None) -> str:
    return "" if base is None or not ours else f"{base / ours:.2f}"


def in_words(value: Any) -> Any:
    """A value of a result file as a reader takes it in: lists by commas, records by their names."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(part)}" for name, part in value.items())
    return ", ".join(str(in_words(part)) for part in value) if isinstance(value, list) else value


def notes(result: BenchResult) -> list[str]:
    """What the table does not say: levers, what failed or was left out, where the time went."""
    said = [f"{name}: {in_words(timing.levers)}" for name, timing in result.timings.items() if timing.levers]
    said += [
        f"{name} failed: {timing.failed[:200]}" for name, timing in result.timings.items() if timing.failed
    ]
    if result.left_out:
        said.append(f"left out, there was no time: {'; '.join(result.left_out)}")
    if result.stopped:
        said.append("stopped before its end: what is not here was not measured")
    if result.took_s:
        said.append(
            "took " + ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in result.took_s.items())
        )
    return said


def markdown(result: BenchResult) -> str:
    """The table with its conditions."""
    header, body = rows(result)
    task = result.task
    where = ", ".join(f"{name} {value}" for name, value in result.environment.items())
    size = f"{task['width']}x{task['height']}, {task['num_frames']} frames, {result.num_steps} steps"
    lines = [
        f"# {result.model}: {size}",
        "",
        f"{result.date}; {where}; {result.weights} weights (time and memory do not depend on them; no word on "
        "quality). x: times faster than diffusers as it is. First: with the compiling; cold: nothing was kept from "
        "before, warm: all graphs were. Error: of one step's output, relative. Decode GiB: the VAE and what decoding "
        "takes, without the other models. A clip without ~: from the prompt to the MP4, every step run; with ~: its "
        "steps, decode and MP4 added up. Clip GiB: a clip's models and what it takes at the most; of a step where no "
        "clip was made, all that is on the card. A row with steps in brackets computes those; its step is the mean of "
        "all.",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in body),
        "",
        *(f"- {note}" for note in notes(result)),
    ]
    return "\n".join(lines) + "\n"


def named(target: Path, suffix: str) -> Path:
    """`target` with `suffix` behind its whole name: that of wan2.1-t2v-1.3b has dots of its own."""
    return target.with_name(target.name + suffix)


def write(result: BenchResult, target: Path) -> list[Path]:
    """`target`.json, .md and, with matplotlib (the extra eval), .png."""
    written = [named(target, ".json"), named(target, ".md")]
    write_bytes(written[0], (result.model_dump_json(indent=1, exclude_none=True) + "\n").encode())
    write_bytes(written[1], markdown(result).encode())
    return written


def plot(result: BenchResult, target: Path) -> Path:
    """Bars of a step's time beside the floor. Raises: DependencyMissing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyMissing("matplotlib", "eval", "the plot") from error
    timed = {row: step for row in _in_order(result) if (step := step_of(row, result))}
    figure = Figure(figsize=(6, 0.6 * len(timed) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(list(timed), list(timed.values()), color="#4477aa")
    axes.bar_label(bars, fmt="%.2f s", padding=3)
    if result.floor_step_s:
        axes.axvline(
            result.floor_step_s, color="#cc6677", linestyle="--", label="bf16 arithmetic at full rate"
        )
        axes.legend(loc="lower right", fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("seconds a denoising step")
    axes.set_title(f"{result.model}, {result.environment.get('gpu', result.environment.get('device'))}")
    path = named(target, ".png")
    figure.savefig(path, dpi=120)
    return path
