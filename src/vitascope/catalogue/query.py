"""Ask the catalogue: which algorithms do this task, fit this card, carry this licence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from vitascope.catalogue.card import Attention, Backbone, Card, LicenceKind, Record, TaskCode, TextEncoder
from vitascope.catalogue.eras import Era, era_of
from vitascope.catalogue.reading import load_cards, resolve_architecture
from vitascope.errors import UnknownName, invalid_value

SortKey = Literal["released", "name", "parameters", "min-memory", "vbench", "vbench-i2v"]


def _checked_date(date: str) -> str:
    if re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?", date) is None:
        raise ValueError("no date; write YYYY, YYYY-MM or YYYY-MM-DD")
    return date


Date = Annotated[str, AfterValidator(_checked_date)]


class CardQuery(Record):
    """Conditions that a card must all meet; those left empty do not count.

    `text` is looked for, letter case aside, in id, name, organisation, notes and facts. A card whose figure
    is unknown never meets a condition on that figure. Units: max_memory_gb as the sources count gigabytes;
    parameters in billions.
    """

    text: str = ""
    task: TaskCode | None = None
    era: Era | None = None
    backbone: Backbone | None = None
    attention: Attention | None = None
    text_encoder: TextEncoder | None = None
    base: str | None = None
    licence: LicenceKind | None = None
    released_since: Date | None = None
    released_until: Date | None = None
    max_memory_gb: float | None = Field(None, gt=0)
    min_parameters: float | None = Field(None, ge=0)
    max_parameters: float | None = Field(None, gt=0)
    in_diffusers: bool | None = None
    in_report: bool | None = None
    sort: SortKey = "released"
    descending: bool = False

    def meets(self, card: Card) -> bool:
        """Whether the card meets every condition."""
        architecture, _ = resolve_architecture(card)
        facts, report = card.facts, card.report
        memory = facts.vram.min_gb if facts.vram else None
        billions = facts.parameters.billions if facts.parameters else None
        pipelines = facts.diffusers.value if facts.diffusers else ()
        released = card.released or ""
        return all(
            (
                self.text.casefold() in _searchable(card),
                self.task is None or self.task in card.tasks,
                self.era is None or era_of(card).era == self.era,
                self.backbone in (None, architecture.backbone),
                self.attention in (None, architecture.attention),
                self.text_encoder is None or self.text_encoder in architecture.text_encoders,
                self.base in (None, architecture.base),
                self.licence is None or (facts.licence is not None and facts.licence.kind == self.licence),
                self.released_since is None or (bool(released) and released >= self.released_since),
                self.released_until is None or (bool(released) and _within(released, self.released_until)),
                self.max_memory_gb is None or (memory is not None and memory <= self.max_memory_gb),
                self.min_parameters is None or (billions is not None and billions >= self.min_parameters),
                self.max_parameters is None or (billions is not None and billions <= self.max_parameters),
                self.in_diffusers is None or self.in_diffusers == bool(pipelines),
                self.in_report is None or self.in_report == (report is not None and report.named),
            )
        )


def query_cards(query: CardQuery | None = None, **conditions: Any) -> tuple[Card, ...]:
    """The cards that meet a query, sorted; cards without the sorting figure come last.

    Conditions may be given by name instead of as a `CardQuery`.
    Raises: UnknownName for a condition that does not exist, RequestError for a value that no card can have.
    """
    if query is None:
        for name in conditions:
            if name not in CardQuery.model_fields:
                raise UnknownName("catalogue condition", name, CardQuery.model_fields, param=name)
        try:
            query = CardQuery(**conditions)
        except ValidationError as error:
            raise invalid_value(error, "catalogue query") from error
    found = [card for card in load_cards().values() if query.meets(card)]
    figure = _FIGURES[query.sort]
    known = [card for card in found if figure(card) is not None]
    known.sort(key=figure, reverse=query.descending)
    return (*known, *(card for card in found if figure(card) is None))


def _within(released: str, until: str) -> bool:
    return released[: len(until)] <= until


def _searchable(card: Card) -> str:
    facts = (getattr(card.facts, name) for name in type(card.facts).model_fields)
    parts = (card.id, card.name, card.org, card.notes, *(fact.text for fact in facts if fact is not None))
    return "\n".join(parts).casefold()


def _total(card: Card, benchmark: Literal["VBench", "VBench-I2V"]) -> float | None:
    row = card.best_score(benchmark)
    return row.total if row else None


_FIGURES: dict[SortKey, Callable[[Card], Any]] = {
    "released": lambda card: card.released,
    "name": lambda card: card.name.casefold(),
    "parameters": lambda card: card.facts.parameters.billions if card.facts.parameters else None,
    "min-memory": lambda card: card.facts.vram.min_gb if card.facts.vram else None,
    "vbench": lambda card: _total(card, "VBench"),
    "vbench-i2v": lambda card: _total(card, "VBench-I2V"),
}
