"""One process of a fleet: loads, joins the others, runs what it is handed. `python -m vitascope.engine.fleet_rank`."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

from vitascope.context import CheckpointStore, Context, Progress
from vitascope.engine.engine import Engine
from vitascope.engine.fleet import Failure
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import layout_for, spread
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled

PARENT_POLL_S = 0.5
# Ranks wait for one another while one of them loads slower or compiles a kernel that another found ready.
COLLECTIVE_TIMEOUT = timedelta(minutes=60)


@dataclass(frozen=True)
class LockstepContext(Context):
    """A context whose ranks stop at the same point: the first rank decides, the others are told."""

    poll: Callable[[], None] = lambda: None

    def check_cancelled(self) -> None:
        """A collective call. Raises: JobCancelled on all ranks alike."""
        if dist.get_rank() == 0:
            self.poll()
        asked = torch.tensor([int(self.cancel.is_set())])
        dist.broadcast(asked, src=0)
        if asked.item():
            raise JobCancelled("the run was cancelled")


@dataclass(frozen=True)
class ReadOnly:
    """The checkpoint store of all ranks but the first, which alone saves."""

    store: CheckpointStore

    def save(self, name: str, data: bytes) -> None:
        """Do nothing: the first rank saves."""

    def load(self, name: str) -> bytes | None:
        """What the first rank saved in an earlier run."""
        return self.store.load(name)

    def delete(self, name: str) -> None:
        """Do nothing: the first rank deletes."""


class RankProcess:
    """What a rank keeps between runs: its engine with warm models and the groups of the layouts it has had."""

    def __init__(self, number: int, connection: Connection, placement: Placement) -> None:
        self.number, self.connection, self.placement = number, connection, placement
        self.engine = Engine(placement)
        self.meshes: dict[Layout, Mesh] = {}

    def serve(self) -> None:
        """Run what comes until the parent hangs up."""
        while True:
            try:
                work = pickle.loads(self.connection.recv_bytes())
            except EOFError:
                return
            if work == "cancel":  # it came after the run had ended
                continue
            self.connection.send(self._word_on(*work))

    def _word_on(self, item: Any, tasks: Sequence[Any], lent: Any) -> Any:
        store = lent.checkpoints
        context = LockstepContext(
            on_progress=self._tell if self.number == 0 else _tell_nobody,
            cancel=threading.Event(),
            checkpoints=store if store is None or self.number == 0 else ReadOnly(store),
            checkpoint_every=lent.checkpoint_every,
            settings=lent.settings,
            poll=lambda: None,
        )
        object.__setattr__(context, "poll", lambda: self._hear_cancel(context.cancel))
        try:
            modules = self.engine.modules(item)
            spread(modules, self._mesh(item, modules.pipeline))
            clips = item.generate(tasks, modules, context)
        except Exception as error:  # noqa: BLE001  it is told to the parent
            if not isinstance(error, JobCancelled):
                traceback.print_exc()
            return Failure.of(error)
        warnings = [(line, clip) for line in context.warnings for clip in context.about.get(line, (None,))]
        return (clips if self.number == 0 else None, warnings)

    def _mesh(self, item: Any, pipeline: Any) -> Mesh:
        num_heads = getattr(pipeline.transformer.config, "num_attention_heads", None)
        layout = layout_for(item, num_heads, self.placement)
        if layout not in self.meshes:
            self.meshes[layout] = Mesh.join(layout, torch.device(self.placement.device))
        return self.meshes[layout]

    def _tell(self, progress: Progress) -> None:
        self.connection.send(progress)

    def _hear_cancel(self, cancel: threading.Event) -> None:
        while self.connection.poll():
            if pickle.loads(self.connection.recv_bytes()) == "cancel":
                cancel.set()


def _tell_nobody(_: Progress) -> None:
    """The first rank speaks for all."""


def _end_when_closed(lifeline: int) -> None:
    """Let the kernel kill this process when the parent's end of a pipe closes, where it can.

    A rank that waits on its GPU for ranks that are gone may hold Python's lock, so that no thread of ours gets to
    run: it was seen to live on at full load.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """The process's door: rank, descriptor of its connection, folder where the ranks meet, pipe of its parent."""
    number, descriptor, folder = int(arguments[0]), int(arguments[1]), arguments[2]
    for which in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the parent decides
        signal.signal(which, signal.SIG_IGN)
    _end_when_closed(int(arguments[3]))
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    logging.basicConfig(level=logging.WARNING)
    connection = Connection(descriptor)
    placement: Placement = pickle.loads(connection.recv_bytes())
    on_gpu = placement.device.startswith("cuda")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // placement.gpus))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"file://{folder}/meeting-point",
        rank=number,
        world_size=placement.gpus,
        timeout=COLLECTIVE_TIMEOUT,
    )
    RankProcess(number, connection, placement).serve()
    os._exit(0)  # tearing down the groups would wait for ranks that are gone


if __name__ == "__main__":
    main(sys.argv[1:])
