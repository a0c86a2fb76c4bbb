"""What `vitascope generate` does once its flags are parsed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from types import MappingProxyType
from typing import Any

from vitascope.cli.display import print_json, progress_bar
from vitascope.clip import Clip
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine.engine import Engine
from vitascope.errors import RequestError
from vitascope.labels.policy import Labelling
from vitascope.media import check_target
from vitascope.settings import Settings
from vitascope.workflows import Chain
from vitascope.workflows.generate import order


def parse_size(size: str | None) -> dict[str, int]:
    """`720x480` as width and height. Raises: RequestError."""
    if size is None:
        return {}
    width, cross, height = size.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise RequestError(f"size {size!r} is not WIDTHxHEIGHT, such as 720x480", param="size")
    return {"width": int(width), "height": int(height)}


def parse_memory(text: str | None) -> float | None:
    """`24GiB`, `24GB`, `24G` or `24` as GiB. Raises: RequestError."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(([kmgtp])(i?b)?)?\s*", text.lower())
    if found is None or float(found[1]) <= 0:
        raise RequestError(f"memory {text!r} is not a size, such as 24GiB", param="memory")
    power = "kmgtp".index(found[3] or "g") + 1
    each = 1000**power if found[4] == "b" else 1024**power
    return float(found[1]) * each / 2**30


def parse_knobs(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs, values read as YAML (numbers, true, [lists], words). Raises: RequestError."""
    import yaml

    knobs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise RequestError(f"--set {pair!r} is not name=value", param="set")
        if not value.strip():
            raise RequestError(
                f"--set {pair!r} has no value; write {pair}'\"\"' for an empty one", param="set"
            )
        owner, dot, knob = name.strip().rpartition(".")  # a step's name keeps its hyphens
        name = owner + dot + knob.replace("-", "_")
        if name in knobs:
            raise RequestError(f"--set {name} is said twice; say it once", param=name)
        try:
            knobs[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RequestError(f"--set {pair!r}: the value cannot be read", param="set") from error
    return knobs


def merged(
    flags: dict[str, Any], knobs: dict[str, Any], otherwise: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The flags that were given, and what `--set` says. `otherwise`: how to say what `--set` cannot.

    Raises: RequestError for that, and for what both say.
    """
    for name in otherwise.keys() & knobs.keys():
        raise RequestError(f"--set {name}={knobs[name]}: {otherwise[name]}", param=name)
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given.keys() & knobs.keys():
        raise RequestError(
            f"{name} is said twice: {given[name]!r} by its flag, {knobs[name]!r} by --set; say it once",
            param=name,
        )
    return given | {name: value for name, value in knobs.items() if value is not None}


def numbered(output: Path, index: int, count: int) -> Path:
    """`clip.mp4` for one clip, `clip-1.mp4`, `clip-2.mp4` ... for several."""
    return output if count == 1 else output.with_name(f"{output.stem}-{index + 1}{output.suffix}")


@contextmanager
def cancelled_by_signals(context: Context) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the run to stop at its next denoising step; a second one stops at once."""

    def stop(_number: int, _frame: Any) -> None:
        if context.cancel.is_set():
            raise KeyboardInterrupt
        context.cancel.set()

    previous = {number: signal(number, stop) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal(number, handler)


def stopped_runs(settings: Settings) -> FolderCheckpoints:
    """The denoising states that a run which was stopped left: asked for again, it goes on from there."""
    states = FolderCheckpoints(settings.home / "checkpoints")
    states.prune(settings.keep_gib * 2**30)
    return states


def make_clips(
    prompt: str,
    model: str | None,
    options: dict[str, Any],
    seeds: Sequence[int],
    output: Path,
    *,
    label: str | None,
    batch: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make one clip a seed and write them; each is whole or not there at all.

    Raises: RequestError, ResourceError, RunError, JobCancelled.
    """
    targets = [numbered(output, index, len(seeds)) for index in range(len(seeds))]
    labelling = Labelling.of(label, output)
    asked = order(prompt, model=model, seed=seeds[0], **options)
    asked.placement.check_together(len(seeds) if batch else 1)
    chain = Chain(generator=asked.generator)
    tasks = [asked.task.model_copy(update={"seed": seed}) for seed in seeds]
    chain.check(asked.task)
    num_frames = asked.generator.complete(asked.task).num_frames
    for target in targets:
        check_target(target, num_frames)
    engine = Engine(asked.placement)
    made: list[dict[str, Any]] = []
    states = stopped_runs(Settings.from_environment())
    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen, checkpoints=states)
        with cancelled_by_signals(context):
            context.progress("load", 0, 0)
            for group in [list(range(len(tasks)))] if batch else [[i] for i in range(len(tasks))]:
                started = time.monotonic()
                clips = chain.run_batch([tasks[index] for index in group], engine, context)
                seconds = time.monotonic() - started
                made += [
                    {**written(labelling.on(clip), targets[i]), "seconds": round(seconds, 2)}
                    for i, clip in zip(group, clips, strict=True)
                ]
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print_json(made)
    else:
        for row in made:
            print(f"{row['path']}: {row['clip']} in {row['seconds']} s")


def written(clip: Clip, target: Path) -> dict[str, Any]:
    """Save a clip; gives what a script wants to know of it."""
    clip.save(target)
    return {
        "path": str(target),
        "clip": f"{clip.num_frames} frames, {clip.width}x{clip.height}, {float(clip.fps):g} fps",
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": float(clip.fps),
        "recipe": clip.recipe.model_dump(mode="json"),
    }
