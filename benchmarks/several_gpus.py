"""Mochi at its real size on several GPUs: seconds a step, GiB, distance of the latents; then one whole clip.

    python benchmarks/several_gpus.py -o RESULT.json --layouts 2x1x1 1x2x1 ... [--speeds exact balanced] [--whole FILE]

Starts one process a GPU. Layouts are cfg x ulysses x ring, all of as many GPUs; 1x1x1, which comes first, is one GPU.
With --keep FOLDER the denoised latents of each row are written there, and each row says how far its own are from
those of one GPU, where they are there already. Where the 8-bit kernel runs, only steps that use it count.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import statistics
import time
import traceback
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from measured_generators import PROMPT, TINY, Meter, built
from vitascope.context import Context
from vitascope.engine.attention import KERNELS, best_exact
from vitascope.engine.parallel.exchange import Collectives
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import spread
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import CAREFUL_FIRST, CAREFUL_LAST
from vitascope.generators.mochi import Mochi
from vitascope.task import TextToVideo


class Ride:
    """One rank: its pipeline and what it has measured."""

    def __init__(self, rank: int, given: argparse.Namespace) -> None:
        self.began = time.time()
        self.rank, self.given, self.until = rank, given, float(os.environ.get("DEADLINE", "inf"))
        self.result: dict[str, Any] = {
            "made": time.strftime("%Y-%m-%d"),
            "command": "python benchmarks/several_gpus.py " + " ".join(given.command),
            "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
            "rows": [],
        }
        width, height, frames = (64, 64, 13) if TINY else (given.width, given.height, given.frames)
        task = TextToVideo(prompt=PROMPT, seed=1, width=width, height=height, num_frames=frames)
        self.task = Mochi().complete(task)
        self.carrier: str | None = None

    def run(self) -> None:
        """All layouts at the first speed, the last layout at the others, and with it the whole clip at the last."""
        given = self.given
        device = "cuda" if torch.cuda.is_available() else "cpu"
        for speed in given.speeds:
            placement = Placement(device=device, speed=speed).resolve()
            self.modules = built("mochi", placement)
            last = speed == given.speeds[-1]
            for index, text in enumerate(given.layouts if speed == given.speeds[0] else given.layouts[-1:]):
                reserved = 0 if last or index == 0 else given.reserve
                self._kept(lambda t=text, s=speed: self._row(t, s), given.needs + reserved)
            if last and given.whole:
                self._kept(lambda t=given.layouts[-1], s=speed: self._whole(t, s), given.whole_needs)
            del self.modules
            gc.collect()  # hooks and the network hold each other

    def _kept(self, work: Any, needs_s: float) -> None:
        """One row; every rank must have the time for it."""
        enough = torch.tensor([int(time.time() < self.until - needs_s)])
        dist.broadcast(enough, 0)
        try:
            row = work() if enough.item() else {"error": "no time left"}
        except Exception as error:  # noqa: BLE001  the other rows go on
            traceback.print_exc()
            row = {"error": f"{type(error).__name__}: {error}"[:500]}
        row["ended"] = round(time.time() - self.began, 1)
        self.result["rows"].append(row)
        if self.rank == 0:
            self.given.output.write_text(json.dumps(self.result, indent=1))
            print(json.dumps(row), flush=True)

    def _spread(self, text: str) -> Layout:
        cfg, ulysses, ring = (int(part) for part in text.split("x"))
        layout = Layout(cfg=cfg, ulysses=ulysses, ring=ring)
        if layout.world > 1:
            mesh = Mesh.join(layout, torch.device(self.modules.placement.device))
            if self.given.by_collectives:
                mesh.__dict__["carrier"] = Collectives(mesh.ulysses)
            self.carrier = type(mesh.carrier).__name__ if layout.ulysses > 1 else None
            spread(self.modules, mesh)
        return layout

    def _generate(self, steps: int, decoding: bool) -> tuple[Any, dict[str, Any], Any]:
        item = Mochi(num_inference_steps=steps)
        with Meter(self.modules.pipeline, decoding) as meter:
            (clip,) = item.generate([self.task], self.modules, Context())
        return clip, meter.said(self.modules), meter.latents

    def _row(self, text: str, speed: str) -> dict[str, Any]:
        layout = self._spread(text)
        began = time.perf_counter()
        self._generate(2, decoding=False)
        warm_up_s = time.perf_counter() - began
        self._await_turn()
        steps: list[float] = []
        if self.modules.levers.approximate_attention:  # the first and last two steps attend exactly
            _, said, latents = self._generate(self.given.steps + 3, decoding=False)
            steps = said["steps_s"][CAREFUL_FIRST:-CAREFUL_LAST]
        else:
            for _ in range(self.given.repeat):
                _, said, latents = self._generate(self.given.steps, decoding=False)
                steps += said["steps_s"]
        row = {"gpus": layout.world, "layout": layout.described(), "speed": speed, **self._asked(), **said}
        row["carrier"] = self.carrier
        row["seconds_per_step"], row["counted_steps_s"] = statistics.median(steps), steps
        row["warm_up_s"] = round(warm_up_s, 1)
        if self.given.keep and self.rank == 0:
            self.given.keep.mkdir(parents=True, exist_ok=True)
            torch.save(latents.cpu(), self.given.keep / f"{speed}-{text}.pt")
            alone = self.given.keep / f"{speed}-1x1x1.pt"
            if alone.exists():
                row["latents_relative_error"] = distance(latents.cpu(), torch.load(alone))
        if self.given.rounding and layout.world > 1 and speed == "exact":
            row["rounding_relative_error"] = self._rounding(latents)
            self.given.rounding = False
        if self.given.profile:
            self._profile(self.given.profile.with_name(f"{speed}-{text}-{self.given.profile.name}"))
            self.given.profile = None
        return row

    def _rounding(self, expected: torch.Tensor) -> float:
        """How far the latents go when another exact kernel rounds otherwise, and nothing else changes."""
        exact = best_exact(self.modules.placement.device)
        kernel = KERNELS[exact]
        KERNELS[exact] = KERNELS["cudnn" if torch.cuda.is_available() else "sdpa"]
        try:
            _, _, latents = self._generate(self.given.steps, decoding=False)
        finally:
            KERNELS[exact] = kernel
        return distance(latents, expected)

    def _await_turn(self) -> None:
        """Before the first row's measurement, let others have theirs."""
        if self.given.warm and self.rank == 0:
            self.given.warm.touch()
        while self.given.measure_after and not self.given.measure_after.exists():
            time.sleep(0.1)
        self.given.warm = self.given.measure_after = None

    def _profile(self, into: Path) -> None:
        """Where two steps go, kernel by kernel, on the first rank."""
        with torch.profiler.profile() if self.rank == 0 else nullcontext() as profile:
            self._generate(2, decoding=False)
        if profile is not None:
            order = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
            into.write_text(
                profile.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=90)
            )

    def _whole(self, text: str, speed: str) -> dict[str, Any]:
        layout = self._spread(text)
        _, _, latents = self._generate(2, decoding=False)
        with torch.inference_mode():  # compiles the decoder, which sees one latent frame at a time
            vae = self.modules.pipeline.vae
            vae.decode(latents[:, :, :2].to(vae.dtype), return_dict=False)
        began = time.perf_counter()
        clip, said, _ = self._generate(self.given.whole_steps, decoding=True)
        made = time.perf_counter()
        if self.rank == 0:
            clip.save(self.given.whole)
        done = time.perf_counter()
        seconds = {
            "made_s": round(made - began, 2),
            "mp4_s": round(done - made, 2),
            "end_to_end_s": round(done - began, 2),
        }
        return {
            "whole": self.given.whole_steps,
            "gpus": layout.world,
            "speed": speed,
            **self._asked(),
            **said,
            **seconds,
        }

    def _asked(self) -> dict[str, Any]:
        return {"width": self.task.width, "height": self.task.height, "frames": self.task.num_frames}


