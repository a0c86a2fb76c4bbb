"""Does ExVideo's extension steady long clips? `python benchmarks/exvideo_jitter.py DIR --out FILE.json`.

DIR is what `python -m vitascope.training.exvideo` made. The tiny SVD makes 25 frames of held-out pictures (the
reference) and 64 frames, which it was not trained for; with the extension it makes 64 frames of the same
pictures from the same seeds. Nothing is selected. Jitter is told by the warp error and by the second difference
of frames; the amount of motion must stay that of the reference, so that stillness does not win.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.generators import GENERATORS
from vitascope.metrics import METRICS
from vitascope.task import ImageToVideo
from vitascope.training.exvideo.world import SIZE, drawn_once, frame_order, moving_scenes

MEASURED = (
    "warp-error-dis",
    "motion-smoothness-dis",
    "flow-score-dis",
    "dynamic-degree-dis",
    "temporal-flickering",
)


def second_difference(frames: np.ndarray) -> float:
    """Mean absolute second difference over time: what does not go on as it began. Units: grey levels."""
    frames = frames.astype(np.float32)
    return float(np.abs(frames[:-2] - 2 * frames[1:-1] + frames[2:]).mean())


def measured(clip: Clip) -> dict[str, float]:
    """All figures of one clip."""
    scores = {name: METRICS[name]().score(clip).value for name in MEASURED}
    return {**scores, "second-difference": second_difference(clip.array())}


def summary(clips: list[Clip]) -> dict[str, Any]:
    """Means over clips that could be measured."""
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(measured, clips))
    return {
        name: float(np.mean([row[name] for row in rows if row[name] is not None])) for name in rows[0]
    } | {"clips": len(clips)}


def main() -> None:
    """Make, measure, write one JSON file and a few clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--num-frames", type=int, default=64)
    arguments = parser.parse_args()
    placement = Placement(dtype="float32").resolve()
    scenes = moving_scenes(77, arguments.clips, "held_out")
    passes = (
        ((drawn_once(scenes, "cpu") + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 1, 3, 4, 2).numpy()
    )
    orders = {n: [frame_order(scene, 3, n) for scene in scenes] for n in (25, arguments.num_frames)}
    truth = {
        n: [Clip(np.ascontiguousarray(passes[i][orders[n][i]]), Fraction(7)) for i in range(len(scenes))]
        for n in orders
    }
    knobs: dict[str, Any] = {
        "model": str(arguments.folder / "svd"),
        "num_inference_steps": arguments.steps,
        "guidance_scale": arguments.guidance_scale,
        "min_guidance_scale": arguments.guidance_scale,
    }
    extended = {**knobs, "extension": str(arguments.folder / "extension.safetensors"), "contrast": 1.0}
    runs = {
        "svd-25": (knobs, 25),
        "svd-extrapolated": (knobs, arguments.num_frames),
        "exvideo": (extended, arguments.num_frames),
    }
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "settings": {k: getattr(arguments, k) for k in ("clips", "steps", "guidance_scale", "num_frames")},
        "runs": {f"truth-{n}": summary(clips) for n, clips in truth.items()},
    }
    shown = arguments.out.parent / "clips"
    for name, (said, num_frames) in runs.items():
        generator = GENERATORS["svd"].with_knobs(**said)
        modules = generator.load(placement)
        clips = []
        for index in range(len(scenes)):
            first = truth[25][index].frames[0:1][0]
            task = ImageToVideo.of(
                image=Image(first), seed=index, width=SIZE, height=SIZE, num_frames=num_frames, fps=7
            )
            clips += generator.generate([generator.complete(task)], modules, Context())
        result["runs"][name] = summary(clips)
        print(name, json.dumps(result["runs"][name]), flush=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        shown.mkdir(exist_ok=True)
        for index, clip in enumerate(clips[:6]):
            clip.save(shown / f"{name}-{index}.mp4")


if __name__ == "__main__":
    main()
