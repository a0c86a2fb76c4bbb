"""Run a suite: one clip for each algorithm and item, measured, what was done once not done again."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vitascope.atomic import write_bytes
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.errors import InvalidMedia, JobCancelled, RequestError, VitascopeError
from vitascope.evaluation.leaderboard import Measurement, RunCost
from vitascope.evaluation.suites import Item, Suite
from vitascope.media import read, write
from vitascope.metrics import Metric, measure
from vitascope.workflows import Chain

#: Quality of the files that are measured and voted on: no loss that an eye could see.
CRF = 10
T = TypeVar("T")


class MadeClip(BaseModel):
    """What became of one item in one algorithm's hands: a file and its cost, or why there is none.

    `path` is relative to the run's folder; `chain` holds the algorithm's knobs.
    Units: seconds, loading left out; GiB of GPU memory at the peak, None on a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    item: str
    chain: str
    path: str | None = None
    seconds: float | None = None
    memory_gib: float | None = None
    machine: str = ""
    failed: str | None = None


_MADE = TypeAdapter(list[MadeClip])
_MEASURED = TypeAdapter(list[Measurement])


@dataclass(frozen=True)
class SuiteRun:
    """A folder with clips of a suite: `made.json`, `measured.json` and `clips/ALGORITHM/ITEM.mp4`."""

    suite: Suite
    folder: Path

    def made(self) -> list[MadeClip]:
        """What has been made so far. Raises: InvalidMedia."""
        return _read(self.folder / "made.json", _MADE)

    def measured(self) -> list[Measurement]:
        """What has been measured so far. Raises: InvalidMedia."""
        return _read(self.folder / "measured.json", _MEASURED)

    def costs(self) -> list[RunCost]:
        """Seconds and memory of each clip that was made."""
        return [
            RunCost(
                algorithm=clip.algorithm,
                seconds=clip.seconds,
                memory_gib=clip.memory_gib,
                machine=clip.machine,
            )
            for clip in self.made()
            if clip.seconds is not None
        ]

    def make(self, contenders: Mapping[str, Chain], engine: Engine, context: Context) -> list[MadeClip]:
        """Make what is missing, and return all that is there.

        An item that fails is written down with its reason, is tried again by the next call and stops nothing.
        Raises: RequestError if clips of a contender were made with other knobs, InvalidMedia, JobCancelled.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        made = {(clip.algorithm, clip.item): clip for clip in self.made()}
        for name, chain in contenders.items():
            knobs = chain.model_dump_json()
            if any(clip.algorithm == name and clip.chain != knobs for clip in made.values()):
                raise RequestError(
                    f"{str(self.folder)!r} holds clips of {name!r} with other knobs; choose another folder"
                )
        work = [(name, item) for name in contenders for item in self.suite.items]
        for done, (name, item) in enumerate(work):
            context.progress("suite", done, len(work))
            earlier = made.get((name, item.id))
            if earlier is None or earlier.failed:
                made[name, item.id] = self._make_one(name, contenders[name], item, engine, context)
                write_bytes(self.folder / "made.json", _MADE.dump_json(list(made.values()), indent=1))
        context.progress("suite", len(work), len(work))
        return list(made.values())

    def _make_one(self, name: str, chain: Chain, item: Item, engine: Engine, context: Context) -> MadeClip:
        blank = MadeClip(algorithm=name, item=item.id, chain=chain.model_dump_json())
        target = self.folder / "clips" / name / f"{item.id}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            task = item.task()
            chain.check(task)
            if chain.generator is not None:
                engine.modules(chain.generator)  # loading is not the clip's cost
            with _MemoryPeak() as peak:
                started = time.perf_counter()
                clip = chain.run(task, engine, context)
                seconds = time.perf_counter() - started
            write(clip, target, crf=CRF)
        except JobCancelled:
            raise
        except VitascopeError as error:
            return blank.model_copy(update={"failed": str(error)})
        found = {
            "path": target.relative_to(self.folder).as_posix(),
            "seconds": seconds,
            "memory_gib": peak.gib,
            "machine": peak.device,
        }
        return blank.model_copy(update=found)

    def measure(self, metrics: Sequence[Metric], context: Context) -> list[Measurement]:
        """Measure every clip with the metrics that it has not been measured with, and return all there is.

        What could not be measured is tried again by the next call, when its weights may be there.
        Raises: InvalidMedia, JobCancelled.
        """
        known = {(m.algorithm, m.item, m.metric): m for m in self.measured()}
        clips = [clip for clip in self.made() if clip.path is not None]
        for done, clip in enumerate(clips):
            context.progress("measure", done, len(clips))
            key = (clip.algorithm, clip.item)
            missing = [m for m in metrics if (*key, m.name) not in known or known[*key, m.name].value is None]
            if not missing:
                continue
            scores = measure(read(self.folder / str(clip.path)), missing)
            for metric, score in zip(missing, scores, strict=True):
                known[*key, metric.name] = Measurement(
                    algorithm=clip.algorithm,
                    item=clip.item,
                    metric=metric.name,
                    tier=metric.tier,
                    unit=metric.unit,
                    direction=metric.direction,
                    value=score.value,
                    not_measured=score.not_measured,
                )
            write_bytes(self.folder / "measured.json", _MEASURED.dump_json(list(known.values()), indent=1))
        return list(known.values())


class _MemoryPeak:
    """GPU memory at its peak while something ran, and on what it ran."""

    gib: float | None = None
    device: str = ""

    def __enter__(self) -> _MemoryPeak:
        import torch

        self._cuda = torch.cuda.is_available()
        self.device = torch.cuda.get_device_name() if self._cuda else f"CPU {platform.machine()}"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        if self._cuda:
            self.gib = torch.cuda.max_memory_allocated() / 2**30


def _read(path: Path, kind: TypeAdapter[list[T]]) -> list[T]:
    if not path.is_file():
        return []
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidMedia(
            f"{str(path)!r} is not a record of a suite's run: {error.errors()[0]['msg']}"
        ) from error
