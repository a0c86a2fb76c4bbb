"""The board of opinion scores: means with intervals that know of prompts and raters, and how raters agree."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vitascope.errors import RequestError
from vitascope.evaluation.agreement import intraclass_correlation, krippendorff_alpha
from vitascope.evaluation.append_only import check_unique
from vitascope.evaluation.opinion_scores import (
    correlation_with_others,
    differential_scores,
    screen_raters,
    weigh_raters,
)
from vitascope.evaluation.opinions import SCALE, Opinion, OpinionTable, opinion_table

#: Under so many raters nobody is left out: a screening cannot tell a bad rater from an unlike one.
SCREENED_FROM = 15
#: A rater who correlates less with the others' means is out of step, unless the whole panel does so.
MIN_CORRELATION = 0.7
#: Clips under this name are what the others are set against, unseen as such by raters (ACR with hidden reference).
REFERENCE = "reference"

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MeanOpinion:
    """What people think of one algorithm. Units: scale points, 1 to 5.

    `mean` is over its clips' means, `low` to `high` its 95 percent interval clustered by item and rater, both
    None where too few judged; `weighed` is the mean with raters weighed by how steady they are, None with fewer
    than three raters. `shares` is how often each score from 1 to 5 was given. `differential` is the mean against
    the hidden reference, 5 for as good as it, None where the run has no clips under the name "reference".
    """

    name: str
    mean: float
    low: float | None
    high: float | None
    weighed: float | None
    opinions: int
    items: int
    raters: int
    shares: tuple[float, ...]
    differential: float | None = None


@dataclass(frozen=True)
class RaterOpinions:
    """How a rater scores. `bias` is how far above the others; `correlation` with the others' mean of each clip.

    `extreme_share` and `rejected` are BT.500's; `repeat_error` is the mean difference between two showings of
    one clip, None without any. `left_out` says whether the means are without this rater, `is_in_step` is False
    for who is rejected or hardly goes with the others.
    """

    rater: str
    opinions: int
    bias: float
    correlation: float | None
    extreme_share: float
    rejected: bool
    repeat_error: float | None
    left_out: bool
    is_in_step: bool


@dataclass(frozen=True)
class OpinionBoard:
    """Opinions of one task. `alpha`: Krippendorff's, ordinal; `icc_mean`: reliability of the mean of all raters.

    Both are None where the opinions do not allow them; `notes` says what was left out and why.
    """

    task: str
    rows: tuple[MeanOpinion, ...]
    raters: tuple[RaterOpinions, ...]
    alpha: float | None
    icc_mean: float | None
    notes: tuple[str, ...] = field(default=())


def rate_opinions(opinions: Sequence[Opinion]) -> OpinionBoard:
    """The board of one task's opinions, best mean first.

    From fifteen raters on those whom BT.500 screens out are left out of the means; under that they are only
    named. Raises: RequestError for none, several tasks, or somebody who scored a clip twice.
    """
    counted = [opinion for opinion in opinions if opinion.is_counted]
    check_unique(counted)
    tasks = sorted({opinion.task for opinion in counted})
    if len(tasks) != 1:
        raise RequestError(f"a board is of one task; these opinions are of {', '.join(tasks) or 'none'}")
    whole = opinion_table(counted)
    notes = list[str]()
    raters = _raters(whole, opinions, notes)
    kept = [n for n, rater in enumerate(raters) if not rater.left_out]
    table = OpinionTable(whole.scores[kept], tuple(whole.raters[n] for n in kept), whole.clips)
    weighed = _weighed(table)
    names = sorted({name for _, name in table.clips})
    rows = [row for name in names if (row := _row(name, table, weighed)) is not None]
    rows.sort(key=lambda row: (-row.mean, row.name))
    alpha = icc = None
    with suppress(RequestError):  # nobody judged what another did, or all say the same
        alpha = krippendorff_alpha(table.scores, "ordinal")
    with suppress(RequestError):  # gaps
        icc = intraclass_correlation(table.scores)[1]
    return OpinionBoard(tasks[0], tuple(rows), tuple(raters), alpha, icc, tuple(notes))


def _row(name: str, table: OpinionTable, weighed: Values | None) -> MeanOpinion | None:
    own = table.of(name)
    scores = table.scores[:, own]
    judged = ~np.isnan(scores)
    heard = judged.any(axis=0)
    if not heard.any():
        return None
    mean, reach = clustered_mean(scores)
    given = scores[judged]
    return MeanOpinion(
        name=name,
        mean=mean,
        low=None if reach is None else max(mean - reach, min(SCALE)),
        high=None if reach is None else min(mean + reach, max(SCALE)),
        weighed=None if weighed is None else float(np.nanmean(weighed[own])),
        opinions=int(judged.sum()),
        items=int(heard.sum()),
        raters=int(judged.any(axis=1).sum()),
        shares=tuple(float((given == score).mean()) for score in range(1, 6)),
        differential=_against_reference(name, table),
    )


def _against_reference(name: str, table: OpinionTable) -> float | None:
    """The mean over clips of what raters gave them and the reference of the same item, on a scale around 5."""
    column = {clip: place for place, clip in enumerate(table.clips)}
    pairs = [
        (column[item, algorithm], column[item, REFERENCE])
        for item, algorithm in table.clips
        if algorithm == name != REFERENCE and (item, REFERENCE) in column
    ]
    if not pairs:
        return None
    own, reference = (table.scores[:, list(places)] for places in zip(*pairs, strict=True))
    apart = differential_scores(own, reference)
    judged = (~np.isnan(apart)).any(axis=0)
    return float(np.nanmean(apart[:, judged], axis=0).mean()) if judged.any() else None


def clustered_mean(scores: Values) -> tuple[float, float | None]:
    """The mean over clips of their mean scores, and the half of its 95 percent interval.

    Neither the opinions on one prompt nor those of one rater are independent, so the variance is the sum of that
    between prompts and that between raters less that of single opinions, and never under the larger of the two.
    None with fewer than two clips or two raters. Shape: (raters, clips), NaN where not judged.
    Source: Cameron, Gelbach and Miller, Robust inference with multiway clustering, JBES 2011, equation 2.8.
    """
    known = ~np.isnan(scores)
    clips = known.any(axis=0)
    scores, known = scores[:, clips], known[:, clips]
    weight = known / known.sum(axis=0) / known.shape[1]
    mean = float(np.where(known, scores, 0.0).ravel() @ weight.ravel())
    raters = known[known.any(axis=1)].shape[0]
    if min(raters, known.shape[1]) < 2:
        return mean, None
    influence = weight * np.where(known, scores - mean, 0.0)

    def between(sums: Values, count: int) -> float:
        return float((sums**2).sum() * count / (count - 1))

    by_clip = between(influence.sum(axis=0), known.shape[1])
    by_rater = between(influence.sum(axis=1), raters)
    single = between(influence, int(known.sum()))
    variance = max(by_clip + by_rater - single, by_clip, by_rater)
    freedom = min(raters, known.shape[1]) - 1
    return mean, float(stats.t.ppf(0.975, freedom) * np.sqrt(variance))


def _weighed(table: OpinionTable) -> Values | None:
    """Each clip's quality with raters weighed. Shape: (clips,), NaN where nobody judged."""
    judged = ~np.isnan(table.scores)
    heard, steady = judged.any(axis=0), judged.sum(axis=1) >= 2
    heard &= judged[steady].any(axis=0)
    if steady.sum() < 3:
        return None
    quality = np.full(len(table.clips), np.nan)
    quality[heard] = weigh_raters(table.scores[steady][:, heard]).quality
    return quality


