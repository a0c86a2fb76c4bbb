"""Ratings from blind votes: Bradley and Terry's model, with intervals that know of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from vitascope.errors import RequestError
from vitascope.evaluation.append_only import check_unique
from vitascope.evaluation.votes import Vote

Values = NDArray[np.float64]

#: Rating points of one unit of log odds, and the mean rating: the scale of chess and of public arenas.
POINTS, MEAN_RATING = 400 / log(10), 1000.0
RIDGE = 1e-3
MAX_WEIGHT = 10.0


@dataclass(frozen=True)
class Rating:
    """How strong an algorithm is. Units: rating points; 400 points more win ten times as often.

    `low` and `high` bound the 95 percent interval; both are None where none can be given, and `note` says
    why. `rank_low` to `rank_high` are the ranks that the intervals leave open, 1 being the best.
    """

    name: str
    rating: float
    standard_error: float | None
    low: float | None
    high: float | None
    rank_low: int
    rank_high: int
    votes: int
    items: int
    win_rate: float
    tie_rate: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Design:
    """Votes as numbers. Shape: (V,) each; `first` and `second` index `names`, `cluster` the items.

    `share` is what the first got of the vote: 1, 1/2 or 0.
    """

    names: tuple[str, ...]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    share: Values
    weight: Values
    cluster: NDArray[np.intp]

    @property
    def num_clusters(self) -> int:
        """How many items were voted on."""
        return int(self.cluster.max()) + 1


def rate(votes: Sequence[Vote], ridge: float = RIDGE) -> list[Rating]:
    """Ratings of all algorithms of one task, best lower bound first.

    Ties, and votes that found both bad, count half a win each. Hidden repetitions are left out. Votes are
    weighted by one over the probability with which their pair was drawn. The interval is the sandwich
    estimator clustered by item, with Student's t at one degree of freedom fewer than items: votes on one
    prompt are not independent, and intervals that take them so are too narrow.

    Raises: RequestError for votes of several tasks, duplicates, or a graph of pairs that is not connected.
    Source: Bradley and Terry 1952; Liang and Zeger 1986 for the clustered sandwich, factor G / (G - 1);
    scale and ties as in lm-sys/FastChat (Apache-2.0), elo_analysis.
    """
    counted = [vote for vote in votes if vote.is_counted]
    check_unique(counted)
    tasks = sorted({vote.task for vote in counted})
    if len(tasks) != 1:
        raise RequestError(f"a board is of one task; these votes are of {tasks or 'none'}")
    design = design_of(counted)
    check_connected(design)
    strengths = fit_strengths(design, ridge)
    covariance = clustered_covariance(design, strengths, ridge)
    return _board(counted, design, strengths, covariance)


def design_of(votes: Sequence[Vote]) -> Design:
    """Votes as arrays, their weights averaging 1."""
    names = tuple(sorted({name for vote in votes for name in vote.pair}))
    items = sorted({vote.item for vote in votes})
    place, group = {n: i for i, n in enumerate(names)}, {n: i for i, n in enumerate(items)}
    weight = 1 / np.array([vote.probability for vote in votes])
    weight = np.minimum(weight / weight.min(), MAX_WEIGHT)
    return Design(
        names=names,
        first=np.array([place[vote.pair[0]] for vote in votes]),
        second=np.array([place[vote.pair[1]] for vote in votes]),
        share=np.array([vote.first_share for vote in votes]),
        weight=weight / weight.mean(),
        cluster=np.array([group[vote.item] for vote in votes]),
    )


def check_connected(design: Design) -> None:
    """Raises: RequestError if some algorithms were never compared, even through others, with the rest."""
    count, label = connected_components(_graph(design, np.ones(design.share.size)), directed=False)
    if count > 1:
        groups = [[n for n, mark in zip(design.names, label, strict=True) if mark == k] for k in range(count)]
        shown = " | ".join(", ".join(group) for group in groups)
        raise RequestError(
            f"these groups were never compared with one another: {shown}; vote on a pair across"
        )


def unbounded(design: Design) -> set[str]:
    """Algorithms whose rating the votes do not bound: nothing outside beat them, or they beat nothing."""
    wins = _graph(design, design.share) + _graph(design, 1 - design.share).T
    count, label = connected_components(wins, directed=True, connection="strong")
    if count == 1:
        return set()
    sizes = np.bincount(label)
    if sizes.max() == 1:  # nobody has both won and lost against anybody: there is no middle to measure from
        return set(design.names)
    return {name for name, mark in zip(design.names, label, strict=True) if mark != sizes.argmax()}


def _graph(design: Design, values: Values) -> coo_array:
    size = len(design.names)
    return coo_array((values, (design.first, design.second)), shape=(size, size)).tocsr()


def fit_strengths(design: Design, ridge: float = RIDGE) -> Values:
    """Log strengths that maximise the weighted likelihood less a ridge, their mean zero. Shape: (n,).

    The ridge keeps the answer finite for an algorithm that won or lost everything.
    """
    strengths = np.zeros(len(design.names))
    value = _objective(design, strengths, ridge)
    for _ in range(100):
        gradient = _scores(design, strengths).sum(axis=0) - ridge * strengths
        step = np.linalg.solve(_information(design, strengths, ridge), gradient)
        scale = 1.0
        while (better := _objective(design, strengths + scale * step, ridge)) < value and scale > 1e-8:
            scale /= 2
        strengths, value = strengths + scale * step, better
        if np.abs(step).max() < 1e-10:
            break
    return strengths - strengths.mean()


def clustered_covariance(design: Design, strengths: Values, ridge: float = RIDGE) -> Values:
    """Covariance of the strengths, votes on one item being taken as dependent. Shape: (n, n).

    NaN if there is one item alone.
    """
    groups = design.num_clusters
    if groups < 2:
        return np.full((strengths.size, strengths.size), np.nan)
    by_item = np.zeros((groups, strengths.size))
    np.add.at(by_item, design.cluster, _scores(design, strengths))
    bread = np.linalg.inv(_information(design, strengths, ridge))
    covariance = bread @ (by_item.T @ by_item) @ bread * groups / (groups - 1)
    centre = np.eye(strengths.size) - 1 / strengths.size
    return centre @ covariance @ centre


def _chance(design: Design, strengths: Values) -> Values:
    return expit(strengths[design.first] - strengths[design.second])


def _objective(design: Design, strengths: Values, ridge: float) -> float:
    lead = strengths[design.first] - strengths[design.second]
    likelihood = design.share * -np.logaddexp(0, -lead) + (1 - design.share) * -np.logaddexp(0, lead)
    return float(design.weight @ likelihood - ridge / 2 * strengths @ strengths)


def _scores(design: Design, strengths: Values) -> Values:
    """Each vote's gradient of the log likelihood. Shape: (V, n)."""
    pull = design.weight * (design.share - _chance(design, strengths))
    scores = np.zeros((pull.size, strengths.size))
    rows = np.arange(pull.size)
    scores[rows, design.first], scores[rows, design.second] = pull, -pull
    return scores


