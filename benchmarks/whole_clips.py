"""Mochi at its real size by several GPUs, from the prompt to the MP4, through the door that `vitascope generate` uses.

    python benchmarks/whole_clips.py -o RESULT.json --gpus 4 [--speeds balanced turbo] [--steps 50] [--mp4 FOLDER]

The first clip of two steps loads, compiles and is not counted. turbo runs in balanced's processes, whose levers it
shares, with its schedule of skipped steps. With --ready FILE that file is made after the first clip; with
--start-after FILE the counted clips wait for that one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from measured_generators import MEASURED, PROMPT, TINY, RandomMochi
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.task import TextToVideo


def made(engine: Engine, item: RandomMochi, mp4: Path | None) -> dict[str, Any]:
    """One clip, and what its first rank measured."""
    width, height, frames = (64, 64, 13) if TINY else (848, 480, 163)
    task = item.complete(TextToVideo(prompt=PROMPT, seed=1, width=width, height=height, num_frames=frames))
    context, began = Context(), time.perf_counter()
    (clip,) = engine.generate(item, [task], context)
    there = time.perf_counter()
    if mp4:
        clip.save(mp4)
    ended = time.perf_counter()
    (said,) = [line for line in context.warnings if line.startswith(MEASURED)]
    row = {"width": width, "height": height, "frames": frames, "num_steps": item.num_inference_steps}
    row |= json.loads(said.removeprefix(MEASURED))
    row |= {"generate_s": there - began, "mp4_s": ended - there, "end_to_end_s": ended - began}
    return row | ({"mp4_mb": mp4.stat().st_size / 1e6} if mp4 else {})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gpus", type=int, default=torch.cuda.device_count() or 1)
    parser.add_argument("--speeds", nargs="+", default=["balanced", "turbo"])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--mp4", type=Path, default=Path())
    parser.add_argument("--ready", type=Path)
    parser.add_argument("--start-after", type=Path)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    word = "exact" if given.speeds == ["exact"] else "balanced"
    engine = Engine(Placement(device=device, speed=word, gpus=given.gpus).resolve())
    result: dict[str, Any] = {
        "made": time.strftime("%Y-%m-%d"),
        "command": "python benchmarks/whole_clips.py " + " ".join(sys.argv[1:]),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
        "rows": [],
    }

    def kept(name: str, item: RandomMochi) -> bool:
        try:
            row = made(engine, item, given.mp4 / f"{name}.mp4")
        except Exception as error:  # noqa: BLE001  the other clips go on
            traceback.print_exc()
            row = {"error": f"{type(error).__name__}: {error}"[:500]}
        result["rows"].append({"clip": name, "gpus": given.gpus, "ended": time.strftime("%X"), **row})
        given.output.write_text(json.dumps(result, indent=1))
        print(json.dumps(result["rows"][-1]), flush=True)
        return "error" not in row

    shared = kept("warm-up", RandomMochi(num_inference_steps=2))
    if not shared:
        kept("warm-up without shared decoding", RandomMochi(num_inference_steps=2, shared_decoding=False))
    if given.ready:
        given.ready.touch()
    while given.start_after and not given.start_after.exists():
        time.sleep(0.1)
    for name in given.speeds:
        knobs = {"num_inference_steps": given.steps, "skipping": name == "turbo", "shared_decoding": shared}
        kept(name, RandomMochi(**knobs))
    os._exit(0)  # the ranks end with their parent


if __name__ == "__main__":
    main()
