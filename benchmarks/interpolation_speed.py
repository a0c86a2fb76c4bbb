"""Measure how fast our SGM-VFI makes frames: 1280x720 doubled on a GPU, or a small clip on a CPU.

`python benchmarks/interpolation_speed.py --out FILE.json`, with `--device cpu` for the small clip: 17 frames of
128x128 become 65. A doubled clip has two frames for each one that the network makes, so the network's
`output_fps` is twice its own rate. "eager" launches every kernel, "recorded" replays a CUDA graph as the step
`interpolate` does, "compiled" is torch.compile. All run in float32 (convolutions in TF32, PyTorch's default).
"with files" is the whole step: a clip is read, doubled, and written as H.264; what reading and writing alone
take stands beside it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from conditions import conditions
from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.media import read
from vitascope.models.sgm_vfi.interpolator import SGMVFIInterpolator
from vitascope.steps import STEPS

WIDTH, HEIGHT = 1280, 720
FPS = 25


def panned_clip(num_frames: int, width: int = WIDTH, height: int = HEIGHT) -> Clip:
    """A camera that moves over noise with the spectrum of photographs, a few pixels a frame."""
    rng = np.random.default_rng(0)
    shape = (height, width + 4 * num_frames)
    layers = [
        cv2.resize(rng.random((shape[0] // n, shape[1] // n, 3)), shape[::-1], interpolation=cv2.INTER_CUBIC)
        for n in (80, 40, 20, 10, 5)
    ]
    picture = np.clip(np.mean(layers, axis=0) * 2 - 0.5, 0, 1)
    wide = (picture * 255).astype(np.uint8)
    return Clip(np.stack([wide[:, 4 * i : 4 * i + width] for i in range(num_frames)]), FPS)


@torch.inference_mode()
def network_row(interpolator: SGMVFIInterpolator, how: str, batch: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of one pair of frames, already on the GPU, in the middle of a long run; and the memory."""
    if how == "eager":
        interpolator.run = interpolator.network
    elif how == "compiled":
        interpolator.run = torch.compile(interpolator.network)
    frames = panned_clip(2).array()
    first, second = (interpolator._tensor(frame).repeat(batch, 1, 1, 1) for frame in frames)
    run = partial(interpolator.middle, first, second)
    begun = time.monotonic()
    run()
    torch.cuda.synchronize()
    cold = time.monotonic() - begun
    torch.cuda.reset_peak_memory_stats()
    each = timed(run, seconds) / batch
    return {
        "what": f"network only, {WIDTH}x{HEIGHT} doubled",
        "how": how,
        "batch": batch,
        "milliseconds_per_pair": round(1000 * each, 3),
        "output_fps": round(2 / each, 1),
        "cold_start_seconds": round(cold, 1),
        "peak_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2),
    }


def timed(run: Callable[[], object], seconds: float) -> float:
    """Mean seconds of a call, after a few that do not count."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for _ in range(5):
            run()
        torch.cuda.synchronize()
        count += 5
    return (time.monotonic() - begun) / count


def file_row(step: Any, interpolator: SGMVFIInterpolator | None, num_frames: int) -> dict[str, Any]:
    """Output frames a second from file to file; with no interpolator, of reading and writing as many frames."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        panned_clip(num_frames).save(source)
        for _ in range(2):  # the first run records the network and fills caches
            begun = time.monotonic()
            clip = read(source)
            if interpolator is None:
                frames = np.repeat(clip.array(), 2, axis=0)[:-1]
                made = Clip(frames, 2 * FPS)
            else:
                made = step.apply(clip, {}, interpolator, Context())
            made.save(target)
            seconds = time.monotonic() - begun
    return {
        "what": "read and write only" if interpolator is None else f"{WIDTH}x{HEIGHT} doubled, with files",
        "output_frames": made.num_frames,
        "output_fps": round(made.num_frames / seconds, 1),
    }


def small_clip_row(step: Any, interpolator: SGMVFIInterpolator) -> dict[str, Any]:
    """Seconds to make 65 frames of 17, the network loaded; the quicker of two runs and the slower."""
    clip, seconds = panned_clip(17, 128, 128), []
    for _ in range(2):
        begun = time.monotonic()
        made = step.apply(clip, {}, interpolator, Context())
        seconds.append(round(time.monotonic() - begun, 2))
    return {
        "what": "17 frames of 128x128, four times as many",
        "output_frames": made.num_frames,
        "threads": torch.get_num_threads(),
        "seconds": sorted(seconds),
    }


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", help="file or folder; the embedded weights unless given")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")
    parser.add_argument("--frames", type=int, default=121, help="of the clip that is read from a file")
    parser.add_argument("--compiled", action="store_true", help="torch.compile as well; takes minutes")
    arguments = parser.parse_args()
    step = STEPS["interpolate"].with_knobs(method="sgm-vfi", weights=arguments.weights)
    placement = Placement(device=arguments.device).resolve()
    rows: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)
        result = {**conditions(arguments.device), "dtype": "float32", "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")

    if arguments.device == "cpu":
        four = STEPS["interpolate"].with_knobs(factor=4, method="sgm-vfi", weights=arguments.weights)
        keep(small_clip_row(four, four.load(placement)))
        return
    kinds = [("eager", 1), ("eager", 4), ("recorded", 1), ("recorded", 4)]
    for how, batch in kinds + [("compiled", 1)] * arguments.compiled:
        keep(network_row(step.load(placement), how, batch, arguments.seconds))
        torch.cuda.empty_cache()
    keep(file_row(step, step.load(placement), arguments.frames))
    keep(file_row(step, None, arguments.frames))


if __name__ == "__main__":
    main()
