"""Measure what cache="mag" must know of a CogVideoX or Mochi model: `python benchmarks/calibrate_caches.py MODEL_DIR`.

Prints the entry for the model's vitascope.json: ratios by step, the mean over some prompts. They hold for the model and
roughly for other numbers of steps, which take the nearest ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from vitascope.context import Context
from vitascope.engine import denoising
from vitascope.engine.cache_calibration import measuring
from vitascope.toyworld.prompts import held_out_prompts


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument(
        "--prompts",
        type=Path,
        help="a text file, one a line; else some of the toy world's",
    )
    parser.add_argument("--num-prompts", type=int, default=8)
    parser.add_argument(
        "--set", nargs="*", default=[], help="further arguments of the pipeline, such as width=848"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    lines = arguments.prompts.read_text(encoding="utf-8").splitlines() if arguments.prompts else None
    prompts = (lines or [p.prompt for p in held_out_prompts()[::-17]])[: arguments.num_prompts]
    dtype = torch.bfloat16 if arguments.device.startswith("cuda") else torch.float32
    pipeline: Any = DiffusionPipeline.from_pretrained(arguments.model, torch_dtype=dtype).to(arguments.device)
    more = {name: json.loads(value) for name, _, value in (item.partition("=") for item in arguments.set)}
    clips = []
    for seed, prompt in enumerate(prompts):
        with denoising.watched(pipeline, Context(), "calibration") as run, measuring(run) as ratios:
            pipeline(
                prompt=prompt,
                num_inference_steps=arguments.steps,
                generator=torch.Generator("cpu").manual_seed(1000 + seed),
                output_type="latent",
                **more,
            )
        clips.append(ratios.mean())
    mean = [round(sum(step) / len(step), 4) for step in zip(*clips, strict=True)]
    spread = max(max(step) - min(step) for step in zip(*clips, strict=True))
    print(json.dumps({"cache": {"mag_ratios": mean}}))
    print(f"{len(clips)} clips, {arguments.steps} steps; they differ by {spread:.4f} at most")


if __name__ == "__main__":
    main()