def distance(latents: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, by the norm of the whole."""
    return float((latents - expected).norm() / expected.norm())


def join(rank: int, world: int, meeting: str) -> None:
    """Make this process one of `world` ranks, on a card of its own."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:  # each sees its own card alone, as in a fleet
        names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(world)))).split(",")
        torch.cuda.set_device(rank if len(names) >= world else 0)
    else:
        torch.set_num_threads(1)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=world,
    )


def rank_main(rank: int, world: int, given: argparse.Namespace) -> None:
    """One process."""
    join(rank, world, given.meeting)
    Ride(rank, given).run()
    os._exit(0)


def main() -> None:
    """The command line."""
    import sys
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--layouts", nargs="+", default=["2x1x1"])
    parser.add_argument("--speeds", nargs="+", default=["exact"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--width", type=int, default=848)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--frames", type=int, default=163)
    parser.add_argument("--whole", type=Path, help="write one whole clip here, end to end")
    parser.add_argument("--whole-steps", type=int, default=50)
    parser.add_argument(
        "--needs", type=float, default=20, help="seconds that a row must have before DEADLINE"
    )
    parser.add_argument("--whole-needs", type=float, default=45, help="seconds for the whole clip")
    parser.add_argument("--reserve", type=float, default=0, help="seconds kept for later speeds")
    parser.add_argument("--repeat", type=int, default=1, help="measured runs of a row, after its warm-up")
    parser.add_argument("--profile", type=Path, help="end of the name of the first row's table of kernels")
    parser.add_argument(
        "--rounding", action="store_true", help="the first split row once more by cuDNN's kernel"
    )
    parser.add_argument(
        "--by-collectives", action="store_true", help="even where GPUs reach each other's memory"
    )
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--warm", type=Path, help="made when the first row is warm")
    parser.add_argument("--measure-after", type=Path, help="the first row is measured when this is there")
    given = parser.parse_args()
    given.command = sys.argv[1:]
    given.meeting = tempfile.mktemp(prefix="vitascope-meeting-")
    world = max(math.prod(int(part) for part in layout.split("x")) for layout in given.layouts)
    torch.multiprocessing.spawn(rank_main, (world, given), nprocs=world)


if __name__ == "__main__":
    main()
