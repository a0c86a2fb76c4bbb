"""Draw the catalogue: a timeline by era, and architectures side by side, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from vitascope.catalogue.card import Card
from vitascope.catalogue.compare import UNKNOWN, compare_cards
from vitascope.catalogue.eras import ERAS, era_table
from vitascope.catalogue.reading import load_cards
from vitascope.errors import DependencyMissing, RequestError

Language = Literal["en", "zh"]

_COLOURS = {"unet-2+1d": "#3b6ea5", "dit-2+1d": "#3f8f5f", "dit-3d": "#b7791f", "since-2025": "#a23b52"}
_TEXT = {
    "en": {
        "timeline": "Open video generators by era",
        "named": "named in the founding report",
        "unknown": "unknown",
    },
    "zh": {"timeline": "开源视频生成算法与时期", "named": "年度总结点名的算法", "unknown": "未知"},
}
_FONTS = "'DejaVu Sans', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC'"
_ROWS = ("backbone", "attention", "vae", "vae factors", "vae channels", "positions", "text encoders")
_WIDTHS = (1.1, 1.6, 2.0, 1.3, 1.2, 1.7, 1.3)  # inches
_ROW_NAMES_ZH = ("主干网络", "注意力", "VAE", "VAE 压缩", "VAE 通道", "位置编码", "文本编码器")


def timeline_svg(cards: Sequence[Card] | None = None, language: Language = "en") -> str:
    """Algorithms along time, one band an era; those without a date or an era are left out.

    Filled marks are algorithms that the founding report names.
    Raises: RequestError if no card can be placed, DependencyMissing.
    """
    cards = tuple(load_cards().values() if cards is None else cards)
    table = era_table([card for card in cards if card.released])
    placed = {row.era: table[row.era] for row in ERAS if table[row.era]}
    if not placed:
        raise RequestError("none of these algorithms has both a date of release and a known era")
    figure, axes = _canvas(13.0, 0.9 + 0.21 * sum(len(group) + 1.6 for group in placed.values()))
    y, titles = 0.0, {row.era: row.title_zh if language == "zh" else row.title_en for row in ERAS}
    for era, group in placed.items():
        top = y
        for card in sorted(group, key=lambda card: card.released or ""):
            y += 1
            named = card.report is not None and card.report.named
            axes.plot(
                _year(card), -y, "o", ms=6, color=_COLOURS[era], mfc=_COLOURS[era] if named else "white"
            )
            axes.text(_year(card) + 0.04, -y, card.name, va="center", fontsize=7.5)
        y += 1.6
        axes.axhspan(-y + 0.6, -top - 0.2, color=_COLOURS[era], alpha=0.07, lw=0)
        axes.text(
            2022.55, -(top + y - 1) / 2, titles[era], va="center", fontsize=9, color=_COLOURS[era], wrap=True
        )
    years = range(2023, int(max(_year(card) for group in placed.values() for card in group)) + 2)
    axes.set_xlim(2022.5, years[-1] + 0.6)
    axes.set_ylim(-y - 0.2, 0.6)
    axes.set_xticks(list(years), [str(year) for year in years])
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_yticks([])
    axes.plot([], [], "o", color="#555555", label=_TEXT[language]["named"])
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    axes.set_title(_TEXT[language]["timeline"], fontsize=11, loc="left")
    return _svg(figure)


def architecture_svg(card_ids: Sequence[str], language: Language = "en") -> str:
    """How two or more algorithms are built, a row each; a value in italics is taken over from the base.

    Raises: UnknownName, RequestError for fewer than two, DependencyMissing.
    """
    comparison = compare_cards(card_ids)
    cards = load_cards()
    aspects = [row for row in comparison.rows if row.label in _ROWS]
    names = _ROW_NAMES_ZH if language == "zh" else _ROWS
    figure, axes = _canvas(2.6 + sum(_WIDTHS), 0.5 + 0.34 * len(card_ids))
    places = [2.6 + sum(_WIDTHS[:n]) for n in range(len(_WIDTHS))]
    axes.set_xlim(0, 2.6 + sum(_WIDTHS))
    axes.set_ylim(-len(card_ids) - 0.1, 0.9)
    axes.axis("off")
    for aspect, left in zip(aspects, places, strict=True):
        title = names[_ROWS.index(aspect.label)]
        axes.text(left, 0.35, title, fontsize=8.5, weight="bold", va="center", color="#555555")
    for number, card_id in enumerate(card_ids):
        middle = -number - 0.5
        if number % 2 == 0:
            axes.axhspan(-number - 1, -number, color="#f4f2ee", lw=0)
        name = _wrapped(cards[card_id].name, 30)
        axes.text(0.06, middle, name, fontsize=8.5, weight="bold", va="center", linespacing=0.9)
        for aspect, left in zip(aspects, places, strict=True):
            cell = aspect.cells[number]
            text = _TEXT[language]["unknown"] if cell.text == UNKNOWN else cell.text
            axes.text(
                left,
                middle,
                _wrapped(text, 24),
                fontsize=8.5,
                va="center",
                linespacing=0.9,
                style="italic" if cell.inherited_from else "normal",
                color="#999999" if cell.text == UNKNOWN else "black",
            )
    return _svg(figure)


def _year(card: Card) -> float:
    assert card.released
    year, month, *day = (int(part) for part in card.released.split("-"))
    return year + (date(year, month, day[0] if day else 15).timetuple().tm_yday - 1) / 366


def _wrapped(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text, width)


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyMissing("matplotlib", "eval", "drawing figures") from error
    figure = Figure(figsize=(width, height), layout="tight")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    """The figure as SVG whose text stays text, the same bytes for the same data."""
    import warnings

    import matplotlib

    buffer = io.StringIO()
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vitascope"}),
    ):
        # The reader's own fonts draw the text, so a glyph that is missing here does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().replace("'DejaVu Sans'", _FONTS)
