"""The HTML of the page Catalogue: rows of algorithms, and one card with all that is known and where it was read."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vitascope.catalogue.card import Card, Facts
from vitascope.catalogue.compare import view_card
from vitascope.catalogue.eras import ERAS, era_of
from vitascope.catalogue.reading import find_card, resolve_architecture
from vitascope.server.ui.words import Words

_ARCHITECTURE = (
    "backbone",
    "attention",
    "vae",
    "vae_factors",
    "vae_channels",
    "positions",
    "text_encoders",
    "traits",
    "control",
    "base",
)


def era_title(card: Card, words: Words) -> str:
    """The era of an algorithm in the page's language; empty where too little is known."""
    era = era_of(card).era
    return next(
        (row.title_zh if words.language == "zh" else row.title_en for row in ERAS if row.era == era), ""
    )


def listed(cards: Sequence[Card], num_all: int, words: Words) -> str:
    """Algorithms as rows; a click on one says which."""
    count = f'<p class="vs-count" role="status">{words("found_of", n=len(cards), all=num_all)}</p>'
    if not cards:
        return f'{count}<div class="vs-none">{words["none_found"]}</div>'
    return f'{count}<div class="vs-rows">{"".join(_row(card, words) for card in cards)}</div>'


def _row(card: Card, words: Words) -> str:
    tasks = "".join(f"<span>{escape(words.named(f'task {task}'))}</span>" for task in card.tasks[:4])
    size, licence = card.facts.parameters, card.facts.licence
    facts = [card.org, era_title(card, words)]
    facts += [f"{size.billions:g} B"] if size and size.billions else []
    kind = (
        f'<em class="vs-licence vs-{licence.kind}">{words[f"licence {licence.kind}"]}</em>' if licence else ""
    )
    named = f'<i title="{words["named_in_report"]}">●</i>' if card.report and card.report.named else ""
    return (
        f'<button type="button" class="vs-row" data-card="{card.id}"><span><b>{escape(card.name)}</b>{named}'
        f"<time>{escape(card.released or '')}</time></span>"
        f"<small>{escape(' · '.join(filter(None, facts)))}</small>"
        f'<span class="vs-chips">{tasks}{kind}</span></button>'
    )


def nothing_chosen(words: Words) -> str:
    """What stands where a card will be."""
    return f'<div class="vs-none vs-tall">{words["choose_algorithm"]}</div>'


def card(card_id: str, words: Words) -> str:
    """One algorithm: architecture, facts with sources and dates, scores, what the founding report got otherwise."""
    found, view = find_card(card_id), view_card(card_id)
    tasks = "".join(f"<span>{escape(words.named(f'task {task}'))}</span>" for task in found.tasks)
    era = era_title(found, words)
    because = f"<small>{escape(', '.join(era_of(found).because))}</small>"
    parts = [
        f"<header><h2>{escape(found.name)}</h2><time>{escape(found.released or '')}</time></header>"
        f"<p>{escape(found.org)}</p>"
        f'<div class="vs-chips">{tasks}</div>'
        + (f'<p class="vs-era"><b>{escape(era)}</b> {because}</p>' if era else ""),
        f"<p>{escape(found.notes)}</p>" if found.notes else "",
        _section(words["architecture"], _architecture(found, words)),
        _section(words["facts"], _facts(found, words)),
        _section("VBench", _scores(found)),
    ]
    wrong = [statement for statement in view.statements if statement.verdict == "contradicted"]
    said = "".join(
        f"<li>{escape(s.upstream_zh if words.language == 'zh' else s.upstream_en)}</li>" for s in wrong
    )
    parts.append(_section(words["report_said_otherwise"], f"<ul>{said}</ul>" if said else ""))
    return f'<article class="vs-algorithm">{"".join(parts)}</article>'


def _section(title: str, content: str) -> str:
    return f"<section><h3>{escape(title)}</h3>{content}</section>" if content else ""


def _architecture(card_: Card, words: Words) -> str:
    architecture, inherited = resolve_architecture(card_)
    rows = ""
    for name in _ARCHITECTURE:
        value = getattr(architecture, name)
        if not value:
            continue
        text = value if isinstance(value, str) else str(value)
        if isinstance(value, tuple):
            text = (" × " if name == "vae_factors" else ", ").join(str(part) for part in value)
        origin = (
            f" <small>{words('taken_from', name=escape(inherited[name]))}</small>"
            if name in inherited
            else ""
        )
        rows += f"<div><dt>{escape(words.named(f'fact {name}'))}</dt><dd>{escape(text)}{origin}</dd></div>"
    return f"<dl>{rows}</dl>" if rows else ""


def _facts(card_: Card, words: Words) -> str:
    rows = ""
    for name in Facts.model_fields:
        fact = getattr(card_.facts, name)
        if fact is not None:
            label = escape(words.named(f"fact {name}"))
            source = _source(fact.source, str(fact.read), words)
            rows += f"<div><dt>{label}</dt><dd>{escape(fact.text)}{source}</dd></div>"
    unknown = ", ".join(words.named(f"fact {name}") for name in card_.unknown)
    rest = f'<p class="vs-unknown">{words("unpublished", names=escape(unknown))}</p>' if unknown else ""
    return f"<dl>{rows}</dl>{rest}" if rows else rest


def _source(source: str, read: str, words: Words) -> str:
    """Where something was read; nothing is asked of that place unless somebody clicks."""
    address, shown = source.split(" ")[0], escape(source)
    if address.startswith("https://"):
        shown = f'<a href="{escape(address)}" target="_blank" rel="noreferrer noopener">{shown}</a>'
    return f'<small class="vs-source">{shown} · {words("read_on", date=read)}</small>'


def _scores(card_: Card) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.benchmark)}</td><td>{'' if row.total is None else f'{row.total:.2f}'}</td>"
        f"<td>{escape(row.kind)}</td><td>{escape(row.variant)}</td><td>{escape(row.source)}</td></tr>"
        for row in card_.scores
    )
    return f'<div class="vs-scores"><table>{rows}</table></div>' if rows else ""
