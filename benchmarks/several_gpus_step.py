"""One denoising step of a family at its real size by one GPU, then by several: seconds, GiB, distance of the outputs.

    python benchmarks/several_gpus_step.py -o RESULT.json --gpus 2 MODEL ...

Starts one process a GPU; all of them share the tokens (Ulysses). Weights are random, the same on every rank.
With TINY_MODELS=1 in the environment it is tried on CPUs at a toy size.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from measured_generators import TINY
from several_gpus import distance, join
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import spread
from vitascope.engine.placement import Placement
from vitascope.evaluation.speed.bench import Bench
from vitascope.evaluation.speed.random_models import find
from vitascope.evaluation.speed.step_inputs import StepInputs


def measured(
    bench: Bench, module: Any, inputs: StepInputs, steps: int
) -> tuple[dict[str, Any], torch.Tensor]:
    """A step that compiles, then `steps` that count; the network's answer."""

    def step() -> torch.Tensor:
        for _ in range(inputs.num_calls):
            (answer,) = module(**inputs.arguments, return_dict=False)
        return answer

    first_s, output = bench.meter.timed(step)
    bench.meter.forget_peak()
    seconds = [round(bench.meter.timed(step)[0], 4) for _ in range(steps)]
    row = {"first_step_s": round(first_s, 2), "steps_s": seconds, "seconds_per_step": min(seconds)}
    return {**row, "peak_gib": bench.meter.peak()}, output


def rows(name: str, layout: Layout, steps: int) -> list[dict[str, Any]]:
    """One model by one GPU and by the layout. Every rank runs both."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    placement = Placement(device=device, dtype="float32" if TINY else "bfloat16").resolve()
    bench = Bench(find(name), placement, 50, lambda _: None, tiny=TINY)
    inputs, module = bench.step_inputs(), bench.transformer("exact")
    pipeline = SimpleNamespace(transformer=module, vae=None, components={"transformer": module})
    modules = SimpleNamespace(pipeline=pipeline, placement=placement, levers=bench.levers(pipeline, "exact"))
    alone, expected = measured(bench, module, inputs, steps)
    mesh = Mesh.join(layout, torch.device(device))
    spread(modules, mesh)
    shared, output = measured(bench, module, inputs, steps)
    shared |= {
        "carrier": type(mesh.carrier).__name__,
        "gain": round(alone["seconds_per_step"] / shared["seconds_per_step"], 3),
        "output_relative_error": distance(output.float(), expected.float()),
    }
    gpu = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    about = {"model": name, "device": gpu, "tokens": inputs.num_video, "levers": modules.levers.described()}
    return [
        {**about, "gpus": 1, **alone},
        {**about, "gpus": layout.world, "layout": layout.described(), **shared},
    ]


def rank_main(rank: int, world: int, given: argparse.Namespace) -> None:
    """One process."""
    join(rank, world, given.meeting)
    result: dict[str, Any] = {
        "made": time.strftime("%Y-%m-%d"),
        "command": "python benchmarks/several_gpus_step.py " + " ".join(given.command),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
        "rows": [],
    }
    until = float(os.environ.get("DEADLINE", "inf"))
    for name in given.models:
        enough = torch.tensor([int(time.time() < until - given.needs)])
        dist.broadcast(enough, 0)
        try:
            with torch.inference_mode():
                made = rows(name, Layout(ulysses=world), given.steps) if enough.item() else []
        except Exception as error:  # noqa: BLE001  the other models go on
            traceback.print_exc()
            made = [{"model": name, "error": f"{type(error).__name__}: {error}"[:500]}]
        gc.collect()  # hooks and networks hold each other
        result["rows"] += made
        if rank == 0:
            given.output.write_text(json.dumps(result, indent=1))
            print(json.dumps(made), flush=True)
    os._exit(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--needs", type=float, default=40, help="seconds a model must have before DEADLINE")
    given = parser.parse_args()
    given.command = sys.argv[1:]
    given.meeting = tempfile.mktemp(prefix="vitascope-meeting-")
    torch.multiprocessing.spawn(rank_main, (given.gpus, given), nprocs=given.gpus)


if __name__ == "__main__":
    main()
