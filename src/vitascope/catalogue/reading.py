"""The cards as one library: load them, find one, follow what it inherits."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from vitascope.catalogue.card import Architecture, Card, card_of
from vitascope.errors import InvalidMedia, NotFound, UnknownName
from vitascope.settings import Settings

# What is inherited together: a card with a VAE of its own takes no compression factors from its base.
_INHERITED = (("attention",), ("vae", "vae_factors", "vae_channels"), ("positions",), ("text_encoders",))


def read_toml(*path: str) -> dict[str, Any]:
    """A data file of this room, parsed."""
    resource = files("vitascope.catalogue").joinpath(*path)
    return tomllib.loads(resource.read_text(encoding="utf-8"))


@cache
def load_cards() -> Mapping[str, Card]:
    """Every card by its id, in the order of release; cards without a date come last.

    Those of the user's own folder are among them. Raises: InvalidMedia for one of these that is no card.
    """
    folder = files("vitascope.catalogue").joinpath("cards")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    cards = [card_of(name.removesuffix(".toml"), read_toml("cards", name)) for name in names]
    cards += [read_card(path) for path in sorted(own_folder().glob("*.toml"))]
    cards.sort(key=lambda card: (card.released or "9999", card.id))
    return MappingProxyType({card.id: card for card in cards})


def own_folder() -> Path:
    """Where the cards are that this machine's user added."""
    return Settings.from_environment().home / "catalogue"


def read_card(path: Path) -> Card:
    """A card from a file of the user's, whose name is its id. Raises: NotFound, InvalidMedia."""
    if not path.is_file():
        raise NotFound(f"no card at {str(path)!r}")
    try:
        return card_of(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "card"
        raise InvalidMedia(f"{str(path)!r} is no card: {place}: {first['msg']}") from error
    except (ValueError, TypeError) as error:
        raise InvalidMedia(f"{str(path)!r} is no card: {error}") from error


def find_card(card_id: str) -> Card:
    """The card called `card_id`. Raises: UnknownName with the nearest id."""
    cards = load_cards()
    if card_id not in cards:
        raise UnknownName("algorithm", card_id, cards, param="algorithm")
    return cards[card_id]


@cache
def load_foundations() -> Mapping[str, Architecture]:
    """Image models that cards are built on, by id, with the parts that a video algorithm takes over."""
    return MappingProxyType(
        {
            name: Architecture(
                vae=part["vae"],
                vae_factors=tuple(part["vae_factors"]),
                vae_channels=part["vae_channels"],
                text_encoders=tuple(part["text_encoders"]),
            )
            for name, part in read_toml("foundations.toml").items()
        }
    )


def resolve_architecture(card: Card) -> tuple[Architecture, dict[str, str]]:
    """The card's architecture with what its base gives, and which fields came from which base.

    Raises: UnknownName for a base that is neither a card nor a foundation.
    """
    architecture, origin = card.architecture, dict[str, str]()
    base, seen = architecture.base, {card.id}
    while base is not None and base not in seen:
        seen.add(base)
        if base in load_foundations():
            parent = load_foundations()[base]
        elif base in load_cards():
            parent = load_cards()[base].architecture
        else:
            raise UnknownName("base", base, {*load_foundations(), *load_cards()})
        missing = {
            field: getattr(parent, field)
            for group in _INHERITED
            if not getattr(architecture, group[0])
            for field in group
            if getattr(parent, field)
        }
        origin.update(dict.fromkeys(missing, base))
        architecture = architecture.model_copy(update=missing)
        base = parent.base
    return architecture, origin
