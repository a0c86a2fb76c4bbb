"""The page Catalogue: every tracked algorithm, by task, era and licence; one card with its sources; the timeline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gradio as gr

from vitascope.catalogue.eras import ERAS
from vitascope.catalogue.figures import timeline_svg
from vitascope.catalogue.query import query_cards
from vitascope.catalogue.reading import load_cards
from vitascope.errors import DependencyMissing, VitascopeError
from vitascope.server.ui import catalogue_fragments as fragments
from vitascope.server.ui.room import Room

SORTS = {
    "newest": ("released", True),
    "oldest": ("released", False),
    "by_name": ("name", False),
    "by_size": ("parameters", True),
    "by_memory": ("min-memory", False),
    "by_vbench": ("vbench", True),
}
LICENCES = ("open", "conditions", "non-commercial", "code-only")
PICK_CARD = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-card]');
  if (card) trigger('click', {card: card.dataset.card});
});
"""


class CataloguePage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room, words = room, room.words
        chinese = words.language == "zh"
        with gr.Accordion(
            words["timeline"], open=False, elem_id="catalogue-timeline-box", elem_classes="vs-details"
        ) as box:
            self.timeline = gr.HTML("", elem_id="catalogue-timeline", apply_default_css=False)
        with gr.Row(elem_classes="vs-filters"):
            text = gr.Textbox(
                label=words["search"],
                placeholder=words["catalogue_hint"],
                max_lines=1,
                min_width=200,
                scale=2,
                elem_id="catalogue-search",
            )
            everything = (words["all"], "")
            tasks = list(dict.fromkeys(task for card in load_cards().values() for task in card.tasks))
            task = self._choice("task", [everything, *((words.named(f"task {t}"), t) for t in tasks)])
            eras = [(row.title_zh if chinese else row.title_en, row.era) for row in ERAS]
            era = self._choice("era", [everything, *eras])
            licence = self._choice("licence", [everything, *((words[f"licence {k}"], k) for k in LICENCES)])
            sort = self._choice("sort", [(words[name], name) for name in SORTS], value="newest")
        with gr.Row(elem_classes="vs-jobs"):
            with gr.Column(scale=6, min_width=300):
                self.list = gr.HTML(
                    self._found("", "", "", "", "newest"),
                    elem_id="catalogue-list",
                    js_on_load=PICK_CARD,
                    apply_default_css=False,
                )
            with gr.Column(scale=7, min_width=300, elem_classes="vs-right"):
                self.card = gr.HTML(
                    fragments.nothing_chosen(words), elem_id="catalogue-card", apply_default_css=False
                )
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        conditions: list[Any] = [text, task, era, licence, sort]
        for condition in conditions:
            condition.change(self._found, conditions, self.list, **quiet)
        self.list.click(self._chosen, None, self.card, **quiet)
        box.expand(lambda: timeline(words.language), None, self.timeline, **quiet)

    def _choice(self, name: str, choices: list[tuple[str, str]], value: str = "") -> gr.Dropdown:
        return gr.Dropdown(
            choices, value=value, label=self.room.words[name], min_width=130, elem_id=f"catalogue-{name}"
        )

    def _found(self, text: str, task: str, era: str, licence: str, sort: str) -> str:
        key, descending = SORTS[sort]
        try:
            found = query_cards(
                text=(text or "").strip(),
                task=task or None,
                era=era or None,
                licence=licence or None,
                sort=key,
                descending=descending,
            )
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        return fragments.listed(found, len(load_cards()), self.room.words)

    def _chosen(self, event: gr.EventData) -> str:
        if event.card not in load_cards():
            return fragments.nothing_chosen(self.room.words)
        return fragments.card(event.card, self.room.words)


@lru_cache(maxsize=2)
def timeline(language: str) -> str:
    """The figure of the eras; where the package that draws it is missing, which one that is."""
    try:
        drawing = timeline_svg(language="zh" if language == "zh" else "en")
    except DependencyMissing as error:
        return f'<div class="vs-none">{error}</div>'
    return f'<div class="vs-timeline">{drawing[drawing.index("<svg") :]}</div>'
