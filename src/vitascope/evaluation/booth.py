"""A voting booth: two clips of one item, nameless and alike in everything but what made them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vitascope.errors import NotFound, RequestError
from vitascope.evaluation.blinding import BlindCopies, check_rater, check_watched
from vitascope.evaluation.pairing import draw_pair
from vitascope.evaluation.votes import Choice, Vote, VoteStore
from vitascope.media import read

#: How often a vote is a hidden repetition with sides swapped, and how often a clip beside its spoilt copy.
REPEAT_SHARE, GOLD_SHARE = 0.08, 0.04
#: Votes of one's own before the first hidden check.
CHECKS_AFTER = 3
SPOILT = " (spoilt)"


@dataclass(frozen=True)
class Ballot:
    """What a rater sees: a prompt and the tokens of two clips. Nothing in it names an algorithm."""

    id: str
    item: str
    prompt: str
    left: str
    right: str
    votes_cast: int


@dataclass(frozen=True)
class Reveal:
    """What a rater learns after the vote: who stood where, and the hash under which the vote was written."""

    left: str
    right: str
    receipt: str


@dataclass(frozen=True)
class _Open:
    rater: str
    item: str
    left: str
    right: str
    probability: float
    repeat: bool
    gold: bool
    duration_s: float


class Booth:
    """Draws ballots for raters and writes their votes down; any number of raters at once.

    `clips` gives each item's file by algorithm, `prompts` each item's words, `folder` keeps the nameless
    copies. A ballot lives as long as the booth; a vote is written once and for good.
    """

    def __init__(
        self,
        clips: Mapping[str, Mapping[str, Path]],
        prompts: Mapping[str, str],
        votes: VoteStore,
        folder: Path,
        task: str,
        seed: int | None = None,
    ) -> None:
        self._clips = {item: dict(files) for item, files in clips.items() if len(files) > 1}
        if not self._clips:
            raise RequestError("a vote needs an item with clips of two algorithms; make them with `eval`")
        self._prompts, self.votes, self.task = prompts, votes, task
        self._copies = BlindCopies(folder)
        self._rng = np.random.default_rng(seed)
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def ballot(self, rater: str) -> Ballot:
        """A pair for this rater that it has not voted on, or a hidden check of the rater.

        Raises: RequestError if the rater has no name, or has voted on everything.
        """
        check_rater(rater)
        with self._lock:
            cast = self.votes.read()
            own = [vote for vote in cast if vote.rater == rater and vote.task == self.task]
            drawn = self._check(own) or self._pair(cast, rater)
            left, right = self._blind(drawn)
            ballot = Ballot(
                id=secrets.token_urlsafe(12),
                item=drawn.item,
                prompt=self._prompts.get(drawn.item, drawn.item),
                left=self._copies.token(left),
                right=self._copies.token(right),
                votes_cast=sum(vote.is_counted for vote in own),
            )
            duration_s = min(read(path).duration_s for path in (left, right))
            self._open[ballot.id] = replace(drawn, rater=rater, duration_s=duration_s)
            return ballot

    def cast(self, ballot_id: str, rater: str, choice: Choice, watched_s: float) -> Reveal:
        """Write a vote down and say what stood where.

        Raises: NotFound for a ballot that is not this rater's or was used; RequestError if the clips were
        not watched to their end.
        """
        with self._lock:
            asked = self._open.get(ballot_id)
            if asked is None or asked.rater != rater:
                raise NotFound(f"no open ballot {ballot_id[:40]!r} of this rater; take a new one")
            check_watched(watched_s, asked.duration_s, "both clips must play to their end")
            receipt = self.votes.append(
                Vote(
                    task=self.task,
                    item=asked.item,
                    left=asked.left,
                    right=asked.right,
                    choice=choice,
                    rater=rater,
                    at=datetime.now(UTC),
                    probability=asked.probability,
                    repeat=asked.repeat,
                    gold=asked.gold,
                    watched_s=watched_s,
                )
            )
            del self._open[ballot_id]
            return Reveal(asked.left, asked.right, receipt)

    def file(self, token: str) -> Path:
        """The nameless copy behind a token. Raises: NotFound."""
        return self._copies.file(token)

    def _pair(self, cast: Sequence[Vote], rater: str) -> _Open:
        algorithms = {item: sorted(files) for item, files in self._clips.items()}
        of_task = [vote for vote in cast if vote.task == self.task]
        pair = draw_pair(algorithms, of_task, rater, self._rng)
        return _Open(rater, pair.item, pair.left, pair.right, pair.probability, False, False, 0.0)

    def _check(self, own: Sequence[Vote]) -> _Open | None:
        """Now and then: an earlier pair of the rater's with sides swapped, or a clip beside its spoilt copy."""
        counted = [vote for vote in own if vote.is_counted and vote.item in self._clips]
        if len(counted) < CHECKS_AFTER:
            return None
        chance = self._rng.random()
        if chance < REPEAT_SHARE:
            again = {(vote.item, vote.pair) for vote in own if vote.repeat}
            once = [vote for vote in counted if (vote.item, vote.pair) not in again]
            if once:
                vote = once[self._rng.integers(len(once))]
                return _Open(vote.rater, vote.item, vote.right, vote.left, 1.0, True, False, 0.0)
        elif chance < REPEAT_SHARE + GOLD_SHARE:
            known = {(vote.item, *vote.pair) for vote in own if vote.gold}
            pairs = [(item, name) for item, files in self._clips.items() for name in files]
            fresh = [(i, n) for i, n in pairs if (i, *sorted((n, n + SPOILT))) not in known]
            if fresh:
                item, name = fresh[self._rng.integers(len(fresh))]
                sides = [name, name + SPOILT]
                self._rng.shuffle(sides)
                return _Open(counted[0].rater, item, sides[0], sides[1], 1.0, False, True, 0.0)
        return None

    def _blind(self, drawn: _Open) -> tuple[Path, Path]:
        left, right = drawn.left.removesuffix(SPOILT), drawn.right.removesuffix(SPOILT)
        files = self._clips[drawn.item]
        spoilt = drawn.left.endswith(SPOILT), drawn.right.endswith(SPOILT)
        return self._copies.side_by_side((files[left], files[right]), spoilt)
