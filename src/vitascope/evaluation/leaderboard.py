"""One board: blind votes, metrics, seconds and gigabytes, each in its own column and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from vitascope.catalogue import BenchmarkScore, load_cards
from vitascope.errors import RequestError, UnknownName
from vitascope.evaluation.bradley_terry import Rating, rate
from vitascope.evaluation.votes import Vote
from vitascope.metrics.base import Direction, Tier

Badge = Literal["", "preliminary", "hidden", "no votes"]

#: Votes under which a rating is not shown, and under which it is marked as preliminary.
HIDDEN_UNDER, PRELIMINARY_UNDER = 30, 100


class Measurement(BaseModel):
    """One metric's score of the clip that an algorithm made of an item; no value says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    item: str
    metric: str
    tier: Tier
    unit: str
    direction: Direction
    value: float | None
    not_measured: str | None = None


class RunCost(BaseModel):
    """What one clip cost. Units: seconds; GiB at the peak. Only costs of one machine may be compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    seconds: float
    memory_gib: float | None = None
    machine: str


@dataclass(frozen=True)
class Column:
    """A metric as a column of the board."""

    metric: str
    tier: Tier
    unit: str
    direction: Direction


@dataclass(frozen=True)
class Cell:
    """A metric's mean over items and its 95 percent interval (None for a single item).

    `mean` is None where nothing could be measured; then `note` says why.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    items: int = 0
    note: str = ""


@dataclass(frozen=True)
class BoardRow:
    """All that is known here of one algorithm, measured apart from published."""

    algorithm: str
    rating: Rating | None
    badge: Badge
    cells: Mapping[str, Cell]
    seconds: float | None
    memory_gib: float | None
    published: tuple[BenchmarkScore, ...]


@dataclass(frozen=True)
class Board:
    """Algorithms and columns of one task. Costs are of `machine` alone."""

    task: str
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    machine: str | None
    notes: tuple[str, ...] = field(default=())

    def sorted_by(self, metric: str) -> tuple[BoardRow, ...]:
        """Rows from best to worst by one measured metric; the unmeasured come last.

        Raises: UnknownName, RequestError for a metric that is neither better high nor low.
        """
        known = {column.metric: column for column in self.columns}
        if metric not in known:
            raise UnknownName("column", metric, known, param="metric")
        if known[metric].direction == "neither":
            raise RequestError(f"{metric} has no better end: it describes a clip and does not rank it")
        sign = -1.0 if known[metric].direction == "higher" else 1.0

        def place(row: BoardRow) -> tuple[bool, float]:
            mean = row.cells[metric].mean
            return mean is None, sign * mean if mean is not None else 0.0

        return tuple(sorted(self.rows, key=place))


def badge_of(rating: Rating | None) -> Badge:
    """What the number of votes allows to say."""
    if rating is None:
        return "no votes"
    if rating.votes < HIDDEN_UNDER:
        return "hidden"
    return "preliminary" if rating.votes < PRELIMINARY_UNDER else ""


def build_board(
    task: str,
    votes: Sequence[Vote] = (),
    measurements: Sequence[Measurement] = (),
    costs: Sequence[RunCost] = (),
) -> Board:
    """The board of one task: by lower bound of the rating, then by name.

    Raises: RequestError for costs of several machines, a metric under two tiers, or votes that give no
    rating.
    """
    machines = sorted({cost.machine for cost in costs})
    if len(machines) > 1:
        raise RequestError(f"seconds of different machines are not comparable: {', '.join(machines)}")
    of_task = [vote for vote in votes if vote.task == task]
    ratings = {rating.name: rating for rating in (rate(of_task) if of_task else [])}
    columns = _columns(measurements)
    names = {*ratings, *(m.algorithm for m in measurements), *(cost.algorithm for cost in costs)}
    rows = [
        BoardRow(
            algorithm=name,
            rating=ratings.get(name),
            badge=badge_of(ratings.get(name)),
            cells={column.metric: _cell(name, column.metric, measurements) for column in columns},
            seconds=_mean(cost.seconds for cost in costs if cost.algorithm == name),
            memory_gib=max(
                (c.memory_gib for c in costs if c.algorithm == name and c.memory_gib), default=None
            ),
            published=load_cards()[name].scores if name in load_cards() else (),
        )
        for name in sorted(names)
    ]
    order = {name: place for place, name in enumerate(ratings)}
    rows.sort(key=lambda row: (order.get(row.algorithm, len(order)), row.algorithm))
    return Board(task, columns, tuple(rows), machines[0] if machines else None, tuple(_notes(columns)))


