"""How long an MP4 of Mochi's size takes by x264's two ways of sharing a picture among cores.

    python benchmarks/encoding_threads.py -o RESULT.json

Noise, which is the hardest content and what random weights make, and smooth motion, which is the easiest.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.media import _writing

FRAMES, HEIGHT, WIDTH = 163, 480, 848


def noise() -> Pixels:
    """Every pixel by itself."""
    return np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)


def smooth() -> Pixels:
    """A gradient that moves two pixels a frame."""
    across = np.arange(WIDTH + 2 * FRAMES)[None, :, None] * 0.2 + np.arange(HEIGHT)[:, None, None] * 0.3
    picture = np.broadcast_to(across % 256, (HEIGHT, WIDTH + 2 * FRAMES, 3)).astype(np.uint8)
    return np.stack([picture[:, 2 * t : 2 * t + WIDTH] for t in range(FRAMES)])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    own = _writing._video_stream
    rows = []
    for name, frames in (("noise", noise()), ("smooth", smooth())):
        clip = Clip(frames, Fraction(30))
        for threads in ("FRAME", "SLICE", "FRAME", "SLICE"):

            def stream(*arguments: object, way: str = threads) -> object:
                made = own(*arguments)  # type: ignore[arg-type]
                made.codec_context.thread_type = way
                return made

            with (
                tempfile.TemporaryDirectory() as folder,
                mock.patch.object(_writing, "_video_stream", stream),
            ):
                began = time.perf_counter()
                path = clip.save(Path(folder) / "clip.mp4")
                seconds = time.perf_counter() - began
                megabytes = path.stat().st_size / 1e6
            rows.append({"content": name, "threads": threads, "seconds": seconds, "mb": megabytes})
            print(rows[-1], flush=True)
    said = {"made": time.strftime("%Y-%m-%d"), "cores": len(os.sched_getaffinity(0)), "av": av.__version__}
    given.output.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
