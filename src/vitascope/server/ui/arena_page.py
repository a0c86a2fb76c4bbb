"""The page Arena: what is open for blind votes, and the board that votes, metrics and costs add up to."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from vitascope.errors import VitascopeError
from vitascope.evaluation.agreement import vote_agreement
from vitascope.evaluation.leaderboard import Board, BoardRow
from vitascope.evaluation.stand import Stand
from vitascope.server.ui.chinese import told
from vitascope.server.ui.room import Room
from vitascope.server.ui.words import Words

MAX_METRICS = 8


class ArenaPage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.boards = gr.HTML("", elem_id="arena-boards", apply_default_css=False)

    def show_when_chosen(self, tab: gr.Tab, blocks: gr.Blocks) -> None:
        """Draw the boards whenever somebody comes to the page."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        for coming in (tab.select, blocks.load):
            coming(self._drawn, None, self.boards, **quiet)

    def _drawn(self, request: gr.Request) -> str:
        self.room.caller(request, "read")
        words = self.room.words
        if not self.room.stands:
            return f'<div class="vs-none">{escape(words["arena_none"])}</div>'
        return "".join(board_of(name, stand, words) for name, stand in self.room.stands.items())


def board_of(name: str, stand: Stand, words: Words) -> str:
    """One run's head, its way to the booths, and its board."""
    votes, clips = [vote for vote in stand.now().votes if vote.is_counted], stand.clips()
    algorithms = {algorithm for files in clips.values() for algorithm in files}
    counted = words("arena_votes", n=len(votes)) if votes else words["arena_no_votes"]
    made = words("arena_items", n=len(clips), m=len(algorithms))
    task = " + ".join(words.named(f"task {code}") for code in stand.task.split("+"))
    address = f"/arena/{escape(name)}"
    vote = (
        f'<a href="{address}/?lang={words.language}">{words["arena_vote"]}</a>' if len(algorithms) > 1 else ""
    )
    head = (
        f"<header><h2>{escape(name)}</h2><small>{task} · {made} · {counted}</small><nav>"
        f'<a class="vs-quiet" href="{address}/scores/?lang={words.language}">{words["arena_score"]}</a>{vote}'
        "</nav></header>"
    )
    try:
        board, note = stand.board()
    except VitascopeError as error:
        return f'<section class="vs-board">{head}<p>{escape(told(str(error), words.language))}</p></section>'
    notes = [note] if note else []
    if votes and not note:
        try:
            notes.append(words("board_alpha", a=f"{vote_agreement(stand.now().votes):.2f}"))
        except VitascopeError as error:  # one rater alone agrees with nobody
            notes.append(str(error))
    rest = "".join(f"<p>{escape(told(text, words.language))}</p>" for text in notes)
    return f'<section class="vs-board">{head}<div>{_table(board, words)}</div>{rest}</section>'


def _table(board: Board, words: Words) -> str:
    metrics = board.columns[:MAX_METRICS]
    heads = [words[f"board_{name}"] for name in ("rating", "interval", "votes", "win_rate")]
    heads += [f"{column.metric} {_arrow(column.direction)}" for column in metrics]
    first = f"<th>{words['board_algorithm']}</th>"
    head = first + "".join(f'<th class="n">{escape(text)}</th>' for text in heads)
    rows = "".join(_row(row, [column.metric for column in metrics], words) for row in board.rows)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _row(row: BoardRow, metrics: list[str], words: Words) -> str:
    rating, cells = row.rating, ["", "", "", ""]
    badge = f" <em>{words[f'badge {row.badge}']}</em>" if row.badge else ""
    if rating is not None:
        cells[2] = str(rating.votes)
        if row.badge != "hidden":
            interval = "" if rating.low is None else f"{rating.low:.0f} – {rating.high:.0f}"
            cells = [f"{rating.rating:.0f}", interval, str(rating.votes), f"{rating.win_rate:.0%}"]
    for metric in metrics:
        mean = row.cells[metric].mean
        cells.append("" if mean is None else f"{mean:.3g}")
    numbers = "".join(f'<td class="n">{text}</td>' for text in cells)
    return f"<tr><td>{escape(row.algorithm)}{badge}</td>{numbers}</tr>"


def _arrow(direction: str) -> str:
    return {"higher": "↑", "lower": "↓"}.get(direction, "")
