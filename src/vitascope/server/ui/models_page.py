"""The page Models: what runs here, with licences, memory and downloads."""

from __future__ import annotations

import gradio as gr

from vitascope.server.ui import desk as desks
from vitascope.server.ui import fragments
from vitascope.server.ui.room import Room


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
        return fragments.models(mine, self.room.words)
