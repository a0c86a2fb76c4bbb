"""Measure what a newcomer waits for: import, help, the whole `vitascope generate`, a clip with the model loaded.

`python benchmarks/embedded_speed.py --out FILE.json`. Everything at its defaults: Sprout, 17 frames of 128x128.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vitascope
from conditions import conditions

PROMPT = "a red ball bounces over green grass"


def seconds(work: Callable[[], object], repeats: int) -> dict[str, object]:
    """Each repeat's time, after one that is not counted and warms the file cache."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(round(time.perf_counter() - started, 3))
    return {"median_s": round(statistics.median(taken), 3), "all_s": sorted(taken)}


def process(*words: str) -> Callable[[], object]:
    """A fresh interpreter that does what `words` say."""
    return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)


def main() -> None:
    """Measure and write one JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        clip = str(Path(folder) / "ball.mp4")
        found = {
            "import vitascope": seconds(process("-c", "import vitascope"), 5),
            "vitascope --help": seconds(process("-m", "vitascope", "--help"), 5),
            "vitascope generate": seconds(
                process("-m", "vitascope", "generate", PROMPT, "-q", "-o", clip), 3
            ),
        }
    found["one clip, model loaded"] = seconds(lambda: vitascope.generate(PROMPT), 3)
    about = {**conditions("cpu", "diffusers", "transformers"), "num_cores": os.cpu_count()}
    out.write_text(json.dumps({**about, "seconds": found}, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
