"""A booth for opinions: one nameless clip at a time, scored from 1 to 5."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vitascope.errors import NotFound, RequestError
from vitascope.evaluation.blinding import BlindCopies, check_rater, check_watched
from vitascope.evaluation.opinions import Opinion, OpinionStore
from vitascope.media import read

#: How often an opinion is asked for a second time, unannounced, and how many come before the first such check.
REPEAT_SHARE, CHECKS_AFTER = 0.08, 4


@dataclass(frozen=True)
class Slip:
    """What a rater sees: a prompt and the token of one clip. Nothing in it names an algorithm."""

    id: str
    item: str
    prompt: str
    clip: str
    opinions_given: int
    to_give: int


@dataclass(frozen=True)
class Shown:
    """What a rater learns after the score: whose clip it was, and the hash under which it was written."""

    algorithm: str
    receipt: str


@dataclass(frozen=True)
class _Open:
    rater: str
    item: str
    algorithm: str
    repeat: bool
    duration_s: float = 0.0


class OpinionBooth:
    """Shows raters clips one by one and writes their scores down; any number of raters at once.

    `clips` gives each item's file by algorithm, `prompts` each item's words, `folder` keeps the nameless
    copies. A rater never sees two clips of one prompt in a row if it can be helped.
    """

    def __init__(
        self,
        clips: Mapping[str, Mapping[str, Path]],
        prompts: Mapping[str, str],
        opinions: OpinionStore,
        folder: Path,
        task: str,
        seed: int | None = None,
    ) -> None:
        self._clips = {(item, name): path for item, files in clips.items() for name, path in files.items()}
        if not self._clips:
            raise RequestError("there is no clip to score; make some with `eval`")
        self._prompts, self.opinions, self.task = prompts, opinions, task
        self._copies = BlindCopies(folder)
        self._rng = np.random.default_rng(seed)
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def slip(self, rater: str) -> Slip:
        """A clip that this rater has not scored, the least scored first, or a hidden repetition.

        Raises: RequestError if the rater has no name, or has scored everything.
        """
        check_rater(rater)
        with self._lock:
            cast = [opinion for opinion in self.opinions.read() if opinion.task == self.task]
            own = [opinion for opinion in cast if opinion.rater == rater]
            drawn = self._again(own) or self._fresh(cast, own, rater)
            path = self._copies.alone(self._clips[drawn.item, drawn.algorithm])
            given = sum(opinion.is_counted for opinion in own)
            slip = Slip(
                id=secrets.token_urlsafe(12),
                item=drawn.item,
                prompt=self._prompts.get(drawn.item, drawn.item),
                clip=self._copies.token(path),
                opinions_given=given,
                to_give=len(self._clips),
            )
            self._open[slip.id] = _Open(
                drawn.rater, drawn.item, drawn.algorithm, drawn.repeat, read(path).duration_s
            )
            return slip

    def give(self, slip_id: str, rater: str, score: int, watched_s: float) -> Shown:
        """Write a score down and say whose clip it was.

        Raises: NotFound for a slip that is not this rater's or was used; RequestError if the clip was not
        watched to its end, or the clip has this rater's score already.
        """
        with self._lock:
            asked = self._open.get(slip_id)
            if asked is None or asked.rater != rater:
                raise NotFound(f"no open slip {slip_id[:40]!r} of this rater; take a new one")
            check_watched(watched_s, asked.duration_s, "the clip must play to its end")
            receipt = self.opinions.append(
                Opinion(
                    task=self.task,
                    item=asked.item,
                    algorithm=asked.algorithm,
                    score=score,
                    rater=rater,
                    at=datetime.now(UTC),
                    repeat=asked.repeat,
                    watched_s=watched_s,
                )
            )
            del self._open[slip_id]
            return Shown(asked.algorithm, receipt)

    def file(self, token: str) -> Path:
        """The nameless copy behind a token. Raises: NotFound."""
        return self._copies.file(token)

    def _fresh(self, cast: list[Opinion], own: list[Opinion], rater: str) -> _Open:
        scored = {(opinion.item, opinion.algorithm) for opinion in own}
        left = sorted(self._clips.keys() - scored)
        if not left:
            raise RequestError(f"rater {rater!r} has scored all {len(self._clips)} clips")
        counts = Counter((opinion.item, opinion.algorithm) for opinion in cast if opinion.is_counted)
        last = own[-1].item if own else None
        need = [(item == last, counts[item, name], self._rng.random()) for item, name in left]
        item, name = left[min(range(len(left)), key=need.__getitem__)]
        return _Open(rater, item, name, False)

    def _again(self, own: list[Opinion]) -> _Open | None:
        """Now and then: a clip that the rater has scored, not the last one."""
        counted = [opinion for opinion in own if opinion.is_counted][:-1]
        if len(counted) < CHECKS_AFTER or self._rng.random() >= REPEAT_SHARE:
            return None
        repeated = {(opinion.item, opinion.algorithm) for opinion in own if opinion.repeat}
        once = [
            opinion
            for opinion in counted
            if (opinion.item, opinion.algorithm) in self._clips.keys() - repeated
        ]
        if not once:
            return None
        chosen = once[self._rng.integers(len(once))]
        return _Open(chosen.rater, chosen.item, chosen.algorithm, True)
