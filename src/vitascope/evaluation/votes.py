"""Blind votes: what one says, and the file that only grows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vitascope.errors import InvalidMedia, NotFound, RequestError, invalid_value

Choice = Literal["left", "right", "tie", "both-bad"]
_GENESIS = "0" * 64


class Vote(BaseModel):
    """One person's blind choice between two clips of the same item.

    `item` is what both clips were made from: prompt, conditions, seed. `probability` is that with which this
    pair was drawn among the item's pairs. `repeat` marks a hidden repetition with sides swapped and `gold` a
    clip beside its own spoilt copy: both measure the rater and are never counted for a rating.
    Units: watched_s in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    item: str = Field(min_length=1)
    left: str = Field(min_length=1)
    right: str = Field(min_length=1)
    choice: Choice
    rater: str = Field(min_length=1)
    at: datetime
    probability: float = Field(1.0, gt=0, le=1)
    repeat: bool = False
    gold: bool = False
    watched_s: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if self.left == self.right:
            raise ValueError(f"a vote is between two algorithms, not {self.left!r} and itself")
        if self.at.tzinfo is None:
            raise ValueError("the time of a vote needs its time zone")
        return self

    @property
    def first_share(self) -> float:
        """1 if the algorithm that comes first by name won, 0 if it lost, 1/2 for a tie and for both bad."""
        left_share = {"left": 1.0, "right": 0.0}.get(self.choice, 0.5)
        return left_share if self.left < self.right else 1 - left_share

    @property
    def pair(self) -> tuple[str, str]:
        """Both algorithms, sorted by name."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    @property
    def is_counted(self) -> bool:
        """Whether it says something of the algorithms, not of the rater."""
        return not (self.repeat or self.gold)

    @property
    def key(self) -> tuple[str, ...]:
        """Two votes with the same key are the same rater's vote on the same pair."""
        return (self.task, self.item, *self.pair, self.rater, str(self.repeat))


def check_unique(votes: Sequence[Vote]) -> None:
    """Raises: RequestError if a rater has voted twice on one pair of one item."""
    seen: set[tuple[str, ...]] = set()
    for vote in votes:
        if vote.key in seen:
            raise RequestError(_duplicate(vote))
        seen.add(vote.key)


def _duplicate(vote: Vote) -> str:
    first, second = vote.pair
    return f"rater {vote.rater!r} has already voted on {first!r} against {second!r} for item {vote.item!r}"


class VoteStore:
    """A file of votes that only grows; each line carries the hash of the one before.

    A changed, removed or moved line is found when the file is read. Several processes may append.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, vote: Vote) -> str:
        """Write a vote down and return its hash, which a rater can keep as a receipt.

        Raises: RequestError for a duplicate, NotFound for a missing folder, InvalidMedia for a broken file.
        """
        if not self.path.parent.is_dir():
            raise NotFound(f"no folder {str(self.path.parent)!r} for the votes; make it first")
        with self._locked("a+") as stream:
            stream.seek(0)
            previous = _GENESIS
            for line in _lines(stream, self.path):
                if line.vote.key == vote.key:
                    raise RequestError(_duplicate(vote))
                previous = line.hash
            content = vote.model_dump(mode="json")
            digest = _digest(previous, content)
            stream.write(json.dumps({"vote": content, "hash": digest}, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        return digest

    def read(self) -> list[Vote]:
        """All votes, oldest first; none if there is no file yet. Raises: InvalidMedia for a broken file."""
        if not self.path.exists():
            return []
        with self._locked("r") as stream:
            return [line.vote for line in _lines(stream, self.path)]

    @contextmanager
    def _locked(self, mode: str) -> Iterator[IO[str]]:
        import fcntl  # not on Windows

        with self.path.open(mode, encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX if "a" in mode else fcntl.LOCK_SH)
            yield stream


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    vote: Vote
    hash: str


def _lines(stream: IO[str], path: Path) -> Iterator[_Line]:
    previous = _GENESIS
    for number, text in enumerate(stream, start=1):
        place = f"{str(path)!r}, line {number}"
        if not text.endswith("\n"):
            raise InvalidMedia(f"{place}: the last vote was not written to its end; remove that line")
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise InvalidMedia(f"{place} is not a vote: {invalid_value(error, 'vote')}") from error
        if line.hash != _digest(previous, line.vote.model_dump(mode="json")):
            raise InvalidMedia(f"{place}: this vote or one before it was changed, moved or removed")
        previous = line.hash
        yield line


def _digest(previous: str, content: dict[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{previous}\n{canonical}".encode()).hexdigest()
