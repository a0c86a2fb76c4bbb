"""A card of one's own: checked, written beside the shipped ones, never over another."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from vitascope.atomic import write_bytes
from vitascope.catalogue.card import Card, Facts, LicenceKind, card_of
from vitascope.catalogue.reading import load_cards, own_folder, read_card, resolve_architecture
from vitascope.errors import RequestError, UnknownName, invalid_value


def card_from_answers(card_id: str, answers: dict[str, Any], facts: list[str], source: str) -> Card:
    """A card from what was asked: fields of the card, and facts written NAME=VALUE that `source` states.

    Raises: RequestError, UnknownName for what no card can say.
    """
    today = date.today()
    stated: dict[str, Any] = {}
    for written in facts:
        name, equals, value = written.partition("=")
        if not (equals and value.strip()):
            raise RequestError(f"--fact {written!r} is not NAME=VALUE", param="fact")
        if name not in Facts.model_fields:
            raise UnknownName("fact", name, Facts.model_fields, param="fact")
        stated[name] = {"value": value.strip(), "source": source, "read": today}
    if answers.get("released") and "release" not in stated:
        stated["release"] = {"value": answers["released"], "source": source, "read": today}
    if kind := answers.pop("licence_kind", None):
        if "licence" not in stated:
            raise RequestError(
                "a kind of licence needs the licence itself: --fact licence=...", param="licence"
            )
        stated["licence"]["kind"] = kind
    elif "licence" in stated:
        kinds = ", ".join(get_args(LicenceKind))
        raise RequestError(f"say what kind of licence it is with --licence: {kinds}", param="licence")
    cohort = "2024" if (answers.get("released") or str(today)) < "2025" else "2025-2026"
    content = {"cohort": cohort, "architecture": {}, **answers, "facts": stated}
    try:
        return card_of(card_id, {name: value for name, value in content.items() if value is not None})
    except ValidationError as error:
        raise invalid_value(error, f"card {card_id!r}") from error


def add_card(card: Card, folder: Path | None = None) -> Path:
    """Write a card into the user's catalogue, or a folder.

    Raises: RequestError if there is a card of this id already, UnknownName for a base that is not there.
    """
    folder = own_folder() if folder is None else folder
    path = folder / f"{card.id}.toml"
    if card.id in load_cards() or path.exists():
        raise RequestError(f"there is a card {card.id!r} already; nothing was written", param="id")
    resolve_architecture(card)
    text = card_toml(card)
    assert card_of(card.id, tomllib.loads(text)) == card
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    load_cards.cache_clear()
    return path


def copy_card(path: Path, folder: Path | None = None) -> Path:
    """Check a TOML file whose name is the card's id, and add it. Raises: as `read_card` and `add_card`."""
    return add_card(read_card(path), folder)


def card_toml(card: Card) -> str:
    """The card as a file: what is unknown is left out."""
    content = card.model_dump(exclude_none=True, exclude_defaults=True, exclude={"id"})
    plain = {
        name: value
        for name, value in content.items()
        if name not in ("report", "architecture", "facts", "scores")
    }
    lines = [f"{name} = {_value(value)}" for name, value in plain.items()]
    for table in ("report", "architecture", "facts"):
        part = content.get(table)
        if part is not None or table in ("architecture", "facts"):
            lines += [
                "",
                f"[{table}]",
                *(f"{name} = {_value(value)}" for name, value in (part or {}).items()),
            ]
    for row in content.get("scores", ()):
        lines += ["", "[[scores]]", *(f"{name} = {_value(value)}" for name, value in row.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """One value in TOML's spelling; what JSON escapes in a string, TOML reads the same."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