def _columns(measurements: Sequence[Measurement]) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    for m in measurements:
        column = Column(m.metric, m.tier, m.unit, m.direction)
        if columns.setdefault(m.metric, column) != column:
            raise RequestError(f"{m.metric} was measured in two ways: {columns[m.metric]} and {column}")
    return tuple(columns[name] for name in sorted(columns))


def _cell(algorithm: str, metric: str, measurements: Sequence[Measurement]) -> Cell:
    own = [m for m in measurements if m.algorithm == algorithm and m.metric == metric]
    by_item: dict[str, list[float]] = {}
    for m in own:
        if m.value is not None:
            by_item.setdefault(m.item, []).append(m.value)
    if not by_item:
        reasons = sorted({m.not_measured or "not measured" for m in own}) or ["not measured"]
        return Cell(None, note="; ".join(reasons))
    means = np.array([np.mean(values) for values in by_item.values()])
    centre = float(means.mean())
    if means.size == 1:
        return Cell(centre, items=1)
    reach = float(stats.t.ppf(0.975, means.size - 1) * stats.sem(means))
    return Cell(centre, centre - reach, centre + reach, means.size)


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return float(np.mean(listed)) if listed else None


def _notes(columns: Sequence[Column]) -> list[str]:
    notes = [
        "published figures are quoted from their sources and are never ranked against what is measured here"
    ]
    variants = [column.metric for column in columns if column.tier == "variant"]
    if variants:
        notes.append(f"own variants, not comparable with the literature: {', '.join(variants)}")
    return notes


@dataclass(frozen=True)
class Link:
    """How a metric's means go with ratings, over algorithms. Range: -1..1, with bootstrap intervals."""

    spearman: float
    spearman_interval: tuple[float, float]
    kendall: float
    kendall_interval: tuple[float, float]
    algorithms: int


def link_to_ratings(
    means: Mapping[str, float], ratings: Mapping[str, float], rounds: int = 1000, seed: int = 0
) -> Link:
    """Rank correlation of a metric with what people prefer, algorithms drawn with replacement.

    Raises: RequestError for fewer than four common algorithms, or a metric that is the same for all.
    """
    common = sorted(means.keys() & ratings.keys())
    ours, theirs = np.array([means[n] for n in common]), np.array([ratings[n] for n in common])
    if len(common) < 4 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        raise RequestError(f"a correlation needs four algorithms or more that differ; here {len(common)}")
    rng = np.random.default_rng(seed)
    drawn: list[tuple[float, float]] = []
    while len(drawn) < rounds:
        chosen = rng.integers(0, len(common), len(common))
        if np.ptp(ours[chosen]) > 0 and np.ptp(theirs[chosen]) > 0:
            drawn.append(_correlations(ours[chosen], theirs[chosen]))
    (spearman_low, kendall_low), (spearman_high, kendall_high) = np.percentile(drawn, [2.5, 97.5], axis=0)
    spearman, kendall = _correlations(ours, theirs)
    return Link(
        spearman,
        (float(spearman_low), float(spearman_high)),
        kendall,
        (float(kendall_low), float(kendall_high)),
        len(common),
    )


def _correlations(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    return float(stats.spearmanr(ours, theirs).statistic), float(stats.kendalltau(ours, theirs).statistic)
