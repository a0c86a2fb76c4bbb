"""Opinions on a scale of five: what one says of a single clip, and the file that only grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.evaluation.append_only import AppendOnly, Judgement

#: The five-point scale of absolute category rating. Source: ITU-T P.910 (10/2023), ACR.
SCALE = {5: "excellent", 4: "good", 3: "fair", 2: "poor", 1: "bad"}


class Opinion(Judgement):
    """One person's score of one clip, shown alone and without a name. Range: score 1 (bad) .. 5 (excellent).

    `repeat` marks a second, hidden showing of the same clip, which measures the rater and is never counted.
    """

    algorithm: str = Field(min_length=1)
    score: int = Field(ge=1, le=5)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Whose clip it was."""
        return (self.algorithm,)

    @property
    def is_counted(self) -> bool:
        """Whether it says something of the algorithm, not of the rater."""
        return not self.repeat

    @property
    def key(self) -> tuple[str, ...]:
        """Two opinions with the same key are the same rater's of the same clip."""
        return (self.task, self.item, self.algorithm, self.rater, str(self.repeat))

    @property
    def said_twice(self) -> str:
        """Who has scored what twice."""
        return f"rater {self.rater!r} has already scored {self.algorithm!r} for item {self.item!r}"


class OpinionStore(AppendOnly[Opinion]):
    """The opinions on a run's clips."""

    kind: ClassVar[type[Judgement]] = Opinion
    word: ClassVar[str] = "opinion"


class OpinionTable(NamedTuple):
    """Opinions as numbers. Shape: scores (raters, clips), NaN where not judged; a clip is (item, algorithm)."""

    scores: NDArray[np.float64]
    raters: tuple[str, ...]
    clips: tuple[tuple[str, str], ...]

    def of(self, algorithm: str) -> NDArray[np.bool_]:
        """Which clips are an algorithm's. Shape: (clips,)."""
        return np.array([name == algorithm for _, name in self.clips])


def opinion_table(opinions: Sequence[Opinion]) -> OpinionTable:
    """The counted opinions, lined up."""
    counted = [opinion for opinion in opinions if opinion.is_counted]
    raters = tuple(sorted({opinion.rater for opinion in counted}))
    clips = tuple(sorted({(opinion.item, opinion.algorithm) for opinion in counted}))
    row, column = {r: n for n, r in enumerate(raters)}, {c: n for n, c in enumerate(clips)}
    scores = np.full((len(raters), len(clips)), np.nan)
    for opinion in counted:
        scores[row[opinion.rater], column[opinion.item, opinion.algorithm]] = opinion.score
    return OpinionTable(scores, raters, clips)
