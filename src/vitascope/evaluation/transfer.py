"""Judgements as files for other programs and other machines: JSON lines or CSV, out and in again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitascope.atomic import write_bytes
from vitascope.errors import InvalidMedia, NotFound, RequestError, invalid_value
from vitascope.evaluation.append_only import AppendOnly, Entry, Judgement
from vitascope.evaluation.suites import Suite

FORMATS = (".jsonl", ".csv")


def export(entries: Sequence[Judgement], path: Path) -> Path:
    """Write judgements into a .jsonl or .csv file, one a line. Raises: RequestError, NotFound, DiskFull."""
    _check_format(path)
    if not entries:
        raise RequestError("there is nothing to export: nobody has judged these clips yet")
    rows = [entry.model_dump(mode="json") for entry in entries]
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
    return write_bytes(path, text.encode())


def import_into(store: AppendOnly[Entry], path: Path, suite: Suite, algorithms: Mapping[str, Any]) -> int:
    """Append the judgements of a file to a run's, all of them or none, and say how many there were.

    `algorithms`: those that have a clip, by item. Raises: NotFound, InvalidMedia with the line that is wrong,
    RequestError for a judgement of a clip that the run does not have, or one that is there already.
    """
    _check_format(path)
    if not path.is_file():
        raise NotFound(f"no file of {store.word}s at {str(path)!r}")
    codes = {item.id: item.task_code for item in suite.items}
    entries = list[Entry]()
    for number, row in _rows(path):
        place = f"{str(path)!r}, line {number}"
        try:
            entry: Any = store.kind.model_validate(row)
        except ValidationError as error:
            raise InvalidMedia(f"{place}: {invalid_value(error, store.word)}") from error
        if codes.get(entry.item) is None:
            raise RequestError(f"{place}: the suite {suite.name!r} has no item {entry.item!r}")
        if entry.task != codes[entry.item]:
            raise RequestError(
                f"{place}: item {entry.item!r} is of the task {codes[entry.item]!r}, not {entry.task!r}"
            )
        if unknown := sorted(set(entry.algorithms) - set(algorithms.get(entry.item, ()))):
            raise RequestError(f"{place}: {unknown[0]!r} has no clip of item {entry.item!r} here")
        entries.append(entry)
    if not entries:
        raise InvalidMedia(f"{str(path)!r} holds no {store.word}s")
    store.extend(entries)
    return len(entries)


def _check_format(path: Path) -> None:
    if path.suffix not in FORMATS:
        raise RequestError(f"{path.name!r} is neither .jsonl nor .csv", param="file")


def _rows(path: Path) -> list[tuple[int, Any]]:
    """Each row and the number of its line. The lines of a run's own file are taken without their hashes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMedia(f"{str(path)!r} is not text in UTF-8") from error
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:  # An empty cell is a field that was not given.
            return [
                (reader.line_num, {name: cell for name, cell in row.items() if cell not in ("", None)})
                for row in reader
            ]
        except csv.Error as error:
            raise InvalidMedia(f"{str(path)!r}, line {reader.line_num + 1}: {error}") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # other line ends may stand in a name
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidMedia(f"{str(path)!r}, line {number}: not JSON: {error}") from error
        if isinstance(row, dict) and row.keys() in ({"vote", "hash"}, {"opinion", "hash"}):
            row = next(iter(row.values()))
        rows.append((number, row))
    return rows
