"""What is known of the models that a generator runs: the catalogue's card, what was measured, this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from vitascope.catalogue.card import LicenceKind, Record
from vitascope.catalogue.eras import ERAS, era_of
from vitascope.catalogue.reading import find_card, read_toml, resolve_architecture
from vitascope.engine.machine import Room
from vitascope.generators import known_models
from vitascope.generators.base import KnownModel

UNKNOWN = "?"


class ModelFacts(Record):
    """One row of `vitascope models`, in words. What nobody wrote down is "?".

    `memory`: what it takes, and who says so. `runs_here`: on which device, or why not.
    """

    model: str
    era: str
    attention: str
    vae: str
    positions: str
    text_encoders: str
    licence: str
    licence_kind: LicenceKind | None
    memory: str
    runs_here: str


class OwnMeasurement(Record):
    """What a family took here, as diffusers computes it. Units: GiB at the peak, seconds; size in pixels and frames.

    `step_s` and `decode_s` are None where no quiet card was at hand.
    """

    model: str
    peak_gib: float
    size: tuple[int, int, int]
    step_s: float | None = None
    decode_s: float | None = None
    row: str


@cache
def measured_here() -> dict[str, OwnMeasurement]:
    """Our own measurements, by the id of the card of what was measured; the first where a card has several."""
    cards = {known.name: known.card for _, known in known_models()}
    found = dict[str, OwnMeasurement]()
    for name, row in read_toml("measured.toml").items():
        if (card := cards.get(name)) is not None:
            found.setdefault(card, OwnMeasurement(model=name, **row))
    return found


@cache
def measured_gib() -> dict[str, float]:
    """The memory that models took at their default size, by name. Units: GiB."""
    return {name: float(row["peak_gib"]) for name, row in read_toml("measured.toml").items()}


def facts_of(known: KnownModel, room: Room) -> ModelFacts:
    """The row of a known model on a machine with this much room. Raises: UnknownName for a card that is not there."""
    if known.card is None:
        blank = dict.fromkeys(("era", "attention", "vae", "positions", "text_encoders"), UNKNOWN)
        memory, gib = _memory(known.name, None)
        return ModelFacts(
            model=known.name,
            **blank,
            licence=known.licence or UNKNOWN,
            licence_kind=None,
            memory=memory,
            runs_here=_verdict(known, gib, room),
        )
    card = find_card(known.card)
    architecture, _ = resolve_architecture(card)
    era = era_of(card).era
    memory, gib = _memory(known.name, None if known.repo is None else card.facts.vram)
    factors = architecture.vae_factors
    vae = f"{architecture.vae or UNKNOWN} {'x'.join(map(str, factors))}" if factors else architecture.vae
    return ModelFacts(
        model=known.name,
        era=next((row.title_en for row in ERAS if row.era == era), UNKNOWN),
        attention=architecture.attention or UNKNOWN,
        vae=vae or UNKNOWN,
        positions=_list(architecture.positions),
        text_encoders=_list(architecture.text_encoders),
        licence=known.licence or (card.facts.licence.text if card.facts.licence else UNKNOWN),
        licence_kind=None if known.licence or not card.facts.licence else card.facts.licence.kind,
        memory=memory,
        runs_here=_verdict(known, gib, room),
    )


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or UNKNOWN


def _memory(name: str, stated: object) -> tuple[str, float | None]:
    """What is known of the memory need, and the number that decides whether it fits. Units: GiB."""
    if name in measured_gib():
        return f"{measured_gib()[name]:.0f} GiB (measured)", measured_gib()[name]
    peak, least = getattr(stated, "peak_gb", None), getattr(stated, "min_gb", None)
    gb = peak or least
    return (f"{'' if peak else 'from '}{gb:g} GB (authors)", gb / 1.0737) if gb else (UNKNOWN, None)


def _verdict(known: KnownModel, gib: float | None, room: Room) -> str:
    if known.repo is None:
        return "yes"
    return room.verdict(gib) if gib is not None else UNKNOWN
