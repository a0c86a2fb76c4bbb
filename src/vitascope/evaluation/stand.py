"""A voting place over the clips of a run: its booths, and the board that votes, metrics and costs add up to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vitascope.errors import RequestError
from vitascope.evaluation.booth import Booth
from vitascope.evaluation.leaderboard import Board
from vitascope.evaluation.opinion_booth import OpinionBooth
from vitascope.evaluation.opinions import OpinionStore
from vitascope.evaluation.runs import SuiteRun, open_run
from vitascope.evaluation.votes import VoteStore
from vitascope.evaluation.year_report import MeasuredRun

VOTES, OPINIONS = "votes.jsonl", "opinions.jsonl"


def measured_runs(folder: Path) -> list[MeasuredRun]:
    """A run with what people said of it, one for each task: their boards are kept apart."""
    run = open_run(folder)
    votes, opinions = VoteStore(folder / VOTES).read(), OpinionStore(folder / OPINIONS).read()
    return [MeasuredRun(run, code, votes, opinions) for code in run.suite.task_codes]


@dataclass(frozen=True)
class Stand:
    """One task of one run, open for votes and scores."""

    run: SuiteRun
    task: str

    @classmethod
    def of(cls, measured: MeasuredRun) -> Self:
        """The voting stand of a run's task."""
        return cls(measured.run, measured.task)

    def booth(self) -> Booth:
        """Where pairs are voted on. Raises: RequestError without an item of two models."""
        votes = VoteStore(self.run.folder / VOTES)
        return Booth(self.clips(), self._prompts(), votes, self.run.folder / "blind", self.task)

    def scoring(self) -> OpinionBooth:
        """Where clips are scored one by one. Raises: RequestError without a clip."""
        opinions = OpinionStore(self.run.folder / OPINIONS)
        return OpinionBooth(self.clips(), self._prompts(), opinions, self.run.folder / "blind", self.task)

    def clips(self) -> dict[str, dict[str, Path]]:
        """The files of each item of the task, by algorithm."""
        made = self.run.clips()
        return {item.id: dict(made[item.id]) for item in self.now().items if item.id in made}

    def _prompts(self) -> dict[str, str]:
        return {item.id: item.prompt for item in self.now().items}

    def now(self) -> MeasuredRun:
        """The run with what has been said of it so far."""
        folder = self.run.folder
        said = (VoteStore(folder / VOTES).read(), OpinionStore(folder / OPINIONS).read())
        return MeasuredRun(self.run, self.task, *said)

    def board(self) -> tuple[Board, str]:
        """Ratings, metrics and costs; and why the votes do not count yet, if they do not. Raises: InvalidMedia."""
        now = self.now()
        try:
            return now.board(), ""
        except RequestError as error:  # not enough votes to tie all algorithms together
            return MeasuredRun(self.run, self.task).board(), str(error)


def open_stands(folders: list[Path]) -> dict[str, Stand]:
    """Stands by the names of their folders, with the task where a run has several.

    Raises: NotFound, InvalidMedia, RequestError for two of one name.
    """
    stands: dict[str, Stand] = {}
    for folder in folders:
        measured = measured_runs(folder.resolve())
        for one in measured:
            name = folder.resolve().name + (f"-{one.task}" if len(measured) > 1 else "")
            if name in stands:
                raise RequestError(f"two arenas are called {name!r}; rename one of their folders")
            stands[name] = Stand.of(one)
    return stands