def _raters(table: OpinionTable, opinions: Sequence[Opinion], notes: list[str]) -> list[RaterOpinions]:
    try:
        screened = [(report.extreme_share, report.rejected) for report in screen_raters(table.scores)]
    except RequestError as error:
        notes.append(str(error))
        screened = [(0.0, False)] * len(table.raters)
    correlations = correlation_with_others(table.scores)
    apart = table.scores - np.nanmean(table.scores, axis=0)
    least, enough = _least_correlation(correlations), len(table.raters) >= SCREENED_FROM
    reports = [
        RaterOpinions(
            rater=rater,
            opinions=int((~np.isnan(table.scores[n])).sum()),
            bias=float(np.nanmean(apart[n])),
            correlation=None if np.isnan(correlations[n]) else float(correlations[n]),
            extreme_share=screened[n][0],
            rejected=screened[n][1],
            repeat_error=_repeat_error(rater, opinions),
            left_out=enough and screened[n][1],
            is_in_step=not screened[n][1] and not correlations[n] <= least,  # unknown is in step
        )
        for n, rater in enumerate(table.raters)
    ]
    if outside := [report.rater for report in reports if report.left_out]:
        notes.append(f"left out by BT.500's screening: {', '.join(outside)}")
    elif not enough:
        notes.append(f"{len(table.raters)} raters: nobody is left out under {SCREENED_FROM}")
    return reports


def _least_correlation(correlations: Values) -> float:
    """Under which a rater is out of step: 0.7, or three deviations under a panel that agrees less than that.

    BT.1788 takes the mean less one deviation; one far rater moves both, and in any panel it finds somebody.
    """
    known = correlations[~np.isnan(correlations)]
    if not known.size:
        return MIN_CORRELATION
    middle = float(np.median(known))
    return min(MIN_CORRELATION, middle - 3 * 1.4826 * float(np.median(np.abs(known - middle))))


def _repeat_error(rater: str, opinions: Sequence[Opinion]) -> float | None:
    own = [opinion for opinion in opinions if opinion.rater == rater]
    first = {(o.item, o.algorithm): o.score for o in own if o.is_counted}
    apart = [
        abs(o.score - first[o.item, o.algorithm]) for o in own if o.repeat and (o.item, o.algorithm) in first
    ]
    return float(np.mean(apart)) if apart else None
