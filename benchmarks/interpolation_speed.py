"""Measure how fast our SGM-VFI network doubles the frame rate of 1280x720 on a GPU.

`python benchmarks/interpolation_speed.py --out FILE.json [--weights FOLDER]`. Network only, frames already
on the device; a doubled clip has two frames for each one that the network makes, so `output_fps` is twice
the network's own rate. The largest difference from float32 stands beside each row.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from conditions import conditions
from vitascope.models.sgm_vfi.config import COMPACT
from vitascope.models.sgm_vfi.interpolator import SGMVFIInterpolator
from vitascope.models.sgm_vfi.network import SGMVFI

WIDTH, HEIGHT = 1280, 720


def _network(weights: Path | None) -> SGMVFI:
    torch.manual_seed(0)
    network = SGMVFI(COMPACT)
    if weights:
        network.load_state_dict({k: v.float() for k, v in load_file(weights / "model.safetensors").items()})
    return network.cuda()


@torch.inference_mode()
def measure(
    network: SGMVFI, dtype: torch.dtype, compiled: bool, seconds: float, batch: int
) -> dict[str, object]:
    """Seconds of one pair of frames in the middle of a long run, and the memory that it took."""
    network = network.to(dtype)
    interpolator = SGMVFIInterpolator(network)
    if compiled:
        interpolator.network = torch.compile(network)
    generator = torch.Generator("cuda").manual_seed(0)
    small = torch.rand(2, 3, HEIGHT // 8, WIDTH // 8, device="cuda", generator=generator)
    pair = torch.nn.functional.interpolate(small, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1).to(dtype)
    first, second = (frame[None].repeat(batch, 1, 1, 1) for frame in pair)
    begun = time.monotonic()
    made = interpolator.middle(first, second)
    torch.cuda.synchronize()
    cold = time.monotonic() - begun
    for _ in range(3):
        interpolator.middle(first, second)
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for _ in range(5):
            interpolator.middle(first, second)
        torch.cuda.synchronize()
        count += 5 * batch
    each = (time.monotonic() - begun) / count
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "compiled": compiled,
        "batch": batch,
        "milliseconds_per_pair": round(1000 * each, 3),
        "output_fps": round(2 / each, 1),
        "cold_start_seconds": round(cold, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "frame": made[0].float().cpu(),
    }


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder with model.safetensors; random weights without")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    rows: list[dict[str, object]] = []
    truth = None
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for compiled in (False, True):
            for batch in (1, 4):
                row = measure(_network(arguments.weights), dtype, compiled, arguments.seconds, batch)
                frame = row.pop("frame")
                truth = frame if truth is None else truth
                row["largest_difference_from_float32"] = round(float((frame - truth).abs().max()), 5)
                rows.append(row)
                print(json.dumps(row), flush=True)
    result = {
        **conditions("cuda"),
        "network": "SGM-VFI compact, " + ("trained" if arguments.weights else "random weights"),
        "size": f"{WIDTH}x{HEIGHT}",
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
