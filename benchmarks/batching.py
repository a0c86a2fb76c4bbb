"""What a batch gains: seconds a clip when several are denoised together, as a worker with `--batch` does it.

    python benchmarks/batching.py --models sprout cogvideox-5b --device cuda

Sprout has its weights, CogVideoX-5B its real size with random ones. The same generator is asked for 1, 2, 4 ... clips
in turn, twice round; the faster time counts. Files are not written.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from conditions import conditions
from measured_generators import FAMILIES, PROMPT
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import OutOfMemory
from vitascope.generators import for_model
from vitascope.task import TextToVideo


def generator(model: str, steps: int | None) -> Any:
    """A known model, or a published size with random weights."""
    knobs = {} if steps is None else {"num_inference_steps": steps}
    return FAMILIES[model].with_knobs(**knobs) if model in FAMILIES else for_model(model, **knobs)


def seconds(engine: Engine, item: Any, size: int) -> float:
    """How long a batch of so many takes."""
    tasks = [item.complete(TextToVideo.of(prompt=PROMPT, seed=seed)) for seed in range(size)]
    started = time.perf_counter()
    clips = engine.generate(item, tasks, Context())
    assert len(clips) == size, "each of the batch comes out"
    return time.perf_counter() - started


def measure(model: str, device: str, sizes: list[int], steps: int | None) -> list[dict[str, Any]]:
    """Seconds a clip and the peak of memory for each size."""
    engine, item, rows = Engine(Placement(device=device)), generator(model, steps), []
    seconds(engine, item, 1)  # loads, and lets the libraries choose their kernels
    for size in sizes:
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        try:
            took = min(seconds(engine, item, size) for _ in range(2))
        except OutOfMemory as error:
            rows.append({"batch": size, "failed": str(error)})
            break
        peak = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else None
        row = {"batch": size, "seconds_a_clip": round(took / size, 3), "peak_gib": peak and round(peak, 2)}
        rows.append(row)
        print(model, json.dumps(row), flush=True)
    engine.evict_all()
    return rows


def main() -> None:
    """Measure and write the result, after each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["sprout"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, help="denoising steps; the model's own if left out")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path(f"benchmarks/results/{datetime.now(UTC).date()}-batching.json")
    result: dict[str, Any] = {
        "conditions": conditions(given.device, "diffusers"),
        "steps": given.steps,
        "models": {},
    }
    for model in given.models:
        result["models"][model] = measure(model, given.device, given.sizes, given.steps)
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
