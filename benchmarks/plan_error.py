"""How far `vitascope plan` is from what was measured: seconds a step, of decoding and of the clip, GiB of each part.

    python benchmarks/plan_error.py RESULT.json ... -o benchmarks/results/DATE-plan-error.json

Reads what several_gpus.py and generation_times.py wrote; rows that the calibration was made from do not belong here.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from vitascope.engine.calibration import committed
from vitascope.engine.estimate import estimate
from vitascope.engine.placement import Placement
from vitascope.engine.workload import Wanted, published


def degrees(layout: str) -> dict[str, int]:
    """The degrees that a layout's words say."""
    words = layout.split()
    said = (
        {name: int(size) for name, size in zip(words[::3], words[1::3], strict=True)}
        if layout[0] != "o"
        else {}
    )
    return {f"{name}_degree": said.get(name, 1) for name in ("cfg", "ulysses", "ring")} if said else {}


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """A measured row beside what is predicted for it."""
    device = committed().device_called(row["device"])
    model = row.get("model", "mochi-1")
    wanted = {
        "width": row["width"],
        "height": row["height"],
        "num_frames": row["frames"],
        "num_inference_steps": row.get("steps", 50),
        "prompt_tokens": 98,
    }
    placed = {"speed": row.get("speed", "exact"), "gpus": row.get("gpus", 1), **degrees(row["layout"])}
    if "memory_gib" in row:
        placed["memory_gib"] = row["memory_gib"]
    assert device is not None, f"{row['device']} is not calibrated"
    made = estimate(
        published()[model],
        Wanted(**wanted),
        Placement(device="cuda", dtype="bfloat16", **placed),
        committed().gpu(device),
    )
    measured = {"seconds_per_step": row["seconds_per_step"]}
    predicted = {"seconds_per_step": made.seconds_per_step}
    if "denoise" in row.get("peak_gib", {}):
        measured["gib"], predicted["gib"] = row["peak_gib"]["denoise"], made.gib["denoise"]
    if "decode" in row.get("seconds", {}) and made.seconds is not None and made.seconds["decode"] is not None:
        measured |= {"decode_s": row["seconds"]["decode"], "decode_gib": row["peak_gib"]["decode"]}
        predicted |= {"decode_s": made.seconds["decode"], "decode_gib": made.gib["decode"]}
    if "decode" in row.get("peak_gib", {}):
        measured["peak_gib"] = max(row["peak_gib"].values())
        predicted["peak_gib"] = max(made.gib.values())
    if {"total", "decode"} <= row.get("seconds", {}).keys() and "steps" in row and made.total_s is not None:
        measured["clip_s"], predicted["clip_s"] = row["seconds"]["total"], made.total_s
    within = f" within {row['memory_gib']} GiB" if "memory_gib" in row else ""
    name = (
        f"{model} {row['width']}x{row['height']}x{row['frames']} {placed['speed']}{within}, {row['layout']}"
    )
    error = {key: round(predicted[key] / value - 1, 4) for key, value in measured.items() if predicted[key]}
    return {
        "name": name,
        "model": model,
        "device": device,
        "wanted": wanted,
        "placement": placed,
        "measured": measured,
        "predicted": predicted,
        "error": error,
    }


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--committed", default=str(committed().made), help="when the calibration was committed"
    )
    given = parser.parse_args()
    rows = []
    for file in given.results:
        for row in json.loads(file.read_text())["rows"]:
            if "seconds_per_step" in row:
                rows.append(compared(row))
                print(rows[-1]["name"], rows[-1]["error"])
    said = {"made": time.strftime("%Y-%m-%d"), "calibration": given.committed, "rows": rows}
    given.output.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
