"""Measure Sprout on the held-out prompts: `python benchmarks/embedded_quality.py MODEL_DIR --out FILE.json`.

Default settings, one seed a prompt, nothing selected. Beside the model it reads rendered truth, the
model's clips against other prompts (chance), and clips of the same model with random transformer weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor

from conditions import conditions
from vitascope.toyworld.checkers import check
from vitascope.toyworld.prompts import HeldOut, held_out_prompts
from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import Scene
from vitascope.training.embedded.export import generate
from vitascope.training.embedded.sheets import contact_sheet


def _truth(scene: Scene) -> Tensor:
    return (render([scene])[0] * 255).round().byte()


def _verdicts(job: tuple[NDArray[np.uint8] | None, Scene]) -> dict[str, bool]:
    clip, scene = job
    return check(_truth(scene) if clip is None else clip, scene)


def _accuracy(verdicts: Sequence[dict[str, bool]], prompts: Sequence[HeldOut]) -> dict[str, dict[str, float]]:
    """Share of right clips by attribute, for objects, people and each language of the objects."""
    groups: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for found, prompt in zip(verdicts, prompts, strict=True):
        person = prompt.scene.actors[0].kind == "person"
        names = ["people"] if person else ["objects", f"objects_{prompt.language}"]
        for name in names:
            for attribute, right in {**found, "all": all(found.values())}.items():
                groups[name][attribute].append(right)
    return {g: {a: round(sum(v) / len(v), 4) for a, v in by.items()} for g, by in groups.items()}


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--no-controls", action="store_true", help="only the model and the truth")
    parser.add_argument("--limit", type=int, default=0, help="only every n-th prompt, for a quick look")
    parser.add_argument("--sheet", type=Path, help="also save a picture of the first clips")
    arguments = parser.parse_args()
    workers = ProcessPoolExecutor(
        max(1, (os.cpu_count() or 2) - 2),
        get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
    prompts = held_out_prompts()[:: max(1, arguments.limit)]
    scenes = [p.scene for p in prompts]
    truth = workers.map(_verdicts, [(None, s) for s in scenes], chunksize=4)
    pipe = CogVideoXPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32).to(arguments.device)
    pipe.set_progress_bar_config(disable=True)
    begun = time.monotonic()
    clips = generate(
        pipe, [p.prompt for p in prompts], arguments.steps, arguments.guidance_scale, 0, arguments.batch
    )
    seconds = time.monotonic() - begun
    found = {
        "model": workers.map(_verdicts, list(zip(clips.numpy(), scenes, strict=True)), chunksize=4),
        "truth": truth,
    }
    if not arguments.no_controls:
        strangers = list(range(len(prompts)))
        random.Random(0).shuffle(strangers)
        torch.manual_seed(0)
        pipe.transformer = CogVideoXTransformer3DModel.from_config(pipe.transformer.config).to(
            arguments.device
        )
        noise = generate(
            pipe, [p.prompt for p in prompts], arguments.steps, arguments.guidance_scale, 0, arguments.batch
        )
        others = [(clips[i].numpy(), s) for i, s in zip(strangers, scenes, strict=True)]
        found["other_prompts"] = workers.map(_verdicts, others, chunksize=4)
        found["random_weights"] = workers.map(
            _verdicts, list(zip(noise.numpy(), scenes, strict=True)), chunksize=4
        )
    result = {
        **conditions(arguments.device, "diffusers"),
        "settings": {
            "steps": arguments.steps,
            "guidance_scale": arguments.guidance_scale,
            "dtype": "float32",
        },
        "prompts": len(prompts),
        "seconds_for_all_clips": round(seconds, 1),
        "accuracy": {name: _accuracy(list(verdicts), prompts) for name, verdicts in found.items()},
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["accuracy"], indent=1))
    if arguments.sheet:
        contact_sheet(list(clips[::5]), arguments.sheet, columns=3)


if __name__ == "__main__":
    main()
