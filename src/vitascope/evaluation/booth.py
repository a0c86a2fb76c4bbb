"""A voting booth: two clips of one item, nameless and alike in everything but what made them."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from vitascope.clip import Clip
from vitascope.errors import NotFound, RequestError
from vitascope.evaluation.pairing import draw_pair
from vitascope.evaluation.votes import Choice, Vote, VoteStore
from vitascope.media import read, write
from vitascope.recipe import Recipe

#: How often a vote is a hidden repetition with sides swapped, and how often a clip beside its spoilt copy.
REPEAT_SHARE, GOLD_SHARE = 0.08, 0.04
#: Votes of one's own before the first hidden check.
CHECKS_AFTER = 3
BLIND_CRF = 12
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
        self._prompts, self.votes, self._folder, self.task = prompts, votes, folder, task
        self._rng = np.random.default_rng(seed)
        self._open: dict[str, _Open] = {}
        self._tokens: dict[str, Path] = {}
        self._lock = threading.Lock()

    def ballot(self, rater: str) -> Ballot:
        """A pair for this rater that it has not voted on, or a hidden check of the rater.

        Raises: RequestError if the rater has no name, or has voted on everything.
        """
        if not rater.strip() or len(rater) > 80:
            raise RequestError(
                f"a rater needs a name of 1 to 80 characters, not {rater[:80]!r}", param="rater"
            )
        with self._lock:
            cast = self.votes.read()
            own = [vote for vote in cast if vote.rater == rater and vote.task == self.task]
            drawn = self._check(own) or self._pair(cast, rater)
            left, right = self._blind(drawn)
            ballot = Ballot(
                id=secrets.token_urlsafe(12),
                item=drawn.item,
                prompt=self._prompts.get(drawn.item, drawn.item),
                left=self._token(left),
                right=self._token(right),
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
            if watched_s < asked.duration_s * 0.95:
                raise RequestError(
                    f"both clips must play to their end first: {watched_s:.1f} s of {asked.duration_s:.1f} s",
                    param="watched_s",
                )
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
        if token not in self._tokens:
            raise NotFound(f"no clip {token[:40]!r}")
        return self._tokens[token]

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
        """Copies without metadata and sound, on one clock and of one length."""
        names = drawn.left.removesuffix(SPOILT), drawn.right.removesuffix(SPOILT)
        sources = [self._clips[drawn.item][name] for name in names]
        clips = [read(path) for path in sources]
        fps = max(clip.fps for clip in clips)
        duration = min(Fraction(clip.num_frames) / clip.fps for clip in clips)
        spoilt = [name.endswith(SPOILT) for name in (drawn.left, drawn.right)]
        left, right = (
            self._copy(path, clip, fps, duration, bad)
            for path, clip, bad in zip(sources, clips, spoilt, strict=True)
        )
        return left, right

    def _copy(self, source: Path, clip: Clip, fps: Fraction, duration: Fraction, bad: bool) -> Path:
        mark = f"{source}|{source.stat().st_mtime_ns}|{fps}|{duration}|{bad}"
        target = self._folder / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.mp4"
        if not target.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            frames = on_clock(clip, fps, duration)
            blind = Clip(spoil(frames) if bad else frames, fps, recipe=Recipe())
            write(blind, target, crf=BLIND_CRF)
        return target

    def _token(self, path: Path) -> str:
        token = secrets.token_urlsafe(16)
        self._tokens[token] = path
        return token


def on_clock(clip: Clip, fps: Fraction, duration: Fraction) -> np.ndarray:
    """The frames that stand on screen at each tick of another clock. Units: `duration` in seconds."""
    ticks = max(1, int(duration * fps))
    shown = [min(int(Fraction(tick) / fps * clip.fps), clip.num_frames - 1) for tick in range(ticks)]
    return clip.array()[shown]


def spoil(frames: np.ndarray) -> np.ndarray:
    """A copy that anybody prefers less: blurred over a twentieth of the height, and every other frame held."""
    import cv2

    side = max(3, frames.shape[1] // 20 * 2 + 1)
    held = [number - number % 2 for number in range(len(frames))]
    return np.stack([cv2.GaussianBlur(frames[number], (side, side), 0) for number in held])
