"""The whole catalogue as one page that needs nothing else: look, search, sort, open the sources."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files

from vitascope.catalogue.card import Card
from vitascope.catalogue.compare import view_card
from vitascope.catalogue.eras import ERAS, era_of
from vitascope.catalogue.figures import Language, timeline_svg
from vitascope.catalogue.reading import load_cards, resolve_architecture


def catalogue_page(language: Language = "en") -> str:
    """HTML with every card, a search, filters by task, era and licence, and the timeline, in both languages.

    It opens in `language` and asks no other host for anything; links are followed only if clicked.
    Raises: DependencyMissing without matplotlib.
    """
    template = files("vitascope.catalogue").joinpath("page.html").read_text(encoding="utf-8")
    eras = {row.era: {"en": row.title_en, "zh": row.title_zh} for row in ERAS}
    parts = {
        "@LANGUAGE@": language,
        "@CARDS@": _for_script([_entry(card) for card in load_cards().values()]),
        "@ERAS@": _for_script(eras),
        "@TIMELINE_EN@": _inline(timeline_svg(language="en"), "en"),
        "@TIMELINE_ZH@": _inline(timeline_svg(language="zh"), "zh"),
        "@COUNT@": escape(str(len(load_cards()))),
    }
    for mark, text in parts.items():
        template = template.replace(mark, text)
    return template


def _entry(card: Card) -> dict[str, object]:
    architecture, inherited = resolve_architecture(card)
    facts = {name: getattr(card.facts, name) for name in type(card.facts).model_fields}
    score = card.best_score("VBench")
    return {
        "id": card.id,
        "name": card.name,
        "org": card.org,
        "tasks": card.tasks,
        "released": card.released,
        "era": era_of(card).era,
        "licence": card.facts.licence.kind if card.facts.licence else None,
        "billions": card.facts.parameters.billions if card.facts.parameters else None,
        "memory": card.facts.vram.min_gb if card.facts.vram else None,
        "vbench": score.total if score else None,
        "notes": card.notes,
        "named": bool(card.report and card.report.named),
        "statements": [
            {"verdict": statement.verdict, "en": statement.upstream_en, "zh": statement.upstream_zh}
            for statement in view_card(card.id).statements
        ],
        "architecture": architecture.model_dump(mode="json", exclude_defaults=True),
        "inherited": inherited,
        "facts": {
            name: {"text": fact.text, "source": fact.source, "read": str(fact.read)}
            for name, fact in facts.items()
            if fact
        },
        "scores": [row.model_dump(mode="json", exclude_none=True) for row in card.scores],
    }


def _for_script(data: object) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _inline(svg: str, prefix: str) -> str:
    """An SVG inside a page: no prologue, and ids that do not meet those of the other drawing."""
    drawing = svg[svg.index("<svg") :]
    for before, after in (('id="', 'id="{}-'), ("url(#", "url(#{}-"), ('href="#', 'href="#{}-')):
        drawing = drawing.replace(before, after.format(prefix))
    return drawing
