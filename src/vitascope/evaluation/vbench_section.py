"""VBench's dimensions as a piece of a page: what measures each here, and what it said."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from vitascope.evaluation.leaderboard import Board
from vitascope.evaluation.report import Language, table
from vitascope.evaluation.suites import Item
from vitascope.evaluation.vbench_coverage import NEEDS

_TEXT: dict[str, dict[str, Any]] = {
    "en": {
        "title": "VBench's dimensions",
        "head": ("Dimension", "Prompts here", "Measured by", "Tier"),
        "exact": "the benchmark's own",
        "variant": "variant, not comparable with published figures",
        "missing": "not measured: needs {file}",
        "total": "No total is given: it needs all sixteen dimensions by the benchmark's own networks.",
    },
    "zh": {
        "title": "VBench 各维度",
        "head": ("维度", "本测试集条目数", "测量方式", "层级"),
        "exact": "基准原定义",
        "variant": "变体，不可与公布数值比较",
        "missing": "未测量：需要 {file}",
        "total": "不给出总分：总分要求全部十六个维度均用基准自己的网络测得。",
    },
}


def vbench_section(board: Board, items: Sequence[Item], language: Language = "en") -> str:
    """A table of the dimensions that the items were made for; empty if they were made for none."""
    counts = {name: sum(name in item.dimensions for item in items) for name in NEEDS}
    text, rows = _TEXT[language], list[list[str]]()
    for name in (name for name, count in counts.items() if count):
        measured = [
            metric
            for metric in NEEDS[name].metrics
            if any((cell := row.cells.get(metric)) and cell.mean is not None for row in board.rows)
        ]
        for metric in measured:
            tier = text["exact" if metric == NEEDS[name].metric else "variant"]
            cells = [row.cells[metric].mean for row in board.rows]
            shown = ["" if mean is None else f"{mean:.4g}" for mean in cells]
            rows.append([name, str(counts[name]), escape(metric), tier, *shown])
        if NEEDS[name].metric not in measured:
            missing = text["missing"].format(file=escape(str(NEEDS[name].file)))
            rows.append([name, str(counts[name]), missing, "", *("" for _ in board.rows)])
    if not rows:
        return ""
    head = [*text["head"], *(escape(row.algorithm) for row in board.rows)]
    return f"<h2>{text['title']}</h2>{table(head, rows)}<p class=quiet>{text['total']}</p>"
