"""Opinion scores: means with intervals, raters who are screened out, and raters who are weighed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from vitascope.errors import RequestError

Values = NDArray[np.float64]
#: The least noise that a rater is believed to have, as a share of the panel's.
STEADIEST = 1 / 3


@dataclass(frozen=True, eq=False)
class OpinionScores:
    """Mean opinion of each clip with its 95 percent interval. Shape: (clips,) each. Units: scale points.

    A clip with one score has no interval (NaN), one without any has no mean either.
    """

    mean: Values
    half_interval: Values
    count: NDArray[np.int64]


def mean_opinion(scores: ArrayLike) -> OpinionScores:
    """Means over raters, and Student intervals. Shape: scores (raters, clips), NaN where not judged.

    Source: ITU-T P.910 (10/2023), mean opinion score and its confidence interval.
    """
    table = _table(scores)
    count = (~np.isnan(table)).sum(axis=0)
    total = np.nansum(table, axis=0)
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    squares = np.nansum((table - mean) ** 2, axis=0)
    variance = np.divide(squares, count - 1, out=np.full(count.shape, np.nan), where=count > 1)
    reach = stats.t.ppf(0.975, np.maximum(count - 1, 1)) * np.sqrt(variance / np.maximum(count, 1))
    return OpinionScores(mean, reach, count)


def differential_scores(scores: ArrayLike, reference: ArrayLike, scale: int = 5) -> Values:
    """Scores against those of each clip's hidden reference, by the same rater: score - reference + scale.

    Shape: scores, reference (raters, clips). Source: ITU-T P.910 (10/2023), ACR with hidden reference.
    """
    return _table(scores) - _table(reference) + scale


@dataclass(frozen=True)
class Screening:
    """A rater under BT.500's test: shares of extreme scores and how lopsided they are."""

    rater: int
    extreme_share: float
    lopsidedness: float
    rejected: bool


def screen_raters(scores: ArrayLike) -> list[Screening]:
    """Raters whose scores are too often extreme on both sides, to be left out before averaging.

    A score is extreme beyond 2 deviations of its clip where the scores look normal (kurtosis 2 to 4), beyond
    the square root of 20 else. Rejected: more than 5 percent extreme, and high against low within 30 percent.
    A rater without any extreme score stays. Shape: scores (raters, clips), NaN where not judged.

    Raises: RequestError if every rater would be rejected.
    Source: ITU-R BT.500, annex on observer screening, as Netflix/sureal 526715c computes it (Apache-2.0).
    """
    table = _table(scores)
    mean, deviation = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    centred = table - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        kurtosis = np.nanmean(centred**4, axis=0) / np.nanmean(centred**2, axis=0) ** 2
    bound = np.where((kurtosis >= 2) & (kurtosis <= 4), 2.0, np.sqrt(20)) * deviation
    spread = deviation > 0
    high = ((centred >= bound) & spread).sum(axis=1)
    low = ((centred <= -bound) & spread).sum(axis=1)
    judged = (~np.isnan(table)).sum(axis=1)
    reports = []
    for rater, (above, below, count) in enumerate(zip(high, low, judged, strict=True)):
        extreme = float((above + below) / max(count, 1))
        lopsided = float(abs(above - below) / (above + below)) if above + below else 1.0
        reports.append(Screening(rater, extreme, lopsided, extreme > 0.05 and lopsided < 0.3))
    if reports and all(report.rejected for report in reports):
        raise RequestError("every rater would be rejected: these scores do not measure one thing")
    return reports


def correlation_with_others(scores: ArrayLike) -> Values:
    """How each rater's scores go with the means of the others: the lesser of Pearson's and Spearman's r.

    NaN for fewer than three common clips, or a rater or others who give one score only.
    Shape: scores (raters, clips), NaN where not judged, to (raters,).
    Source: ITU-R BT.1788, annex 2, whose test rejects under 0.7 (0.85 for trained panels); there each rater is
    set against the mean of all, here of all others, so that a rater does not agree with oneself.
    """
    table = _table(scores)
    found = np.full(len(table), np.nan)
    for rater, own in enumerate(table):
        others = np.delete(table, rater, axis=0)
        common = ~np.isnan(own) & (~np.isnan(others)).any(axis=0)
        if common.sum() < 3:
            continue
        ours, theirs = own[common], np.nanmean(others[:, common], axis=0)
        if np.ptp(ours) > 0 and np.ptp(theirs) > 0:
            found[rater] = min(
                stats.pearsonr(ours, theirs).statistic, stats.spearmanr(ours, theirs).statistic
            )
    return found


@dataclass(frozen=True, eq=False)
class WeighedScores:
    """Clips' qualities with raters weighed, none left out. Shape: (clips,) or (raters,).

    `bias` is how much a rater scores above the others, `inconsistency` how noisy; `half_interval` is at 95
    percent.
    """

    quality: Values
    half_interval: Values
    bias: Values
    inconsistency: Values


def weigh_raters(scores: ArrayLike, rounds: int = 1000, tolerance: float = 1e-8) -> WeighedScores:
    """Qualities, biases and noise by alternating projection: noisy raters count less, biased are shifted.

    Shape: scores (raters, clips), NaN where not judged.
    Raises: RequestError for fewer than three raters, or a rater with fewer than two scores.
    Source: Li et al., A Simple Model for Subject Behavior in Subjective Experiments, 2020 (what P.910
    recommends instead of rejection): score = quality + bias + inconsistency x noise. Two things are ours, since
    with few raters the plain projection ends in the scores of one of them: noise is estimated with the freedom
    that a rater's own weight leaves, and nobody counts as steadier than a third of the panel's noise.
    """
    table = _table(scores)
    known = ~np.isnan(table)
    if table.shape[0] < 3 or known.sum(axis=1).min() < 2 or known.sum(axis=0).min() < 1:
        raise RequestError(
            f"weighing needs three raters with two scores each and a score for each clip; here {table.shape}"
        )
    filled = np.where(known, table, 0)
    quality = filled.sum(axis=0) / known.sum(axis=0)
    leverage = known / known.sum(axis=0)
    for _ in range(rounds):
        before = quality
        bias = (known * (filled - quality)).sum(axis=1) / known.sum(axis=1)
        bias -= bias.mean()
        squares = (known * (filled - quality - bias[:, None]) ** 2).sum(axis=1)
        # A rater's own scores pull the qualities towards them: less freedom is left the more weight they have.
        freedom = np.maximum((known - leverage).sum(axis=1), 1e-9)
        pooled = np.sqrt(squares.sum() / freedom.sum())
        noise = np.maximum(np.sqrt(squares / freedom), max(pooled * STEADIEST, 1e-3))
        weight = known / noise[:, None] ** 2
        leverage = weight / weight.sum(axis=0)
        quality = (weight * (filled - bias[:, None])).sum(axis=0) / weight.sum(axis=0)
        if np.abs(quality - before).max() < tolerance:
            break
    return WeighedScores(quality, 1.96 / np.sqrt(weight.sum(axis=0)), bias, noise)


def _table(scores: ArrayLike) -> Values:
    table = np.asarray(scores, float)
    if table.ndim != 2 or 0 in table.shape:
        raise RequestError(f"scores must be a table of raters and clips, not of shape {table.shape}")
    return table
