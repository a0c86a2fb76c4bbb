"""How far raters agree with one another, and with themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from vitascope.errors import RequestError
from vitascope.evaluation.votes import Vote

Level = Literal["nominal", "ordinal", "interval"]
Values = NDArray[np.float64]


def krippendorff_alpha(ratings: ArrayLike, level: Level = "nominal") -> float:
    """Agreement beyond chance of any number of raters, with gaps. Range: up to 1; 0 is chance.

    Shape: ratings (raters, units), NaN where a rater did not judge.
    Raises: RequestError if no unit was judged by two raters, or all gave one and the same answer.
    Source: Krippendorff, Computing Krippendorff's alpha-reliability, 2011.
    """
    values, counts = _counts(ratings)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        raise RequestError("alpha needs units that two raters or more have judged")
    judged = counts.sum(axis=1, keepdims=True)
    pairs = (counts.T @ (counts / (judged - 1))) - np.diag((counts / (judged - 1)).sum(axis=0))
    totals = pairs.sum(axis=0)
    distance = _distance(values, totals, level)
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    if expected == 0:
        raise RequestError("alpha has no value where every answer is the same")
    return float(1 - (pairs * distance).sum() / expected)


def _counts(ratings: ArrayLike) -> tuple[Values, Values]:
    """The answers given, and how often each unit got each. Shape: (answers,), (units, answers)."""
    table = np.asarray(ratings, float)
    values = np.unique(table[~np.isnan(table)])
    return values, np.stack([(table == value).sum(axis=0) for value in values], axis=1).astype(float)


def _distance(values: Values, totals: Values, level: Level) -> Values:
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values) ** 2
    below = np.cumsum(totals) - totals / 2  # mid-rank of each answer
    return (below[:, None] - below) ** 2


def gwet_ac1(ratings: ArrayLike) -> float:
    """Agreement beyond chance that stays steady where one answer dominates. Range: up to 1.

    Shape: ratings (raters, units), NaN where a rater did not judge.
    Raises: RequestError if no unit was judged by two raters, or there is one answer only.
    Source: Gwet, Computing inter-rater reliability and its variance, BJMSP 2008, equations 3 and 4.
    """
    values, counts = _counts(ratings)
    judged = counts.sum(axis=1)
    twice = judged >= 2
    if not twice.any() or len(values) < 2:
        raise RequestError("AC1 needs units that two raters judged, and two different answers")
    agreed = (counts * (counts - 1)).sum(axis=1)[twice] / (judged * (judged - 1))[twice]
    share = (counts[judged > 0] / judged[judged > 0, None]).mean(axis=0)
    chance = (share * (1 - share)).sum() / (len(values) - 1)
    return float((agreed.mean() - chance) / (1 - chance))


def intraclass_correlation(ratings: ArrayLike) -> tuple[float, float]:
    """ICC(2,1) and ICC(2,k): reliability of one rater, and of the mean of all. Range: up to 1.

    Shape: ratings (raters, units), without gaps.
    Raises: RequestError for gaps, fewer than two raters or units, or ratings that are all the same.
    Source: Shrout and Fleiss, Intraclass correlations, Psychological Bulletin 1979.
    """
    table = np.asarray(ratings, float).T
    if table.ndim != 2 or min(table.shape) < 2 or np.isnan(table).any():
        raise RequestError("ICC needs two raters or more who all judged the same two units or more")
    units, raters = table.shape
    between_units = raters * table.mean(axis=1).var(ddof=1)
    between_raters = units * table.mean(axis=0).var(ddof=1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    residual = (rest**2).sum() / ((units - 1) * (raters - 1))
    if between_units + between_raters + residual == 0:
        raise RequestError("ICC has no value where every rating is the same")
    lead, rater_excess = between_units - residual, between_raters - residual
    single = lead / (between_units + (raters - 1) * residual + raters * rater_excess / units)
    return float(single), float(lead / (between_units + rater_excess / units))


def kendall_w(ratings: ArrayLike) -> float:
    """Concordance of full rankings, corrected for ties. Range: 0 (none) to 1 (all alike).

    Shape: ratings (raters, units), without gaps.
    Raises: RequestError for gaps, fewer than two raters or units, or raters who tie everything.
    Source: Kendall and Babington Smith 1939; tie correction of Siegel and Castellan 1988.
    """
    table = np.asarray(ratings, float)
    if table.ndim != 2 or min(table.shape) < 2 or np.isnan(table).any():
        raise RequestError("Kendall's W needs two raters or more who all ranked the same two units or more")
    raters, units = table.shape
    ranks = np.apply_along_axis(stats.rankdata, 1, table)
    spread = ((ranks.sum(axis=0) - raters * (units + 1) / 2) ** 2).sum()
    ties = sum((n**3 - n).sum() for n in (np.unique(row, return_counts=True)[1] for row in table))
    largest = raters**2 * (units**3 - units) - raters * ties
    if largest == 0:
        raise RequestError("Kendall's W has no value where raters rank everything alike")
    return float(12 * spread / largest)


@dataclass(frozen=True)
class RaterReport:
    """What a rater's hidden repetitions and sides tell.

    `self_agreement` is the share of repeated pairs that got the same answer with sides swapped, and
    `gold_share` the share of spoilt copies that were not preferred, None without any.
    `left_share` is the share of decided votes for the left side; `left_p` is how likely a share so far
    from one half is by chance. `trusted` is False if either is bad.
    """

    rater: str
    votes: int
    repeats: int
    self_agreement: float | None
    golds: int
    gold_share: float | None
    left_share: float | None
    left_p: float | None
    trusted: bool


def rater_reports(
    votes: Sequence[Vote], min_agreement: float = 0.6, min_p: float = 0.001
) -> list[RaterReport]:
    """Self-consistency, attention and side bias of each rater, by name. Range: min_agreement, min_p 0..1.

    A rater without hidden checks is judged by the sides alone.
    """
    reports = []
    for rater in sorted({vote.rater for vote in votes}):
        own = [vote for vote in votes if vote.rater == rater]
        first = {(v.task, v.item, v.pair): v.first_share for v in own if v.is_counted}
        again = [v for v in own if v.repeat and (v.task, v.item, v.pair) in first]
        same = [v.first_share == first[v.task, v.item, v.pair] for v in again]
        # By name the spoilt copy comes second, so that the first of the pair is the sound one.
        golds = [v.first_share == 1.0 for v in own if v.gold]
        decided = [vote.choice == "left" for vote in own if vote.choice in ("left", "right")]
        agreement = float(np.mean(same)) if same else None
        gold_share = float(np.mean(golds)) if golds else None
        left_p = float(stats.binomtest(sum(decided), len(decided)).pvalue) if decided else None
        reports.append(
            RaterReport(
                rater=rater,
                votes=sum(vote.is_counted for vote in own),
                repeats=len(again),
                self_agreement=agreement,
                golds=len(golds),
                gold_share=gold_share,
                left_share=float(np.mean(decided)) if decided else None,
                left_p=left_p,
                trusted=(agreement is None or agreement >= min_agreement)
                and (gold_share is None or gold_share >= min_agreement)
                and (left_p is None or left_p >= min_p),
            )
        )
    return reports


def vote_agreement(votes: Sequence[Vote]) -> float:
    """Krippendorff's alpha of votes on pairs; which algorithm is called the first does not matter.

    Every pair counts in both orders: else two algorithms whose names happen to stand in the order of their
    quality would make one answer the rule, and agreement on it look like chance.
    Raises: RequestError as `krippendorff_alpha`.
    """
    table = vote_table(votes)
    return krippendorff_alpha(np.hstack([table, 1 - table]))


def vote_table(votes: Sequence[Vote]) -> Values:
    """Votes as ratings for the coefficients above: what the first of each pair got.

    Shape: (raters, pairs of an item), 1, 1/2, 0 or NaN.
    """
    counted = [vote for vote in votes if vote.is_counted]
    raters = sorted({vote.rater for vote in counted})
    units = sorted({(vote.task, vote.item, vote.pair) for vote in counted})
    table = np.full((len(raters), len(units)), np.nan)
    for vote in counted:
        place = raters.index(vote.rater), units.index((vote.task, vote.item, vote.pair))
        table[place] = vote.first_share
    return table
