"""Several ranks on this machine's CPU, forked from a server without threads that has the imports done.

Forked from the test process itself they now and then inherit a lock that a thread of an earlier test held.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any

TIMEOUT_S = 120


def on_ranks(world: int, work: Callable[..., Any], *arguments: Any, on_gpus: bool = False) -> list[Any]:
    """What `work(rank, *arguments)` gives on each of `world` ranks joined by gloo; on GPUs, which no fork can use."""
    context: Any = multiprocessing.get_context("spawn" if on_gpus else "forkserver")
    if not on_gpus:
        context.set_forkserver_preload(["torch.distributed", "tests.generators.families"])
    pipes = [context.Pipe() for _ in range(world)]
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(
                target=_rank, args=(rank, world, folder, pipes[rank][1], work, arguments), daemon=True
            )
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        try:
            return _answers([pipe for pipe, _ in pipes])
        finally:
            for process in processes:
                process.kill()
                process.join()


def _answers(pipes: list[Any]) -> list[Any]:
    """What each rank says, the first complaint at once: the others may wait for that rank for ever."""
    said: dict[int, Any] = {}
    while len(said) < len(pipes):
        ready = wait([pipe for rank, pipe in enumerate(pipes) if rank not in said], TIMEOUT_S)
        assert ready, f"ranks {sorted(set(range(len(pipes))) - set(said))} say nothing"
        for pipe in ready:
            rank = pipes.index(pipe)
            good, said[rank] = pipe.recv()
            assert good, f"rank {rank}: {said[rank]}"
    return [said[rank] for rank in range(len(pipes))]


def _rank(
    rank: int, world: int, folder: str, pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/meeting-point",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=TIMEOUT_S),
        )
        with torch.inference_mode():
            pipe.send((True, work(rank, *arguments)))
    except BaseException:  # noqa: BLE001  it is told to the parent
        pipe.send((False, traceback.format_exc()))
    pipe.recv()  # until the parent has every answer and kills us