def _information(design: Design, strengths: Values, ridge: float) -> Values:
    chance = _chance(design, strengths)
    curve = design.weight * chance * (1 - chance)
    pairs = np.zeros((strengths.size, strengths.size))
    np.add.at(pairs, (design.first, design.second), curve)
    pairs += pairs.T
    return np.diag(pairs.sum(axis=1)) - pairs + ridge * np.eye(strengths.size)


def _board(votes: Sequence[Vote], design: Design, strengths: Values, covariance: Values) -> list[Rating]:
    ratings = MEAN_RATING + POINTS * strengths
    errors = POINTS * np.sqrt(np.diag(covariance))
    reach = stats.t.ppf(0.975, max(design.num_clusters - 1, 1)) * errors
    open_ended = unbounded(design)
    bounded = np.array(
        [np.isfinite(r) and n not in open_ended for r, n in zip(reach, design.names, strict=True)]
    )
    low, high = np.where(bounded, ratings - reach, -np.inf), np.where(bounded, ratings + reach, np.inf)
    rows = []
    for index, name in enumerate(design.names):
        own = [vote for vote in votes if name in vote.pair]
        shares = [v.first_share if v.pair[0] == name else 1 - v.first_share for v in own]
        known = bool(bounded[index])
        if known:
            note = ""
        elif name in open_ended:
            note = "won or lost everything against the rest: the votes do not bound its rating"
        else:
            note = "votes on one item alone give no interval"
        rows.append(
            Rating(
                name=name,
                rating=float(ratings[index]),
                standard_error=float(errors[index]) if known else None,
                low=float(low[index]) if known else None,
                high=float(high[index]) if known else None,
                rank_low=1 + int((low > high[index]).sum()),
                rank_high=len(ratings) - int((high < low[index]).sum()),
                votes=len(own),
                items=len({vote.item for vote in own}),
                win_rate=float(np.mean([share == 1 for share in shares])),
                tie_rate=float(np.mean([share == 0.5 for share in shares])),
                note=note,
            )
        )
    return sorted(
        rows, key=lambda row: (-(row.low if row.low is not None else -np.inf), -row.rating, row.name)
    )
