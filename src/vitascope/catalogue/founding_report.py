"""What the founding report says of the algorithms, beside what upstream says."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Literal

from vitascope.catalogue.card import Record
from vitascope.catalogue.reading import load_cards, read_toml

Verdict = Literal["holds", "in part", "contradicted"]
ReportList = Literal["t2v", "i2v", "motion", "trajectory-i2v", "trajectory-t2v"]


class Statement(Record):
    """A sentence of the report, and what upstream's own text or code says to it."""

    id: str
    said_zh: str
    said_en: str
    verdict: Verdict
    upstream_en: str
    upstream_zh: str
    cards: tuple[str, ...]
    source: str
    read: date


class ReportedSpeed(Record):
    """A row of the report's table on Mochi. Units: seconds for a clip; gigabytes on each GPU."""

    system: str
    gpus: int
    memory_gb_each: float
    seconds: float


def reported_speeds() -> tuple[ReportedSpeed, ...]:
    """The report's four rows on Mochi; it gives neither frames, steps, GPU nor versions."""
    return tuple(ReportedSpeed.model_validate(row) for row in read_toml("founding_report.toml")["speed"])


@cache
def load_statements() -> tuple[Statement, ...]:
    """All statements that were checked."""
    return tuple(Statement.model_validate(entry) for entry in read_toml("founding_report.toml")["statement"])


def statements_about(card_id: str) -> tuple[Statement, ...]:
    """The report's statements that concern one algorithm."""
    return tuple(statement for statement in load_statements() if card_id in statement.cards)


def report_counts() -> dict[ReportList, int]:
    """How many algorithms the report says that it tracked, by its lists."""
    return dict(read_toml("founding_report.toml")["counts"])


def report_selection() -> dict[ReportList, tuple[str, ...]]:
    """The cards that fill the report's lists. The report gives only the lengths: the choice is ours."""
    return {
        task: tuple(
            c.id for c in load_cards().values() if c.report is not None and c.report.counted_as == task
        )
        for task in report_counts()
    }
