"""What each lever costs in quality, on Sprout: `python benchmarks/speed_quality.py MODEL_DIR --out FILE.json`.

Held-out prompts, one seed each, every variant from the same noise: share of clips that show what was asked, and
PSNR and SSIM to the exact clips. On a Hopper GPU the 8-bit levers too. With first-block caching how many calls are
made depends on the clips: the number is the last batch's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import CogVideoXPipeline

from conditions import conditions
from vitascope.context import Context
from vitascope.engine import denoising
from vitascope.engine.block_cache import CacheCalibration
from vitascope.engine.levers import Levers
from vitascope.engine.pipelines import accelerated
from vitascope.engine.placement import Placement
from vitascope.engine.step_levers import pulled
from vitascope.metrics.ssim import ssim_of
from vitascope.toyworld.checkers import check
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.training.embedded.export import generate


class Watched:
    """A pipeline whose calls follow `levers`, for `generate`."""

    def __init__(self, pipeline: Any, levers: Levers, calibration: CacheCalibration) -> None:
        self.pipeline, self.levers, self.calibration = pipeline, levers, calibration
        self.num_calls, self.num_unguided = 0, 0

    def __call__(self, **arguments: Any) -> Any:
        with (
            denoising.watched(self.pipeline, Context(), "calibration") as run,
            pulled(self.levers, self.pipeline, "transformer", run, self.calibration),
        ):
            output = self.pipeline(**arguments)
        self.num_calls, self.num_unguided = run.num_denoiser_calls, run.num_unguided_steps
        return output


def _variants(cuda: bool) -> dict[str, dict[str, Any]]:
    """The switches of each row; the first is what the others are held against."""
    variants: dict[str, dict[str, Any]] = {"exact": {}}
    variants |= {f"every {n}": {"skip_interval": n} for n in (2, 3, 4)}
    variants |= {
        f"first block {t}": {"cache": "first-block", "cache_threshold": t} for t in (0.05, 0.1, 0.15, 0.2)
    }
    variants |= {f"mag {t}": {"cache": "mag", "cache_threshold": t} for t in (0.03, 0.08, 0.15)}
    variants |= {f"taylor, every {n}": {"cache": "taylor", "skip_interval": n} for n in (2, 3, 4)}
    for outside in ("none", "reuse"):
        variants |= {
            f"guided to {stop}, then {outside}": {
                "guidance_interval": (0.0, stop),
                "guidance_outside": outside,
            }
            for stop in (0.8, 0.6, 0.4)
        }
    variants["guided from 0.1 to 0.8"] = {"guidance_interval": (0.1, 0.8)}
    for outside in ("none", "reuse"):
        variants[f"every 3, guided to 0.6, then {outside}"] = {
            "skip_interval": 3,
            "guidance_interval": (0.0, 0.6),
            "guidance_outside": outside,
        }
    if cuda:
        eight_bit = {"attention": "int8", "quantize": "fp8"}
        variants |= {
            "fp8 linears": {"quantize": "fp8"},
            "int8 attention": {"attention": "int8"},
            "balanced": eight_bit,
            "turbo": {**eight_bit, "skip_interval": 3},
        }
    return variants


def _adherence(clips: np.ndarray, scenes: list[Any], workers: ProcessPoolExecutor) -> dict[str, float]:
    verdicts = list(workers.map(check, clips, scenes, chunksize=4))
    return {
        "attributes": round(float(np.mean([v for found in verdicts for v in found.values()])), 4),
        "all": round(float(np.mean([all(found.values()) for found in verdicts])), 4),
    }


def _distance(clips: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    error = ((clips.astype(np.float32) - exact) ** 2).mean(axis=(1, 2, 3, 4))
    psnr = 10 * np.log10(255**2 / np.maximum(error, 1e-3))
    middle = clips.shape[1] // 2
    ssim = [ssim_of(a[middle], b[middle]) for a, b in zip(clips, exact, strict=True)]
    return {"psnr_db": round(float(np.median(psnr)), 2), "ssim": round(float(np.mean(ssim)), 4)}


def main() -> None:
    """Measure and write one JSON file, after each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 16])
    parser.add_argument("--every", type=int, default=1, help="only every n-th prompt")
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--only", nargs="+", default=[], help="rows that begin so; exact is always made")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    prompts = held_out_prompts()[:: arguments.every]
    scenes = [prompt.scene for prompt in prompts]
    cuda = arguments.device.startswith("cuda")
    exact = Placement(device=arguments.device, dtype="bfloat16" if cuda else "float32", vae_streaming=False)
    variants = {
        name: {"attention": "sdpa", **switches}
        for name, switches in _variants(cuda).items()
        if name == "exact" or not arguments.only or name.startswith(tuple(arguments.only))
    }
    calibration = CacheCalibration.model_validate(
        json.loads((arguments.model / "vitascope.json").read_text()).get("cache", {})
    )
    result: dict[str, Any] = {
        **conditions(arguments.device, "diffusers"),
        "prompts": len(prompts),
        "steps": {},
    }
    with ProcessPoolExecutor(
        min(8, max(1, (os.cpu_count() or 2) // 2)),
        get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    ) as workers:
        for steps in arguments.steps:
            rows = result["steps"][str(steps)] = {}
            reference = None
            for name, switches in variants.items():
                pipeline = CogVideoXPipeline.from_pretrained(
                    arguments.model, torch_dtype=getattr(torch, exact.dtype)
                )
                pipeline, levers = accelerated(pipeline, exact.model_copy(update=switches))
                wrapped = Watched(pipeline, levers, calibration)
                begun = time.monotonic()
                clips = generate(wrapped, [p.prompt for p in prompts], steps, 4.0, 0, arguments.batch).numpy()  # type: ignore[arg-type]
                seconds = time.monotonic() - begun
                reference = clips if reference is None else reference
                rows[name] = {
                    "denoiser_calls": wrapped.num_calls,
                    "unguided_steps": wrapped.num_unguided,
                    "seconds": round(seconds, 1),
                    **_adherence(clips, scenes, workers),
                    **_distance(clips, reference),
                }
                print(steps, name, rows[name], flush=True)
                arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
