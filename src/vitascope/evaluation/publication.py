"""When a board may be published: enough votes on enough prompts, by raters who agree and can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vitascope.errors import RequestError
from vitascope.evaluation.agreement import rater_reports, vote_agreement
from vitascope.evaluation.bradley_terry import check_connected, design_of, unbounded
from vitascope.evaluation.leaderboard import PRELIMINARY_UNDER
from vitascope.evaluation.opinion_board import SCREENED_FROM, OpinionBoard
from vitascope.evaluation.votes import Vote

Rule = Literal["votes", "connected", "bounded", "items", "raters", "trust", "agreement"]

#: Our rule, after what public arenas and ITU-T P.910 ask for; intervals that are clustered by prompt need prompts.
MIN_ITEMS, MIN_RATERS, MIN_ALPHA, MAX_UNTRUSTED_SHARE = 10, 3, 0.2, 0.1


class Check(BaseModel):
    """One condition: what was found and what is needed, in words that stand alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    passed: bool
    found: str
    needed: str


class Publication(BaseModel):
    """Whether a board may be published, and why or why not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: tuple[Check, ...]

    @property
    def publishable(self) -> bool:
        """Whether every condition is met."""
        return all(check.passed for check in self.checks)

    @property
    def missing(self) -> tuple[Check, ...]:
        """The conditions that are not met."""
        return tuple(check for check in self.checks if not check.passed)


def check_votes(votes: Sequence[Vote]) -> Publication:
    """The conditions on the votes of one task, all of them checked."""
    counted = [vote for vote in votes if vote.is_counted]
    return Publication(checks=tuple(_vote_checks(votes, counted)))


def _vote_checks(votes: Sequence[Vote], counted: Sequence[Vote]) -> Iterator[Check]:
    numbers = Counter(name for vote in counted for name in vote.pair)
    fewest = min(numbers, key=numbers.__getitem__, default="")
    yield _check(
        "votes",
        bool(numbers) and numbers[fewest] >= PRELIMINARY_UNDER,
        f"{numbers[fewest]} on {fewest!r}" if numbers else "none",
        f"{PRELIMINARY_UNDER} votes on each algorithm",
    )
    design = design_of(counted) if counted else None
    apart = None
    if design is not None:
        try:
            check_connected(design)
        except RequestError as error:
            apart = str(error)
    whole = design is not None and apart is None
    yield _check(
        "connected", whole, apart or ("all tied together" if whole else "no votes"), "one connected graph"
    )
    loose = sorted(unbounded(design)) if design is not None and whole else []
    yield _check(
        "bounded",
        whole and not loose,
        f"no end for {', '.join(loose)}" if loose else ("every rating" if whole else "no ratings"),
        "wins and losses for each algorithm",
    )
    items, raters = len({vote.item for vote in counted}), {vote.rater for vote in counted}
    yield _check("items", items >= MIN_ITEMS, f"{items}", f"{MIN_ITEMS} prompts or more")
    yield _check("raters", len(raters) >= MIN_RATERS, f"{len(raters)}", f"{MIN_RATERS} raters or more")
    doubtful = {report.rater for report in rater_reports(votes) if not report.trusted}
    share = sum(vote.rater in doubtful for vote in counted) / len(counted) if counted else 0.0
    yield _check(
        "trust",
        share <= MAX_UNTRUSTED_SHARE,
        f"{share:.0%}" + (f" by {', '.join(sorted(doubtful))}" if doubtful else ""),
        f"at most {MAX_UNTRUSTED_SHARE:.0%} of the votes by raters who fail the hidden checks",
    )
    alpha = None
    with suppress(RequestError):
        alpha = vote_agreement(votes) if counted else None
    yield _agreement(alpha)


def check_opinions(board: OpinionBoard) -> Publication:
    """The conditions on a board of opinions, all of them checked."""
    items = min((row.items for row in board.rows), default=0)
    in_step = sum(rater.is_in_step and not rater.left_out for rater in board.raters)
    return Publication(
        checks=(
            _check("items", items >= MIN_ITEMS, f"{items}", f"{MIN_ITEMS} prompts or more of each algorithm"),
            _check(
                "raters",
                in_step >= SCREENED_FROM,
                f"{in_step} in step of {len(board.raters)}",
                f"{SCREENED_FROM} raters or more who go with the others",
            ),
            _agreement(board.alpha),
        )
    )


def _check(rule: Rule, passed: bool, found: str, needed: str) -> Check:
    return Check(rule=rule, passed=passed, found=found, needed=needed)


def _agreement(alpha: float | None) -> Check:
    return _check(
        "agreement",
        alpha is not None and alpha >= MIN_ALPHA,
        "not known" if alpha is None else f"alpha {alpha:.2f}",
        f"Krippendorff's alpha of {MIN_ALPHA} or more",
    )
