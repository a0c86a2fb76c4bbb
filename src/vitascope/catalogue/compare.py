"""Lay algorithms side by side, and say what must not be compared."""

from __future__ import annotations

from collections.abc import Sequence

from vitascope.catalogue.card import BenchmarkScore, Card, Facts, Record
from vitascope.catalogue.eras import ERAS, era_of
from vitascope.catalogue.founding_report import Statement, statements_about
from vitascope.catalogue.reading import find_card, resolve_architecture
from vitascope.errors import RequestError

UNKNOWN = "unknown"
_ARCHITECTURE_ROWS = (
    "backbone",
    "attention",
    "vae",
    "vae_factors",
    "vae_channels",
    "positions",
    "text_encoders",
)


class Cell(Record):
    """One value of a comparison. `source` is empty for what is derived; `inherited_from` names the base."""

    text: str
    source: str = ""
    inherited_from: str = ""


class Row(Record):
    """One line of a comparison, a cell for each algorithm; `differs` among those whose value is known."""

    label: str
    cells: tuple[Cell, ...]
    differs: bool


class CardView(Record):
    """A card as it is shown: with its era, what it inherits, and what the founding report said of it."""

    card: Card
    era: str
    because: tuple[str, ...]
    inherited: dict[str, str]
    statements: tuple[Statement, ...]


class Comparison(Record):
    """Algorithms side by side, with cautions about figures that do not belong on one scale."""

    cards: tuple[str, ...]
    rows: tuple[Row, ...]
    cautions: tuple[str, ...]


def view_card(card_id: str) -> CardView:
    """All that is known of one algorithm. Raises: UnknownName."""
    card = find_card(card_id)
    verdict = era_of(card)
    titles = {row.era: row.title_en for row in ERAS}
    return CardView(
        card=card,
        era=titles[verdict.era] if verdict.era else UNKNOWN,
        because=verdict.because,
        inherited=resolve_architecture(card)[1],
        statements=statements_about(card_id),
    )


def compare_cards(card_ids: Sequence[str]) -> Comparison:
    """Two or more algorithms side by side.

    Raises: UnknownName, RequestError for fewer than two or for repeats.
    """
    if len(card_ids) < 2 or len(set(card_ids)) < len(card_ids):
        raise RequestError(f"a comparison needs two or more different algorithms, not {list(card_ids)}")
    cards = [find_card(card_id) for card_id in card_ids]
    rows = [
        _row("organisation", [Cell(text=card.org) for card in cards]),
        _row("tasks", [Cell(text=", ".join(card.tasks)) for card in cards]),
        _row("era", [Cell(text=view_card(card.id).era) for card in cards]),
        *(_architecture_row(field, cards) for field in _ARCHITECTURE_ROWS),
        *(_fact_row(name, cards) for name in Facts.model_fields),
        *(_score_row(benchmark, cards) for benchmark in ("VBench", "VBench-I2V")),
    ]
    shown = tuple(row for row in rows if any(cell.text != UNKNOWN for cell in row.cells))
    return Comparison(cards=tuple(card_ids), rows=shown, cautions=tuple(_cautions(cards)))


def _row(label: str, cells: Sequence[Cell]) -> Row:
    known = {cell.text for cell in cells if cell.text != UNKNOWN}
    return Row(label=label, cells=tuple(cells), differs=len(known) > 1)


def _architecture_row(field: str, cards: Sequence[Card]) -> Row:
    cells = []
    for card in cards:
        architecture, origin = resolve_architecture(card)
        value = getattr(architecture, field)
        cells.append(Cell(text=_text(field, value), inherited_from=origin.get(field, "")))
    return _row(field.replace("_", " "), cells)


def _text(field: str, value: object) -> str:
    if not value:
        return UNKNOWN
    if isinstance(value, tuple):
        return ("x" if field == "vae_factors" else " + ").join(str(part) for part in value)
    return str(value)


def _fact_row(name: str, cards: Sequence[Card]) -> Row:
    facts = [getattr(card.facts, name) for card in cards]
    label = name.replace("_", " ") + " (as stated)"
    return _row(
        label, [Cell(text=f.text or "none", source=f.source) if f else Cell(text=UNKNOWN) for f in facts]
    )


def _score_row(benchmark: str, cards: Sequence[Card]) -> Row:
    best = [card.best_score(benchmark) for card in cards]  # type: ignore[arg-type]
    return _row(f"{benchmark} total, percent", [_score_cell(row) for row in best])


def _score_cell(row: BenchmarkScore | None) -> Cell:
    if row is None:
        return Cell(text=UNKNOWN)
    variant = f"; {row.variant}" if row.variant else ""
    return Cell(text=f"{row.total:.2f} ({row.kind}{variant})", source=row.source)


def _cautions(cards: Sequence[Card]) -> list[str]:
    cautions = []
    best = [card.best_score("VBench") for card in cards]
    kinds = {row.kind for row in best if row}
    if len(kinds) > 1:
        cautions.append(
            f"VBench rows were published by different hands ({', '.join(sorted(kinds))}): "
            "differences under about one point say nothing"
        )
    elif sum(row is not None for row in best) > 1:
        cautions.append("VBench totals move by 1 to 1.6 points with prompt rewriting and sampler alone")
    for card in cards:
        cautions += [
            f"{card.id}: the {row.benchmark} row {row.total} is corrupt at its source and is not used"
            for row in card.scores
            if row.kind == "corrupt"
        ]
        if card.facts.licence is None:
            cautions.append(f"{card.id}: no licence was found")
        elif card.facts.licence.kind == "non-commercial":
            cautions.append(f"{card.id}: not for commercial use")
        cautions += [
            f"{card.id}: the founding report's statement {statement.id!r} is contradicted by upstream"
            for statement in statements_about(card.id)
            if statement.verdict == "contradicted"
        ]
    return cautions
