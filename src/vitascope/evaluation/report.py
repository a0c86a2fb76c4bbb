"""A board as one HTML page that needs nothing else, in English or Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Literal

from vitascope.atomic import write_bytes
from vitascope.evaluation.leaderboard import PRELIMINARY_UNDER, Board, BoardRow, Cell, Column
from vitascope.metrics.base import Direction, Tier

Language = Literal["en", "zh"]

_TEXT = {
    "en": {
        "ratings": "Blind votes",
        "algorithm": "Algorithm",
        "metric": "Metric",
        "rating": "Rating",
        "interval": "95 % interval",
        "ranks": "Ranks left open",
        "votes": "Votes",
        "items": "Items",
        "wins": "Wins",
        "ties": "Ties",
        "hidden": "too few votes to show",
        "preliminary": "preliminary",
        "no votes": "no votes",
        "costs": "Cost of one clip",
        "seconds": "Seconds",
        "memory": "Memory, GiB",
        "published": "Published by others, quoted",
        "benchmark": "Benchmark",
        "total": "Total, %",
        "kind": "Published by",
        "source": "Source",
        "missing": "Not measured",
        "method": "How to read this page",
        "exact": "Measured, by published definitions",
        "variant": "Measured, by variants of our own: not comparable with the literature",
        "needs weights": "Measured with weights",
        "higher": "higher is better",
        "lower": "lower is better",
        "neither": "describes, does not rank",
        "on": "on",
        "method_text": (
            "Ratings are Bradley-Terry strengths, 400 points for odds of ten to one, their mean 1000; ties count "
            "half. Intervals are clustered by item, since votes on one prompt are not independent. Rows are "
            "sorted by the lower bound. Means of metrics are over items, with Student intervals. A metric that "
            "could not be measured has no value and is never zero."
        ),
    },
    "zh": {
        "ratings": "盲投评分",
        "algorithm": "算法",
        "metric": "指标",
        "rating": "评分",
        "interval": "95% 置信区间",
        "ranks": "可能名次",
        "votes": "票数",
        "items": "条目数",
        "wins": "胜率",
        "ties": "平局率",
        "hidden": "票数过少，不予显示",
        "preliminary": "初步结果",
        "no votes": "尚无投票",
        "costs": "单个视频的开销",
        "seconds": "耗时（秒）",
        "memory": "显存（GiB）",
        "published": "他人公布的数值（引用）",
        "benchmark": "基准",
        "total": "总分（%）",
        "kind": "公布者",
        "source": "来源",
        "missing": "未测量",
        "method": "阅读说明",
        "exact": "按公开定义测得",
        "variant": "按自有变体测得：不可与文献数值比较",
        "needs weights": "借助权重测得",
        "higher": "越高越好",
        "lower": "越低越好",
        "neither": "仅作描述，不排名",
        "on": "运行于",
        "method_text": (
            "评分为 Bradley-Terry 强度，400 分对应十比一的胜率，均值为 1000，平局各计半胜。区间按条目聚类，"
            "因为同一提示词上的投票并不独立。各行按区间下界排序。指标为各条目均值，附学生 t 区间。"
            "未能测量的指标没有数值，绝不记为零。"
        ),
    },
}
_STYLE = (
    "body{font:15px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c1c1c}table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}th,td{padding:.3rem .6rem;"
    "border-bottom:1px solid #ddd;text-align:left;vertical-align:top}th{font-weight:600}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}small,.quiet{color:#666}.wide{overflow-x:auto}summary{cursor:pointer}"
)


def board_html(board: Board, title: str, language: Language = "en") -> str:
    """The page. Nothing in it is fetched from elsewhere; links lead to the sources of quoted figures."""
    text = _TEXT[language]
    sections = [*board_sections(board, language), f"<h2>{text['method']}</h2><p>{text['method_text']}</p>"]
    heading = f"<h1>{escape(title)}</h1><p class=quiet>{escape(board.task)}</p>"
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang={language}><head>{head}</head><body>{heading}{''.join(sections)}</body></html>"


def board_sections(board: Board, language: Language = "en") -> list[str]:
    """The tables of a board as pieces of HTML, those that would be empty left out."""
    text = _TEXT[language]
    tiers: tuple[Tier, ...] = ("exact", "variant", "needs weights")
    sections = [
        _ratings(board, text),
        *(_metrics(board, tier, text) for tier in tiers),
        _costs(board, text),
        _published(board.rows, text),
        _missing(board, text),
    ]
    return [section for section in sections if section]


def method_text(language: Language) -> str:
    """How ratings, intervals and means are to be read."""
    return _TEXT[language]["method_text"]


def write_report(board: Board, path: str | Path, title: str, language: Language = "en") -> Path:
    """Write the page in one move. Raises: NotFound, DiskFull."""
    return write_bytes(path, board_html(board, title, language).encode())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; those that start with a digit or a sign stand to the right."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(_td(cell) for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _td(cell: str) -> str:
    start = cell.removeprefix("<b>")[:1]
    return f"<td class=n>{cell}</td>" if start.isdigit() or start in "-−" else f"<td>{cell}</td>"


def _ratings(board: Board, text: dict[str, str]) -> str:
    if not any(row.rating for row in board.rows):
        return ""
    header = [
        text[key] for key in ("algorithm", "rating", "interval", "ranks", "votes", "items", "wins", "ties")
    ]
    return f"<h2>{text['ratings']}</h2>{_forest(board.rows)}" + table(
        [*header, ""], (_rating_row(row, text) for row in board.rows)
    )


def _rating_row(row: BoardRow, text: dict[str, str]) -> list[str]:
    name, rating = escape(row.algorithm), row.rating
    if rating is None or row.badge == "hidden":
        votes = "0" if rating is None else str(rating.votes)
        return [name, "", "", "", votes, "", "", "", f"<small>{text[row.badge]}</small>"]
    bounds = f"{rating.low:.0f} – {rating.high:.0f}" if rating.low is not None else ""
    ranks = (
        str(rating.rank_low)
        if rating.rank_low == rating.rank_high
        else f"{rating.rank_low}–{rating.rank_high}"
    )
    remarks = [text[row.badge]] if row.badge else []
    remarks += [escape(rating.note)] if rating.note else []
    shares = [f"{share:.0%}" for share in (rating.win_rate, rating.tie_rate)]
    counts = [str(rating.votes), str(rating.items)]
    return [
        name,
        f"{rating.rating:.0f}",
        bounds,
        ranks,
        *counts,
        *shares,
        f"<small>{'; '.join(remarks)}</small>",
    ]


def _forest(rows: Sequence[BoardRow]) -> str:
    """Ratings and their intervals drawn to one scale."""
    shown = [
        row.rating for row in rows if row.rating and row.rating.low is not None and row.badge != "hidden"
    ]
    if not shown:
        return ""
    low, high = min(r.low or 0 for r in shown), max(r.high or 0 for r in shown)
    scale, height = 500 / max(high - low, 1), 22
    marks = []
    for place, rating in enumerate(shown):
        y = 14 + place * height
        left, right, middle = (
            200 + (x - low) * scale for x in (rating.low or 0, rating.high or 0, rating.rating)
        )
        colour = "#3b6ea5" if rating.votes >= PRELIMINARY_UNDER else "#9bb4cf"
        marks.append(
            f'<text x="190" y="{y + 4}" text-anchor="end" font-size="12">{escape(rating.name)}</text>'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{middle:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
        )
    box = f"0 0 720 {height * len(shown) + 8}"
    return f'<svg viewBox="{box}" role="img" style="max-width:45rem">{"".join(marks)}</svg>'


def _metrics(board: Board, tier: str, text: dict[str, str]) -> str:
    columns = [column for column in board.columns if column.tier == tier and _any_measured(board, column)]
    if not columns:
        return ""
    names = [escape(row.algorithm) for row in board.rows]
    rows = (
        [
            f"{escape(c.metric)}<br><small>{escape(c.unit)}, {text[c.direction]}</small>",
            *_cells([row.cells[c.metric] for row in board.rows], c.direction),
        ]
        for c in columns
    )
    return f"<h2>{text[tier]}</h2>" + table([text["metric"], *names], rows)


def _cells(cells: Sequence[Cell], direction: Direction) -> list[str]:
    """A metric's cells; one is marked that is better than all others by more than either's interval."""
    shown = [_cell(cell) for cell in cells]
    if direction == "neither":
        return shown
    sign = 1 if direction == "higher" else -1
    order = sorted(
        (place for place, cell in enumerate(cells) if cell.mean is not None),
        key=lambda place: -sign * (cells[place].mean or 0.0),
    )
    if len(order) > 1 and all(_is_clear(cells[order[0]], cells[place]) for place in order[1:]):
        shown[order[0]] = f"<b>{shown[order[0]]}</b>"
    return shown


def _is_clear(best: Cell, other: Cell) -> bool:
    reach = max((cell.high or 0.0) - (cell.low or 0.0) for cell in (best, other)) / 2
    return abs((best.mean or 0.0) - (other.mean or 0.0)) > reach


def _any_measured(board: Board, column: Column) -> bool:
    return any(row.cells[column.metric].mean is not None for row in board.rows)


def _cell(cell: Cell) -> str:
    if cell.mean is None:
        return ""
    if cell.low is None or cell.high is None:
        return f"{cell.mean:.4g}"
    reach = (cell.high - cell.low) / 2
    return f"{cell.mean:.4g} <small>± {reach:{'.0f' if reach >= 100 else '.2g'}}</small>"


def _costs(board: Board, text: dict[str, str]) -> str:
    rows = [row for row in board.rows if row.seconds is not None]
    if not rows:
        return ""
    lines = (
        [
            escape(row.algorithm),
            f"{row.seconds:.1f}",
            "" if row.memory_gib is None else f"{row.memory_gib:.1f}",
        ]
        for row in rows
    )
    place = f"<p class=quiet>{text['on']} {escape(board.machine or '')}</p>"
    return f"<h2>{text['costs']}</h2>{place}" + table(
        [text[k] for k in ("algorithm", "seconds", "memory")], lines
    )


def _published(rows: Sequence[BoardRow], text: dict[str, str]) -> str:
    lines = [
        [
            escape(row.algorithm),
            escape(score.benchmark),
            "" if score.total is None else f"{score.total:.2f}",
            escape(f"{score.kind}{'; ' + score.variant if score.variant else ''}"),
            _link(score.source, f"{score.read:%Y-%m-%d}"),
        ]
        for row in rows
        for score in row.published
    ]
    if not lines:
        return ""
    header = [text[key] for key in ("algorithm", "benchmark", "total", "kind", "source")]
    return f"<h2>{text['published']}</h2>" + table(header, lines)


def _link(source: str, words: str) -> str:
    address = source.split()[0].rstrip(",;")
    if not address.startswith("https://"):
        return f"{escape(source)}, {words}"
    return f'<a href="{escape(address)}" title="{escape(source)}">{words}</a>'


def _missing(board: Board, text: dict[str, str]) -> str:
    reasons = sorted(
        {
            (column.metric, row.cells[column.metric].note)
            for column in board.columns
            for row in board.rows
            if row.cells[column.metric].mean is None
        }
    )
    if not reasons:
        return ""
    listed = "".join(f"<li>{escape(metric)}: {escape(note)}</li>" for metric, note in reasons)
    title = f"{text['missing']} ({len(reasons)})"
    return f"<details><summary>{title}</summary><ul>{listed}</ul></details>"
