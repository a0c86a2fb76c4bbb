"""The plot of several GPUs in docs/benchmarks.md, from what several_gpus.py and whole_clips.py wrote.

python benchmarks/plot_several_gpus.py RESULT.json ... -o docs/images/several-gpus.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from vitascope.engine.step_plan import CAREFUL_FIRST, CAREFUL_LAST, SkipSchedule

STEPS = 50
# The founding report's table; its number of frames and steps and its GPUs are not said there.
REPORT = {
    "one GPU, diffusers": 827,
    "four, original": 308,
    "four, xDiT with xfuser": 286,
    "four, xDiT with ray": 279,
}


def denoising(row: dict[str, Any]) -> float:
    """Seconds of a clip's computed steps, those that attend exactly by their own measure."""
    skip = row["levers"].get("skip")
    steps = sum(SkipSchedule(**skip).computed(STEPS)) if skip else STEPS
    careful = CAREFUL_FIRST + CAREFUL_LAST if "seconds_per_careful_step" in row else 0
    plain: float = row["seconds_per_step"]
    return (steps - careful) * plain + careful * float(row.get("seconds_per_careful_step", 0))


def named(row: dict[str, Any]) -> tuple[str, float]:
    """What a bar says, and its seconds: of a whole clip as it was, else of the steps alone."""
    where = f"{row['gpus']} x {row['device'].removeprefix('NVIDIA ')[:4]}, {row['layout']}"
    if "end_to_end_s" in row and not row.get("spoilt"):
        return f"{where}, {row.get('clip', row['speed'])}, prompt to MP4", row["end_to_end_s"]
    speed = "" if row["speed"] == "exact" else f", {row['speed']}"
    return where + speed, denoising(row)


def main() -> None:
    """Bars: seconds, the report's and ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    rows = [row for file in given.results for row in json.loads(file.read_text())["rows"]]
    rows.sort(key=lambda row: row["gpus"])
    whole = [row for row in rows if STEPS in (row.get("num_steps"), row.get("whole"))]
    ours = dict(named(row) for row in rows if "seconds_per_step" in row or row in whole)
    names = [*(f"report: {name}" for name in REPORT), *ours]
    seconds = [*REPORT.values(), *ours.values()]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(names) + 1))
    bars = axes.barh(names, seconds, color=["#b0b0b0"] * len(REPORT) + ["#2f6f4f"] * len(ours))
    axes.bar_label(bars, fmt="%.0f s", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"seconds; ours: {STEPS} steps, random weights; the steps alone, or prompt to MP4")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.output, dpi=110)


if __name__ == "__main__":
    main()
