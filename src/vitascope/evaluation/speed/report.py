"""A timing as Markdown and as a plot."""

from __future__ import annotations

from pathlib import Path

from vitascope.atomic import write_bytes
from vitascope.errors import DependencyMissing
from vitascope.evaluation.speed.bench import AS_IS, BenchResult, Timing

CLIP = ", whole clip"


def rows(result: BenchResult) -> tuple[list[str], list[list[str]]]:
    """The table: one row a way of running, compared with diffusers as it is."""
    base = result.timings.get(AS_IS, Timing())
    header = [
        "",
        "step, s",
        "x",
        "of floor",
        "error",
        "decode, s",
        "x",
        "decode GiB",
        "clip, s",
        "x",
        "clip GiB",
    ]
    return header, [_row(name, timing, base, result) for name, timing in result.timings.items()]


def clip_estimate(timing: Timing, num_steps: int) -> float | None:
    """What a whole clip takes from noise to MP4 by the median step, for ways that were not run unbroken."""
    if timing.step_s is None:
        return None
    return num_steps * timing.step_s + (timing.finish_s or timing.decode_s or 0.0)


def _row(name: str, timing: Timing, base: Timing, result: BenchResult) -> list[str]:
    if timing.failed:
        return [name, f"failed: {timing.failed[:100]}", *[""] * 9]
    whole_base = clip_estimate(base, result.num_steps)
    if timing.finish_s is None and not timing.clip_s:
        timing = timing.model_copy(update={"finish_s": result.timings.get("exact", Timing()).finish_s})
    whole = timing.clip_s or clip_estimate(timing, result.num_steps)
    mark = "" if timing.clip_s or whole is None else "~"
    of_floor = timing.step_s / result.floor_step_s if timing.step_s and result.floor_step_s else None
    return [
        name,
        _number(timing.step_s, 3),
        _ratio(base.step_s, timing.step_s),
        _number(of_floor, 2),
        _number(timing.relative_error, 4),
        _number(timing.decode_s, 2),
        _ratio(base.decode_s, timing.decode_s),
        _number(timing.decode_peak_gib, 1),
        mark + _number(whole, 1),
        _ratio(whole_base, whole),
        _number(timing.clip_peak_gib or timing.step_peak_gib, 1),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _ratio(base: float | None, ours: float | None) -> str:
    return "" if base is None or not ours else f"{base / ours:.2f}"


def markdown(result: BenchResult) -> str:
    """The table with its conditions; a clip with ~ is steps times the median step plus decode and MP4."""
    header, body = rows(result)
    task = result.task
    where = ", ".join(f"{name} {value}" for name, value in result.environment.items())
    size = f"{task['width']}x{task['height']}, {task['num_frames']} frames, {result.num_steps} steps"
    lines = [
        f"# {result.model}: {size}",
        "",
        f"{result.date}; {where}; {result.weights} weights (time and memory do not depend on them; no word on "
        "quality). x: times faster than diffusers as it is. error: of one step's output, relative. "
        "~: by the median step, decode and MP4 file.",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in body),
        "",
    ]
    for name, timing in result.timings.items():
        cold = [
            text
            for text, value in (
                (f"first step {timing.first_step_s:.1f} s", 1) if timing.first_step_s else ("", 0),
                (f"first decode {timing.decode_first_s:.1f} s", 1) if timing.decode_first_s else ("", 0),
            )
            if value
        ]
        if cold:
            lines.append(f"- {name}: {', '.join(cold)}; levers {timing.levers or 'none'}")
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
    timed = {name: timing.step_s for name, timing in result.timings.items() if timing.step_s}
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
