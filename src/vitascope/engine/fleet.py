"""One process a GPU, in lockstep: the side that starts them, hands out work and hears of their end."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from vitascope.context import Context, Progress
from vitascope.engine.failures import first_line
from vitascope.engine.parallel.spreading import check_splittable
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, RankLost, RequestError, ResourceError, RunError, VitascopeError
from vitascope.task import Task, VideoToVideo

POLL_S = 0.1
# After one rank has failed, the others are heard this long: if all fail alike, the fleet is still in step.
LAST_WORDS_S = 5.0
# A cancelled run stops at its next denoising step; one that does not is ended.
CANCEL_GRACE_S = 60.0


@dataclass
class Rank:
    """One process of the fleet as its parent sees it."""

    number: int
    where: str
    process: subprocess.Popen[bytes]
    connection: Connection
    held: int  # a pipe's end; the process is killed when it closes, as it does when this one dies
    log: Path


@dataclass(frozen=True)
class Failure:
    """An error that crossed from one process to another: its class, its message, what it carries."""

    kind: type[BaseException]
    message: str
    carried: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """An error as it can be sent to another process; one that is not ours becomes a RunError."""
        if isinstance(error, VitascopeError):
            return cls(type(error), str(error), dict(vars(error)))
        return cls(RunError, f"{type(error).__name__}: {first_line(error)}", {})

    def rebuilt(self, prefix: str, rank: int) -> BaseException:
        """The error again, its message naming the rank."""
        error = self.kind.__new__(self.kind)
        error.args = (prefix + self.message,)
        vars(error).update(self.carried)
        if isinstance(error, RunError):
            error.rank = rank
        return error


class Fleet:
    """As many processes as the placement has GPUs; each runs the same `generate`, the first one's clips count.

    Started at the first use and kept warm. One run at a time. A run that is cancelled ends all ranks' work at
    the same step; a rank that dies, or fails alone, ends the whole fleet, and the next run starts a new one.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._ranks: list[Rank] = []
        self._folder: Path | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def generate(self, item: Any, tasks: Sequence[Task], context: Context) -> list[Any]:
        """One clip for each task, as `item.generate` on one device.

        Raises: what `item.load` and `item.generate` raise, with the rank in the message where it matters.
        """
        check_splittable(item, self.placement.gpus)
        self.placement.check_gpus()
        try:
            work = pickle.dumps((item, [_in_memory(task) for task in tasks], _Lent.of(context)))
        except Exception as error:
            raise RequestError(
                f"{item.name} cannot be handed to other processes: {first_line(error)}", param="gpus"
            ) from error
        if not self._ranks:
            self._start()
        try:
            for rank in self._ranks:
                rank.connection.send_bytes(work)
            clips, warnings = self._hear(context)
        except BaseException as error:
            if not isinstance(error, _InStep):
                self.close()
                raise
            raise error.error from None
        for line, clip in warnings:
            context.warn(line, clip)
        return clips

    def close(self) -> None:
        """End all processes."""
        if self._finalizer is not None:
            self._finalizer()
        self._ranks, self._folder, self._finalizer = [], None, None

    def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="vitascope-fleet-"))
        for number in range(self.placement.gpus):
            self._ranks.append(_launch(number, self.placement, folder))
        self._folder = folder
        self._finalizer = weakref.finalize(self, _end, list(self._ranks), folder)

    def _hear(self, context: Context) -> tuple[list[Any], list[tuple[str, int | None]]]:
        """Wait for every rank's last word on the run, passing progress up and cancellation down."""
        ended: dict[int, Any] = {}
        cancelled_at: float | None = None
        failed_at: float | None = None
        by_connection = {rank.connection: rank for rank in self._ranks}
        while len(ended) < len(self._ranks):
            open_ones = [c for c, rank in by_connection.items() if rank.number not in ended]
            for ready in wait(open_ones, timeout=POLL_S):
                rank = by_connection[ready]  # type: ignore[index]
                word = self._word_of(rank, ended)
                if isinstance(word, Progress):
                    if cancelled_at is None and not _listened(context, word):
                        cancelled_at = self._cancel()
                    continue
                ended[rank.number] = word
                if isinstance(word, Failure) and failed_at is None:
                    failed_at = time.monotonic()
            if cancelled_at is None and context.cancel.is_set():
                cancelled_at = self._cancel()
            now = time.monotonic()
            if cancelled_at is not None and now - cancelled_at > CANCEL_GRACE_S:
                raise JobCancelled("the run was cancelled")
            if failed_at is not None and now - failed_at > LAST_WORDS_S:
                break
        return self._outcome(ended)

    def _word_of(self, rank: Rank, ended: dict[int, Any]) -> Any:
        try:
            return rank.connection.recv()
        except (EOFError, OSError) as error:
            code = _exit_code(rank.process)
            failures = [(n, word) for n, word in ended.items() if isinstance(word, Failure)]
            if failures:  # it died of another's failure
                number, failure = failures[0]
                raise failure.rebuilt(self._name(number), number) from None
            last = _last_line(rank.log)
            raise RankLost(
                f"{self._name(rank.number)}the process ended ({code}){': ' + last if last else ''}",
                rank=rank.number,
            ) from error

    def _outcome(self, ended: dict[int, Any]) -> tuple[list[Any], list[tuple[str, int | None]]]:
        failures = {number: word for number, word in ended.items() if isinstance(word, Failure)}
        if not failures:
            clips, warnings = ended[0]
            return clips, warnings
        number = min(failures)
        failure = failures[number]
        alike = len(failures) == len(self._ranks)
        same_for_all = alike and issubclass(failure.kind, RequestError | ResourceError | JobCancelled)
        error = failure.rebuilt("" if same_for_all else self._name(number), number)
        if alike:
            raise _InStep(error)
        raise error

    def _cancel(self) -> float:
        self._ranks[0].connection.send_bytes(pickle.dumps("cancel"))
        return time.monotonic()

    def _name(self, number: int) -> str:
        return f"rank {number} ({self._ranks[number].where}): "


