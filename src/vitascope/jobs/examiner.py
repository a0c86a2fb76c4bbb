"""Uploads are decoded in a process of their own: a file that eats memory or crashes a decoder costs that alone."""

from __future__ import annotations

import multiprocessing
import resource
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from vitascope.errors import InvalidMedia, RequestError
from vitascope.jobs.loras import check_lora
from vitascope.jobs.reference import PARAM, read_reference

MEMORY_BYTES = 4 * 2**30  # address space; the decoders' libraries take about 1.5 GiB of it
PATIENCE_S = 60.0
FILES_A_PROCESS = 200


class Examiner:
    """Tells what a file is, or refuses it; its one process is started when first needed."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def kind(self, path: Path, called: str = PARAM) -> str:
        """`picture`, `clip` or `lora`, by reading all of the file, which its sender called so. Raises: InvalidMedia."""
        with self._lock:  # one at a time: the limit of memory is for all
            if self._pool is None:
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, spawn, _limit_memory, max_tasks_per_child=FILES_A_PROCESS)
            try:
                kind, complaint = self._pool.submit(_look, path).result(PATIENCE_S)
            except (BrokenProcessPool, TookTooLong) as error:
                self._drop()
                raise InvalidMedia(
                    "the file cannot be decoded: the decoder gave up on it", param=called
                ) from error
        if complaint:
            raise InvalidMedia(complaint.replace(PARAM, called), param=called)
        return kind

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._pool is not None:
            for process in (self._pool._processes or {}).values():
                process.kill()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _limit_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _look(path: Path) -> tuple[str, str]:
    """The kind of a file, and why it is refused; one of both is empty."""
    try:
        return read_reference(path).kind, ""
    except MemoryError:
        return "", "the file needs more memory than an upload may take"
    except RequestError as not_media:
        try:
            check_lora(path)
        except RequestError:
            return "", str(not_media)
        return "lora", ""
