"""What a step costs whose blocks are left out, or that asks for one prompt alone.

`python benchmarks/block_cache_speed.py mochi --out FILE.json`. Real sizes and random weights on a CUDA GPU, whose time
and memory do not depend on the values; thresholds are so high that every step that may be cached is. `--tiny` runs
anywhere, to see what it does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from conditions import conditions
from vitascope.engine.block_cache import BlockCache, CacheCalibration, caching
from vitascope.engine.guidance_interval import GuidanceInterval, guided_within
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import SkipSchedule
from vitascope.evaluation.speed.bench import Bench
from vitascope.evaluation.speed.random_models import find

NUM_STEPS, BEGIN = 50, 10
FLAT = CacheCalibration(mag_ratios=(1.0,) * NUM_STEPS)
CACHES = [
    BlockCache(kind="first-block", threshold=9.0),
    BlockCache(kind="mag", threshold=9.0),
    BlockCache(kind="taylor", schedule=SkipSchedule(interval=3)),
]


def _run(module: Any) -> Any:
    return SimpleNamespace(
        replaying=False,
        num_steps=NUM_STEPS,
        timesteps=[1000.0 - 20.0 * step for step in range(NUM_STEPS)],
        num_steps_done=BEGIN,
        num_cached_calls=0,
        num_denoiser_calls=0,
        num_unguided_steps=0,
        denoisers=[module],
    )


def _timed(bench: Bench, module: Any, inputs: dict[str, Any], run: Any, steps: int) -> dict[str, Any]:
    computed: list[float] = []
    left_out: list[float] = []
    bench.meter.forget_peak()
    for _ in range(steps):
        before = run.num_cached_calls + run.num_unguided_steps
        seconds, _ = bench.meter.timed(lambda: module(**inputs, return_dict=False))
        spared = run.num_cached_calls + run.num_unguided_steps > before
        (left_out if spared else computed).append(round(seconds, 4))
        run.num_steps_done += 1
    peak = bench.meter.peak()
    return {"computed_s": computed, "left_out_s": left_out, "peak_gib": peak and round(peak, 2)}


def main() -> None:
    """Measure, and write one JSON file after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("mochi", "cogvideox-5b"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speed", default="exact")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(
        find(arguments.model), Placement(device=device).resolve(), NUM_STEPS, print, tiny=arguments.tiny
    )
    result: dict[str, Any] = {**conditions(device, "diffusers"), "model": arguments.model, "rows": {}}
    with torch.inference_mode():
        inputs = bench.step_inputs().arguments
        module = bench.transformer(arguments.speed)
        if arguments.model == "mochi" and not arguments.tiny:
            bench.parts = {}
        print("first step", bench.meter.timed(lambda: module(**inputs, return_dict=False))[0], flush=True)

        def keep(name: str, row: dict[str, Any]) -> None:
            result["rows"][name] = row
            print(name, row, flush=True)
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")

        keep("all computed", _timed(bench, module, inputs, _run(module), 2))
        for cache in CACHES:
            run = _run(module)
            with caching(run, cache, FLAT):
                keep(cache.kind, _timed(bench, module, inputs, run, 6))
        run = _run(module)
        with guided_within(
            SimpleNamespace(transformer=module), "transformer", run, GuidanceInterval(start=0, stop=0.2)
        ):
            row = _timed(bench, module, inputs, run, 3)
        keep("one prompt, the first of which compiles", row)


if __name__ == "__main__":
    main()
