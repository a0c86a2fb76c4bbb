"""Denoising steps of ours and of other systems, in turns in one process: the same weights, inputs and GPUs.

    python benchmarks/peers.py -o RESULT.json --model cogvideox-5b --layouts 1x1x1
    python benchmarks/peers.py -o RESULT.json --model cogvideox-5b --layouts 2x1x1 1x2x1
    python benchmarks/peers.py -o RESULT.json --model mochi --layouts 1x1x1

Starts one process a GPU. Layouts are cfg x ulysses x ring. Who runs: ours; xDiT's CogVideoX pipeline (`pip install
xfuser`; on one GPU it is diffusers') without and with its compile flag; for Mochi xDiT's own repository mochi-xdit,
its `src` on PYTHONPATH, with and without its compile switch, and on one GPU diffusers as it is. A system that is not
installed or fails is named in the result.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

import peer_mochi
import peer_systems as systems
from conditions import conditions
from kernel_kinds import profiled
from vitascope.engine.parallel.layout import Layout

TINY = bool(os.environ.get("TINY_MODELS"))  # to try the script on a CPU
PEERS = ("diffusers", "xfuser", "yunchang", "fa3-fwd", "flash-attn")


class Race:
    """One rank of a layout's race."""

    def __init__(self, rank: int, given: argparse.Namespace) -> None:
        self.rank, self.given = rank, given
        self.until = float(os.environ.get("DEADLINE", "inf"))
        self.on_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", rank) if self.on_gpu else torch.device("cpu")
        self.result: dict[str, Any] = {
            **conditions(str(self.device)),
            "command": "python benchmarks/peers.py " + " ".join(given.command),
            "packages": {name: found for name in PEERS if (found := _version(name))},
            "model": given.model,
            "races": {},
        }

    def run(self) -> None:
        """Every layout in turn."""
        began = time.perf_counter()
        self.subjects = systems.Subjects(self.given.model, self.device, TINY)
        task = self.subjects.task
        self.result["clip"] = {"width": task.width, "height": task.height, "num_frames": task.num_frames}
        self.say(f"built after {time.perf_counter() - began:.1f} s")
        while self.given.start_after and not self.given.start_after.exists():
            time.sleep(0.2)
        layouts = []
        for text in self.given.layouts:
            cfg, ulysses, ring = (int(part) for part in text.split("x"))
            layouts.append(Layout(cfg=cfg, ulysses=ulysses, ring=ring))
        self.ready: dict[str, dict[str, systems.Denoise]] = {}
        for slow in (False, True):  # whoever compiles for long comes after all others
            for layout in layouts:
                self.race(layout, slow)
        if self.given.profile and self.on_gpu:
            self.profile()
        self.keep()

    def profile(self) -> None:
        """Two more steps of each, kernel by kernel."""
        for place, ready in self.ready.items():
            for name, denoise in ready.items():
                if self.enough(self.given.needs / 2):
                    kernels = profiled(partial(denoise, 2), 2)
                    self.result["races"][place][name]["kernels"] = kernels
                    self.keep()

    def race(self, layout: Layout, slow: bool) -> None:
        """Build and warm up each, then steps in turns; later systems join the turns as they are ready."""
        place = layout.described()
        rows: dict[str, dict[str, Any]] = self.result["races"].setdefault(place, {})
        ready = self.ready.setdefault(place, {})
        if slow and len(self.given.layouts) > 1:
            ready.pop("xDiT", None)  # its process groups are of the last layout now
        for name, build in self.systems(layout, slow):
            row: dict[str, Any] = {"warm_up_s": None, "steps_s": []}
            rows[name] = row
            if not self.enough(self.given.needs * (2 if slow else 1)):
                row["failed"] = "no time left"
                continue
            began = time.perf_counter()
            try:
                denoise = build()
                denoise(2)
                row["warm_up_s"] = round(time.perf_counter() - began, 1)
            except Exception as error:  # noqa: BLE001  the others go on
                traceback.print_exc()
                row["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:400]
                self.keep()
                continue
            ready[name] = denoise
            self.say(f"{place}: {name} warm after {row['warm_up_s']} s")
            for _ in range(self.given.rounds if len(ready) > 1 else 0):
                self.turn(ready, rows)

    def turn(self, ready: dict[str, systems.Denoise], rows: dict[str, Any]) -> None:
        """A few steps of each."""
        for name, denoise in ready.items():
            if not self.enough(self.given.needs / 2):
                return
            took, latents = denoise(self.given.steps)
            rows[name]["relative_error"] = self.error(latents)
            rows[name]["steps_s"] += [round(step, 4) for step in took]
            rows[name]["step_s"] = round(statistics.median(rows[name]["steps_s"]), 4)
        ours = rows.get("vitascope exact", {}).get("step_s")
        for row in rows.values():
            if ours and row.get("step_s"):
                row["times_ours"] = round(row["step_s"] / ours, 3)
        self.keep()

    def systems(self, layout: Layout, slow: bool) -> list[tuple[str, Callable[[], systems.Denoise]]]:
        """Who runs, most important first; `slow` are those that compile the whole network as one graph."""
        given, subjects = self.given, self.subjects
        quick: list[tuple[str, Callable[[], systems.Denoise]]] = [
            ("vitascope exact", lambda: systems.vitascope(subjects, layout, "exact"))
        ]
        if given.model == "mochi":
            quick.append(("mochi-xdit, compiled", lambda: peer_mochi.mochi_xdit(subjects, layout, True)))
            quick.append(("mochi-xdit", lambda: peer_mochi.mochi_xdit(subjects, layout, False)))
        else:
            quick.append(("xDiT", lambda: systems.xdit(subjects, layout, compiled=False)))
        if layout.world == 1 and given.model == "mochi":
            quick.append(("diffusers", lambda: systems.diffusers_as_it_is(subjects)))
        quick.append(("vitascope balanced", lambda: systems.vitascope(subjects, layout, "balanced")))
        if given.sage:
            quick.append(
                (
                    "vitascope balanced, attention=sage",
                    lambda: systems.vitascope(subjects, layout, "balanced", attention="sage"),
                )
            )
        late: list[tuple[str, Callable[[], systems.Denoise]]] = []
        if given.model != "mochi":
            late.append(("xDiT, compiled", lambda: systems.xdit(subjects, layout, compiled=True)))
        elif layout.world == 1:
            late.append(("diffusers, compiled", lambda: systems.diffusers_compiled(subjects)))
        return [pair for pair in (late if slow else quick) if not given.only or pair[0] in given.only]

    def error(self, latents: torch.Tensor | None) -> float | None:
        """How far from the first system's latents."""
        if latents is None:
            return None
        if not hasattr(self, "expected"):
            self.expected = latents.cpu()
        distance = (latents.cpu() - self.expected).norm() / self.expected.norm()
        return round(distance.item(), 5)

    def enough(self, seconds: float) -> bool:
        """Whether there is time for this; all ranks agree."""
        enough = torch.tensor([int(time.time() + seconds < self.until)])
        if self.given.world > 1:
            dist.broadcast(enough, 0)
        return bool(enough.item())

    def keep(self) -> None:
        """Write what there is."""
        if self.rank == self.given.world - 1:  # the one that xDiT leaves its result with
            self.given.output.write_text(json.dumps(self.result, indent=1) + "\n")
            print(json.dumps(self.result["races"]), flush=True)

    def say(self, text: str) -> None:
        if self.rank == 0:
            print(time.strftime("%H:%M:%S"), text, flush=True)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def rank_main(rank: int, given: argparse.Namespace) -> None:
    """One process."""
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
        backend = "cpu:gloo,cuda:nccl"
    else:
        torch.set_num_threads(1)
        backend = "gloo"
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(given.world))
    dist.init_process_group(backend, init_method=f"file://{given.meeting}", rank=rank, world_size=given.world)
    Race(rank, given).run()
    os._exit(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", choices=("cogvideox-5b", "mochi"), default="cogvideox-5b")
    parser.add_argument("--layouts", nargs="+", default=["1x1x1"])
    parser.add_argument("--steps", type=int, default=4, help="denoising steps of one turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns whenever a system has joined")
    parser.add_argument("--only", nargs="+", help="these systems alone")
    parser.add_argument("--needs", type=float, default=20, help="seconds before DEADLINE to begin a system")
    parser.add_argument("--profile", action="store_true", help="at the end, where a step of each goes")
    parser.add_argument("--sage", action="store_true", help="also ours with SageAttention2's kernel")
    parser.add_argument("--start-after", type=Path, help="build, then wait until this file is there")
    given = parser.parse_args()
    given.command = sys.argv[1:]
    given.meeting = tempfile.mktemp(prefix="vitascope-meeting-")
    (given.world,) = {math.prod(int(part) for part in text.split("x")) for text in given.layouts}
    torch.multiprocessing.spawn(rank_main, (given,), nprocs=given.world)


if __name__ == "__main__":
    main()
