"""Seconds a step, per part and GiB of real-size generations with random weights, on one GPU or several.

    python benchmarks/generation_times.py ROWS.json -o RESULT.json

ROWS.json is a list such as [{"model": "mochi-1", "frames": 163, "speed": "exact", "gpus": 2}], other fields:
width, height, steps, guidance, cfg_degree, ulysses_degree, ring_degree, quantize, memory_gib, offload, whole (all 50
steps, unbroken, with the MP4 written), after (a file that measuring waits for, RESULT.warm being there meanwhile).
The first row of a size runs twice, a few steps to compile and warm up, then the measured ones; models stay loaded
between rows that can share them. Processes that are given one --alone FOLDER share a GPU: while one measures, the
others stand still.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import fcntl
import gc
import json
import os
import signal
import statistics
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measured_generators import FAMILIES, MEASURED, PROMPT
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.evaluation.speed.whole_clips import WARM_UP_STEPS
from vitascope.task import TextToVideo

PLACED = (
    "speed",
    "gpus",
    "cfg_degree",
    "ulysses_degree",
    "ring_degree",
    "quantize",
    "device",
    "memory_gib",
    "attention",
    "offload",
)
SIZED = {"mochi-1": (848, 480, 163), "cogvideox-5b": (720, 480, 49)}


class Alone:
    """The processes that share a folder: one at a time measures, the others are stopped meanwhile."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            own = folder / str(os.getpid())
            own.touch()
            atexit.register(own.unlink, missing_ok=True)

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """While it lasts, the GPU is ours."""
        if self._folder is None:
            yield
            return
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._tell_others(signal.SIGSTOP)
            time.sleep(2)  # until what they had launched is done
            try:
                yield
            finally:
                self._tell_others(signal.SIGCONT)

    def _tell_others(self, what: signal.Signals) -> None:
        assert self._folder is not None
        for file in self._folder.iterdir():
            if file.name.isdigit() and int(file.name) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(file.name), what)


def measure(
    row: dict[str, Any], engines: dict[Placement, Engine], warm: set[Any], warmed: Path, alone: Alone
) -> dict[str, Any]:
    """The row and what was measured; `warm` has the sizes that were compiled, `warmed` tells others."""
    width, height, frames = SIZED[row["model"]]
    placement = Placement(**{name: row[name] for name in PLACED if name in row})
    engine = engines.setdefault(placement, Engine(placement, capacity=1))
    task = TextToVideo(
        prompt=PROMPT,
        seed=1,
        width=row.get("width", width),
        height=row.get("height", height),
        num_frames=row.get("frames", frames),
    )
    steps = 50 if row.get("whole") else row.get("steps", 5)
    knobs = {"guidance_scale": row["guidance"]} if "guidance" in row else {}
    said: dict[str, Any] = {
        **row,
        "width": task.width,
        "height": task.height,
        "frames": task.num_frames,
        "steps": steps,
    }
    key = (placement, task.width, task.height, task.num_frames)
    for num_steps, name in ((WARM_UP_STEPS, "first"), (steps, "measured")):
        if name == "first" and key in warm:
            continue
        if name == "measured" and "after" in row:
            _wait_for(Path(row["after"]), warmed)
        generator = FAMILIES[row["model"]](num_inference_steps=num_steps, **knobs)
        context = Context()
        with alone.here() if name == "measured" else contextlib.nullcontext():
            started = time.perf_counter()
            (clip,) = engine.generate(generator, [generator.complete(task)], context)
            said[f"{name}_wall_s"] = round(time.perf_counter() - started, 3)
        (words,) = [w for w in context.warnings if w.startswith(MEASURED)]
        measured = json.loads(words.removeprefix(MEASURED))
        if name == "first":
            said["cold"] = measured["seconds"]
    warm.add(key)
    said |= measured
    steps_s = measured["steps_s"][1:] or measured["steps_s"]
    computed = [step for step in steps_s if step > max(steps_s) / 3]  # extrapolated ones take no time
    said["seconds_per_step"] = round(statistics.median(computed), 4)
    if row.get("whole"):
        started = time.perf_counter()
        clip.save(Path(row["whole"]))
        said["mp4_s"] = round(time.perf_counter() - started, 3)
        said["end_to_end_s"] = round(said["measured_wall_s"] + said["mp4_s"], 2)
    return said


def _wait_for(file: Path, warmed: Path) -> None:
    warmed.touch()
    while not file.exists():
        time.sleep(0.2)


def main() -> None:
    """Measure every row; a row that fails says why and the others go on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--alone", type=Path, metavar="FOLDER", help="of processes on one GPU, new each time")
    given = parser.parse_args()
    alone = Alone(given.alone)
    until = float(os.environ.get("DEADLINE", "inf"))
    versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    result: dict[str, Any] = {"made": time.strftime("%Y-%m-%d"), "versions": versions, "rows": []}
    engines: dict[Placement, Engine] = {}
    warm: set[Any] = set()
    for row in json.loads(given.rows.read_text()):
        if time.time() > until - row.get("needs_s", 20):
            result["rows"].append({**row, "error": "no time left"})
            continue
        shared = Placement(**{name: row[name] for name in PLACED if name in row})
        for placement in [p for p in engines if p != shared]:
            engines.pop(placement).evict_all()
            warm.clear()
            gc.collect()  # hooks and the network hold each other
        try:
            result["rows"].append(measure(row, engines, warm, given.output.with_suffix(".warm"), alone))
        except Exception as error:  # noqa: BLE001  the other rows go on
            traceback.print_exc()
            result["rows"].append({**row, "error": f"{type(error).__name__}: {error}"[:500]})
        given.output.write_text(json.dumps(result, indent=1))
        print(json.dumps(result["rows"][-1]), flush=True)
    for engine in engines.values():
        engine.evict_all()


if __name__ == "__main__":
    main()