class _InStep(Exception):
    """All ranks failed alike, so that they are still in step and the fleet goes on."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True)
class _Lent:
    """The parts of a Context that can be sent to another process."""

    checkpoints: Any
    checkpoint_every: int
    settings: Any

    @classmethod
    def of(cls, context: Context) -> _Lent:
        return cls(context.checkpoints, context.checkpoint_every, context.settings)


def _listened(context: Context, progress: Progress) -> bool:
    """Pass progress on; False if the listener wants the run to stop."""
    try:
        context.progress(progress.stage, progress.step, progress.total, progress.preview)
    except JobCancelled:
        return False
    return True


def _in_memory(task: Task) -> Task:
    """A clip that is still in a file, or in an open decoder, cannot be sent."""
    if isinstance(task, VideoToVideo):
        video = task.video
        frames = video.frames[0 : task.num_frames or video.num_frames]
        return task.model_copy(update={"video": video.with_frames(frames, audio=None)})
    return task


def _launch(number: int, placement: Placement, folder: Path) -> Rank:
    ours, theirs = Pipe()
    lifeline, held = os.pipe()
    # Warnings of libraries would stand last in the log, where its end is quoted.
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), PYTHONWARNINGS="ignore"
    )
    where = "cpu"
    if placement.device.startswith("cuda"):
        where = f"GPU {number}"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(index) for index in range(placement.gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[number].strip()
    log = folder / f"rank-{number}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "vitascope.engine.fleet_rank",
                str(number),
                str(theirs.fileno()),
                str(folder),
                str(lifeline),
            ],
            env=environment,
            pass_fds=[theirs.fileno(), lifeline],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    theirs.close()
    os.close(lifeline)
    ours.send_bytes(pickle.dumps(placement))
    return Rank(number, where, process, ours, held, log)


def _end(ranks: list[Rank], folder: Path) -> None:
    for rank in ranks:
        rank.process.kill()
        rank.connection.close()
        os.close(rank.held)
    for rank in ranks:
        rank.process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _exit_code(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return "it closed its connection"
    if code == -signal.SIGKILL:
        return "killed, as the system does where main memory runs out"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
