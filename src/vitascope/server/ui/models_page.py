"""The page Models: what runs here, and what the catalogue tracks."""

from __future__ import annotations

import gradio as gr

from vitascope.catalogue.reading import load_cards
from vitascope.server.ui import desk as desks
from vitascope.server.ui import fragments
from vitascope.server.ui.stage_view import Room


class ModelsPage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room, words = room, room.words
        search = gr.Textbox(
            label=words["search"], placeholder=words["search_hint"], elem_id="models-search", max_lines=1
        )
        shown = gr.HTML(self._found(""), elem_id="models-list", apply_default_css=False)
        search.change(self._found, search, shown, show_progress="hidden", queue=False)

    def _found(self, text: str) -> str:
        wanted = text.casefold().split()

        def fits(*parts: str) -> bool:
            told = " ".join(parts).casefold()
            return all(word in told for word in wanted)

        mine = [
            choice
            for choice in desks.choices()
            if fits(
                choice.name,
                *choice.tasks,
                choice.known.note if choice.known else "",
                choice.facts.licence if choice.facts else "",
            )
        ]
        tracked = [card for card in load_cards().values() if fits(card.name, card.org, *card.tasks)]
        return fragments.models(mine, sorted(tracked, key=lambda card: card.name.casefold()), self.room.words)
