"""One layer's split attention at Mochi's real size on two GPUs or more: by collectives, by copies, in pieces.

    python benchmarks/exchange.py -o RESULT.json [--gpus 2] [--samples 2 1] [--pieces 1 2 3 4] [--kernels fa3 int8]

Beside it attention alone on a rank's share of the heads, which is what remains when all else is hidden, and what a
copy of one tensor's share to another GPU takes alone and beside attention.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from vitascope.engine.attention import QKV, attend, best_exact
from vitascope.engine.parallel.attention import SplitAttend, Tokens, on_one_device
from vitascope.engine.parallel.exchange import Carrier, Collectives
from vitascope.engine.parallel.layout import Layout, shares
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.peer_copies import PeerCopies

REPEATED, CHECKED = 12, 20


class Bench:
    """One rank."""

    def __init__(self, rank: int, given: argparse.Namespace) -> None:
        self.rank, self.given = rank, given
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        torch.manual_seed(rank)
        self.mesh = Mesh.join(Layout(ulysses=given.gpus), self.device)
        self.tokens = Tokens(given.tokens)
        self.result: dict[str, Any] = {
            "made": time.strftime("%Y-%m-%d"),
            "command": "python benchmarks/exchange.py " + " ".join(given.command),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "versions": {"torch": version("torch")},
            "tokens": given.tokens,
            "carrier": type(self.mesh.carrier).__name__,
            "rows": [],
        }

    def run(self) -> None:
        """Write after each."""
        kept = self._kept
        for kernel in self.given.kernels:
            name = best_exact(self.device, self.dtype) if kernel == "exact" else kernel
            for samples in self.given.samples:
                kept("attention alone", lambda n=name, s=samples: self._alone(n, s))
                for carrier in self._carriers():
                    for pieces in self.given.pieces:
                        what = f"{type(carrier).__name__}, {pieces} pieces"
                        kept(what, lambda n=name, s=samples, c=carrier, p=pieces: self._split(n, s, c, p))
        if isinstance(self.mesh.carrier, PeerCopies):
            kept("equal", self._equal)
            kept("a copy", self._copy)

    def _carriers(self) -> list[Carrier]:
        collectives = Collectives(self.mesh.ulysses)
        both = isinstance(self.mesh.carrier, PeerCopies)
        return [collectives, self.mesh.carrier] if both else [collectives]

    def _kept(self, what: str, work: Callable[[], dict[str, Any]]) -> None:
        try:
            row = work()
        except Exception as error:  # noqa: BLE001  the other rows go on
            traceback.print_exc()
            row = {"error": f"{type(error).__name__}: {error}"[:500]}
        self.result["rows"].append({"what": what, **row})
        if self.rank == 0:
            self.given.output.write_text(json.dumps(self.result, indent=1))
            print(json.dumps(self.result["rows"][-1]), flush=True)

    def _drawn(self, samples: int, tokens: int, heads: int) -> QKV:
        return QKV(
            *(
                torch.randn(samples, tokens, heads, self.given.width, device=self.device, dtype=self.dtype)
                for _ in range(3)
            )
        )

    def _timed(self, work: Callable[[], Any]) -> dict[str, Any]:
        """Median of the slowest rank's milliseconds."""
        work()
        work()
        times = []
        for _ in range(REPEATED):
            self._together()
            if self.device.type == "cuda":
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                work()
                end.record()
                end.synchronize()
                times.append(begin.elapsed_time(end))
            else:
                began = time.perf_counter()
                work()
                times.append(1e3 * (time.perf_counter() - began))
        own = torch.tensor(times)
        dist.all_reduce(own, dist.ReduceOp.MAX)
        return {
            "ms": round(statistics.median(own.tolist()), 3),
            "all_ms": [round(t, 2) for t in own.tolist()],
        }

    def _together(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        dist.barrier()

    def _alone(self, kernel: str, samples: int) -> dict[str, Any]:
        """Each sample by itself, as it goes when split."""
        heads = self.given.heads // self.given.gpus
        whole = self._drawn(samples, self.given.tokens + self.given.text, heads)

        def work() -> None:
            for sample in range(samples):
                attend(*(x[sample : sample + 1] for x in whole), kernel)

        return {"kernel": kernel, "samples": samples, **self._timed(work)}

    def _inputs(self, samples: int) -> tuple[QKV, QKV, torch.Tensor]:
        own = shares(self.tokens.total, self.given.gpus)[self.rank]
        video = self._drawn(samples, own, self.given.heads)
        text = self._drawn(samples, self.given.text, self.given.heads)
        for x in text:
            dist.broadcast(x, 0)
        return video, text, torch.tensor([self.given.text] * samples)

    def _through(self, kernel: str, carrier: Carrier, pieces: int) -> SplitAttend:
        split = SplitAttend(self.mesh, self.tokens, on_one_device(kernel), carrier)
        split.num_pieces = pieces
        return split

    def _split(self, kernel: str, samples: int, carrier: Carrier, pieces: int) -> dict[str, Any]:
        split, inputs = self._through(kernel, carrier, pieces), self._inputs(samples)
        timed = self._timed(lambda: split(*inputs))
        return {"kernel": kernel, "samples": samples, "pieces": pieces, **timed}

    def _copy(self) -> dict[str, Any]:
        """One tensor's share of one sample to the next rank: alone, and begun beside attention."""
        memory = self.mesh.carrier.memory
        own = shares(self.given.tokens, self.given.gpus)[self.rank]
        size = own * (self.given.heads // self.given.gpus) * self.given.width
        like = torch.randn(size, device=self.device, dtype=self.dtype)
        memory.reserve(like, size * self.given.gpus)
        after, before = ((self.rank + way) % self.given.gpus for way in (1, -1))
        whole = self._drawn(1, self.given.tokens + self.given.text, self.given.heads // self.given.gpus)
        kernel, told = best_exact(self.device, self.dtype), {}

        def alone() -> None:
            memory.push(after, 0, like, 0)
            memory.settle()
            memory.hear(before, 0)

        def to_itself() -> None:
            like.clone()

        told["alone"], told["to_itself"] = self._timed(alone)["ms"], self._timed(to_itself)["ms"]
        for _ in range(3):
            told["beside"] = self._beside(memory, after, like, whole, kernel)
            memory.hear(before, 0)
        return {"mb": size * like.element_size() / 1e6, "ms": told}

    def _beside(
        self, memory: Any, after: int, like: torch.Tensor, whole: QKV, kernel: str
    ) -> dict[str, float]:
        """When attention ends, and a copy that begins some milliseconds into it. Units: ms."""
        self._together()
        begin, attended, begins, ends = (torch.cuda.Event(enable_timing=True) for _ in range(4))
        begin.record()
        attend(*whole, kernel)
        attended.record()
        with torch.cuda.stream(memory.stream):
            time.sleep(0.003)
            begins.record()
            memory._parts[after][: like.numel()].copy_(like)
            ends.record()
            memory._signals[after][self.rank : self.rank + 1].copy_(memory._set)
        torch.cuda.synchronize()
        marks = {"attention": attended, "copy_begins": begins, "copy_ends": ends}
        return {name: round(begin.elapsed_time(mark), 3) for name, mark in marks.items()}

    def _equal(self) -> dict[str, Any]:
        """Whether both carriers give the same bits, on fresh inputs each time, other sizes in between."""
        kernel, differing, total = best_exact(self.device, self.dtype), 0, self.tokens.total
        for turn in range(CHECKED):
            self.tokens.total = total - 37 * (turn % 3)
            inputs = self._inputs(1 + turn % 3)
            for pieces in (1, 2):
                by_all, by_copies = (
                    self._through(kernel, carrier, pieces)(*inputs) for carrier in self._carriers()
                )
                differing += sum(not torch.equal(a, b) for a, b in zip(by_all, by_copies, strict=True))
        self.tokens.total = total
        return {"compared": CHECKED * 4, "differing": differing}


def rank_main(rank: int, given: argparse.Namespace) -> None:
    """One process; it sees its own card alone, as in a fleet."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(0)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"file://{given.meeting}",
        rank=rank,
        world_size=given.gpus,
    )
    with torch.inference_mode():
        Bench(rank, given).run()
    os._exit(0)


def _launched(rank: int, given: argparse.Namespace, visible: list[str]) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[rank]
    rank_main(rank, given)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--pieces", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kernels", nargs="+", default=["exact"])
    parser.add_argument("--tokens", type=int, default=44_520)
    parser.add_argument("--text", type=int, default=256)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--width", type=int, default=128)
    given = parser.parse_args()
    given.command = sys.argv[1:]
    given.meeting = tempfile.mktemp(prefix="vitascope-meeting-")
    names = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(given.gpus)))
    torch.multiprocessing.spawn(_launched, (given, names.split(",")), nprocs=given.gpus)


if __name__ == "__main__":
    main()
