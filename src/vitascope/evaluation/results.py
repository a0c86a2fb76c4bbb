"""What a run has made and measured, in one SQLite file that any tool can open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vitascope.errors import InvalidMedia
from vitascope.evaluation.leaderboard import Measurement

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
    algorithm TEXT NOT NULL, item TEXT NOT NULL, chain TEXT NOT NULL, recipe_hash TEXT, path TEXT,
    seconds REAL, memory_gib REAL, machine TEXT NOT NULL, failed TEXT, PRIMARY KEY (algorithm, item)
);
CREATE TABLE IF NOT EXISTS measurements (
    algorithm TEXT NOT NULL, item TEXT NOT NULL, metric TEXT NOT NULL, tier TEXT NOT NULL, unit TEXT NOT NULL,
    direction TEXT NOT NULL, value REAL, not_measured TEXT, PRIMARY KEY (algorithm, item, metric)
);
"""
Row = TypeVar("Row", bound=BaseModel)


class MadeClip(BaseModel):
    """What became of one item in one algorithm's hands: a file and its cost, or why there is none.

    `path` is relative to the run's folder and named after `recipe_hash`, so that two algorithms that were
    asked for the same share one file; `chain` holds the algorithm's knobs.
    Units: seconds, loading left out; GiB of GPU memory at the peak, None on a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    item: str
    chain: str
    recipe_hash: str | None = None
    path: str | None = None
    seconds: float | None = None
    memory_gib: float | None = None
    machine: str = ""
    failed: str | None = None


class Results:
    """The file `results.sqlite` of a run. A row is written in one transaction and replaces an older one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clips(self) -> list[MadeClip]:
        """What has been made so far, in the order of its making. Raises: InvalidMedia."""
        return self._rows("clips", MadeClip)

    def measurements(self) -> list[Measurement]:
        """What has been measured so far. Raises: InvalidMedia."""
        return self._rows("measurements", Measurement)

    def put(self, *rows: MadeClip | Measurement) -> None:
        """Write rows down, all or none of them. Raises: InvalidMedia."""
        with self._connected() as connection, connection:
            for row in rows:
                table = "clips" if isinstance(row, MadeClip) else "measurements"
                fields = row.model_dump()
                columns, marks = ", ".join(fields), ", ".join(f":{name}" for name in fields)
                keys = "algorithm, item" + ("" if table == "clips" else ", metric")
                changes = ", ".join(f"{name} = excluded.{name}" for name in fields if name not in keys)
                connection.execute(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks}) "
                    f"ON CONFLICT ({keys}) DO UPDATE SET {changes}",
                    fields,
                )

    def _rows(self, table: str, kind: type[Row]) -> list[Row]:
        if not self.path.is_file():
            return []
        try:
            with self._connected() as connection:
                rows = connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
            return [kind.model_validate(dict(row)) for row in rows]
        except ValidationError as error:
            raise InvalidMedia(f"{str(self.path)!r} is not a record of a suite's run: {error}") from error

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection:
                connection.row_factory = sqlite3.Row
                connection.executescript(_SCHEMA)
                yield connection
        except sqlite3.DatabaseError as error:
            raise InvalidMedia(f"{str(self.path)!r} is not a record of a suite's run: {error}") from error
