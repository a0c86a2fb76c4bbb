"""Run a suite: one clip for each algorithm and item, measured, what was done once not done again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitascope.atomic import write_bytes
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.peak import MemoryPeak
from vitascope.errors import InvalidMedia, JobCancelled, NotFound, RequestError, VitascopeError
from vitascope.evaluation.answers import ALL, score_answers
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.leaderboard import Measurement, RunCost
from vitascope.evaluation.results import MadeClip, Results
from vitascope.evaluation.suites import Item, Suite
from vitascope.evaluation.vbench_coverage import NEEDS, asks_for
from vitascope.media import read, write
from vitascope.metrics import METRICS, AnalysedClip, Metric, measure
from vitascope.tracks import Trajectories

#: Quality of the files that are measured and voted on: no loss that an eye could see.
CRF = 10
SUITE_FILE = "suite.json"


@dataclass(frozen=True)
class SuiteRun:
    """A folder with clips of a suite: `results.sqlite` and `clips/RECIPE_HASH.mp4`."""

    suite: Suite
    folder: Path

    @property
    def results(self) -> Results:
        """What has been made and measured so far."""
        return Results(self.folder / "results.sqlite")

    def made(self) -> list[MadeClip]:
        """What has been made so far. Raises: InvalidMedia."""
        return self.results.clips()

    def measured(self) -> list[Measurement]:
        """What has been measured so far. Raises: InvalidMedia."""
        return self.results.measurements()

    def begin(self) -> None:
        """Make the folder and write down which suite it is of.

        Raises: RequestError if the folder holds another suite's clips.
        """
        record = self.folder / SUITE_FILE
        if record.is_file():
            before = open_run(self.folder).suite
            ours = {item.id: item for item in self.suite.items}
            if any(ours.get(item.id, item) != item for item in before.items):
                raise RequestError(
                    f"{str(self.folder)!r} holds clips of another suite; choose another folder"
                )
            if set(ours) <= {item.id for item in before.items}:
                return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(record, self.suite.model_dump_json(indent=1).encode())

    def clips(self) -> dict[str, dict[str, Path]]:
        """The files that are there, by item and algorithm."""
        found: dict[str, dict[str, Path]] = {}
        for clip in self.made():
            if clip.path is not None:
                found.setdefault(clip.item, {})[clip.algorithm] = self.folder / clip.path
        return found

    def costs(self, items: Set[str] | None = None) -> list[RunCost]:
        """Seconds and memory of each clip that was made, of all items or of some."""
        return [
            RunCost(
                algorithm=clip.algorithm,
                seconds=clip.seconds,
                memory_gib=clip.memory_gib,
                machine=clip.machine,
            )
            for clip in self.made()
            if clip.seconds is not None and (items is None or clip.item in items)
        ]

    def missing(self, contenders: Sequence[Contender]) -> list[tuple[Contender, Item]]:
        """What is still to be made: never begun, or failed.

        Raises: RequestError if clips of a contender were made with other knobs.
        """
        made = {(clip.algorithm, clip.item): clip for clip in self.made()}
        for contender in contenders:
            knobs = contender.chain().model_dump_json()
            if any(c.algorithm == contender.name and c.chain != knobs for c in made.values()):
                raise RequestError(
                    f"{str(self.folder)!r} holds clips of {contender.name!r} with other knobs; "
                    "choose another folder"
                )
        return [
            (contender, item)
            for item in self.suite.items
            for contender in contenders
            if (earlier := made.get((contender.name, item.id))) is None or earlier.failed
        ]

    def make(self, contenders: Sequence[Contender], engine: Engine, context: Context) -> list[MadeClip]:
        """Make what is missing in this process, and return all that is there.

        An item that fails is written down with its reason, is tried again by the next call and stops nothing.
        Raises: RequestError if clips of a contender were made with other knobs, InvalidMedia, JobCancelled.
        """
        self.begin()
        work = self.missing(contenders)
        for done, (contender, item) in enumerate(sorted(work, key=lambda pair: pair[0].name)):
            context.progress("suite", done, len(work))
            self.results.put(self.make_one(contender, item, engine, context))
        context.progress("suite", len(work), len(work))
        return self.made()

    def blank(self, contender: Contender, item: Item) -> MadeClip:
        """The record of a clip that has not been made."""
        chain = contender.chain().model_dump_json()
        asked = f"{chain}|{contender.speed}|{item.model_dump_json(exclude={'id', 'category', 'answer'})}"
        mark = hashlib.sha256(asked.encode()).hexdigest()[:24]
        return MadeClip(algorithm=contender.name, item=item.id, chain=chain, recipe_hash=mark)

    def place(self, clip: MadeClip) -> Path:
        """Where the file of a clip belongs."""
        return self.folder / "clips" / f"{clip.recipe_hash}.mp4"

    def make_one(self, contender: Contender, item: Item, engine: Engine, context: Context) -> MadeClip:
        """Make one clip in this process; a failure is a record with its reason. Raises: JobCancelled."""
        blank, chain = self.blank(contender, item), contender.chain()
        target = self.place(blank)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            task = item.task()
            chain.check(task)
            if chain.generator is not None:
                engine.warm(chain.generator)  # loading is not the clip's cost
            with MemoryPeak() as peak:
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
        items = {item.id: item for item in self.suite.items}
        clips = [clip for clip in self.made() if clip.path is not None]
        loaded: dict[Any, Any] = {}
        for done, clip in enumerate(clips):
            context.progress("measure", done, len(clips))
            key, item = (clip.algorithm, clip.item), items.get(clip.item)
            missing = [
                m
                for m in metrics
                if asks_for(m.name, item.dimensions if item else ())
                and ((*key, m.name) not in known or known[*key, m.name].value is None)
            ]
            unanswered = item is not None and item.answer is not None and (*key, ALL) not in known
            if not missing and not unanswered:
                continue
            try:
                self.results.put(*self._measured(clip, missing, item, unanswered, loaded))
            except InvalidMedia as error:  # damaged on the disk: this row fails, the rest goes on
                self.results.put(clip.model_copy(update={"path": None, "failed": str(error)}))
        context.progress("measure", len(clips), len(clips))
        return self.measured()

    def _measured(
        self, made: MadeClip, metrics: Sequence[Metric], item: Item | None, unanswered: bool, loaded: Any
    ) -> list[Measurement]:
        clip = AnalysedClip.of(read(self.folder / str(made.path)))
        clip.frame_statistics  # noqa: B018 - reads to the end: a file damaged in its middle is no clip
        fitted = [fitted_to(metric, item) for metric in metrics]
        measured = [
            Measurement(
                algorithm=made.algorithm,
                item=made.item,
                metric=metric.name,
                tier=metric.tier,
                unit=metric.unit,
                direction=metric.direction,
                value=score.value,
                not_measured=score.not_measured,
            )
            for metric, score in zip(metrics, measure(clip, fitted, loaded=loaded), strict=True)
        ]
        if item is not None and unanswered:
            measured += score_answers(clip, item, made.algorithm)
        return measured


def default_metrics(suite: Suite) -> list[Metric]:
    """Every metric that needs neither weights nor a reference, and has something to look at in this suite.

    For prompts of VBench, those of its dimensions too: without weights they say which file they want.
    """
    has_paths = any(item.trajectories is not None for item in suite.items)
    dimensions = {name for item in suite.items for name in item.dimensions}
    asked = {metric for name in dimensions if name in NEEDS for metric in NEEDS[name].metrics}
    return [
        kind()
        for kind in METRICS
        if (not kind.needs_weights or kind.name in asked)
        and not kind.needs_reference
        and (has_paths or "trajectories" not in kind.model_fields)
    ]


def fitted_to(metric: Metric, item: Item | None) -> Metric:
    """The metric with what the item says and the metric asks for: its prompt, picture, poses, paths."""
    if item is None:
        return metric
    said = {
        **item.about,
        "prompt": item.prompt,
        "image": item.image,
        "poses": item.poses,
        "trajectories": None if item.trajectories is None else Trajectories.read(item.trajectories),
    }
    asked = type(metric).model_fields.keys()
    found = {
        name: value
        for name, value in said.items()
        if name in asked and value is not None and getattr(metric, name) is None
    }
    return metric.model_copy(update=found)


def open_run(folder: Path) -> SuiteRun:
    """A run that was begun earlier. Raises: NotFound, InvalidMedia."""
    record = folder / SUITE_FILE
    if not record.is_file():
        raise NotFound(f"no run of a suite in {str(folder)!r}; `vitascope eval` makes one")
    try:
        return SuiteRun(Suite.model_validate_json(record.read_bytes()), folder)
    except ValidationError as error:
        raise InvalidMedia(f"{str(record)!r} is not a suite: {error.errors()[0]['msg']}") from error
