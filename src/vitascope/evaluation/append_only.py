"""A file of judgements that only grows: each line carries the hash of the one before."""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vitascope.errors import InvalidMedia, NotFound, RequestError, invalid_value

_GENESIS = "0" * 64


class Judgement(BaseModel):
    """What one person says of clips of an item, blind. `repeat` marks a hidden check that is never counted.

    `item` is what the clips were made from: prompt, conditions, seed. Units: watched_s in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    item: str = Field(min_length=1)
    rater: str = Field(min_length=1)
    at: datetime
    repeat: bool = False
    watched_s: float | None = Field(None, ge=0)

    @field_validator("at")
    @classmethod
    def _says_where(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("a time needs its time zone")
        return at

    @property
    @abstractmethod
    def algorithms(self) -> tuple[str, ...]:
        """Whose clips were judged."""

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """Two judgements with the same key are the same rater's of the same thing."""

    @property
    @abstractmethod
    def said_twice(self) -> str:
        """What to say of a second one with the same key."""


Entry = TypeVar("Entry", bound=Judgement)


def check_unique(entries: Sequence[Judgement]) -> None:
    """Raises: RequestError if a rater has judged the same thing twice."""
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        if entry.key in seen:
            raise RequestError(entry.said_twice)
        seen.add(entry.key)


class _Line(NamedTuple, Generic[Entry]):
    entry: Entry
    hash: str


class AppendOnly(Generic[Entry]):
    """Judgements of one kind in a file. A changed, removed or moved line is found when the file is read.

    Several processes may append.
    """

    kind: ClassVar[type[Judgement]]
    #: What an entry is called, in the file and in messages.
    word: ClassVar[str]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, entry: Entry) -> str:
        """Write one down and return its hash, which a rater can keep as a receipt. Raises: as `extend`."""
        return self.extend([entry])[0]

    def extend(self, entries: Sequence[Entry]) -> list[str]:
        """Write all of them down or none, and return their hashes.

        Raises: RequestError for a duplicate, NotFound for a missing folder, InvalidMedia for a broken file.
        """
        if not self.path.parent.is_dir():
            raise NotFound(f"no folder {str(self.path.parent)!r} for the {self.word}s; make it first")
        with self._locked("a+") as stream:
            stream.seek(0)
            lines = list(self._lines(stream))
            check_unique([*(line.entry for line in lines), *entries])
            previous = lines[-1].hash if lines else _GENESIS
            hashes, texts = [], []
            for entry in entries:
                content = entry.model_dump(mode="json")
                previous = _digest(previous, content)
                hashes.append(previous)
                texts.append(json.dumps({self.word: content, "hash": previous}, ensure_ascii=False) + "\n")
            stream.write("".join(texts))
            stream.flush()
            os.fsync(stream.fileno())
        return hashes

    def read(self) -> list[Entry]:
        """All of them, oldest first; none if there is no file yet. Raises: InvalidMedia for a broken file."""
        if not self.path.exists():
            return []
        with self._locked("r") as stream:
            return [line.entry for line in self._lines(stream)]

    @contextmanager
    def _locked(self, mode: str) -> Iterator[IO[str]]:
        import fcntl  # not on Windows

        with self.path.open(mode, encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX if "a" in mode else fcntl.LOCK_SH)
            yield stream

    def _lines(self, stream: IO[str]) -> Iterator[_Line[Entry]]:
        previous = _GENESIS
        for number, text in enumerate(stream, start=1):
            place = f"{str(self.path)!r}, line {number}"
            if not text.endswith("\n"):
                raise InvalidMedia(
                    f"{place}: the last {self.word} was not written to its end; remove that line"
                )
            try:
                content = json.loads(text)
                entry, said = self.kind.model_validate(content[self.word]), content["hash"]
            except ValidationError as error:
                raise InvalidMedia(
                    f"{place} is not a {self.word}: {invalid_value(error, self.word)}"
                ) from error
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidMedia(f"{place} is not a {self.word}: {error!r}") from error
            digest = _digest(previous, entry.model_dump(mode="json"))
            if said != digest:
                raise InvalidMedia(
                    f"{place}: this {self.word} or one before it was changed, moved or removed"
                )
            previous = digest
            yield _Line(entry, digest)  # type: ignore[arg-type]  # `kind` is Entry's class


def _digest(previous: str, content: dict[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{previous}\n{canonical}".encode()).hexdigest()
