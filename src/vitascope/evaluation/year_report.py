"""The year's report in the form of the founding one: lists, eras, measurements, clips, speed, sources."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import vitascope
from vitascope.atomic import write_bytes
from vitascope.catalogue import (
    ERAS,
    Card,
    era_of,
    era_table,
    load_cards,
    load_statements,
    report_counts,
    report_selection,
    reported_speeds,
    resolve_architecture,
)
from vitascope.catalogue.figures import architecture_svg, timeline_svg
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound, RequestError
from vitascope.evaluation.leaderboard import Board, build_board, link_to_ratings
from vitascope.evaluation.opinions import Opinion
from vitascope.evaluation.report import Language, board_sections, method_text
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item
from vitascope.evaluation.votes import Vote
from vitascope.evaluation.year_words import WORDS

#: Items of a run whose clips are shown, from the first on, and how much of them one page may hold.
MAX_ITEMS, MAX_CLIP_BYTES = 12, 60 * 2**20
_TONES = {"holds": "holds", "in part": "part", "contradicted": "contradicted"}


@dataclass(frozen=True)
class MeasuredRun:
    """A suite's run, as far as it is of one task, and what people said of its clips."""

    run: SuiteRun
    task: str
    votes: Sequence[Vote] = ()
    opinions: Sequence[Opinion] = ()

    def __post_init__(self) -> None:
        for name in ("votes", "opinions"):  # a file holds those of all tasks
            own = [entry for entry in getattr(self, name) if entry.task == self.task]
            object.__setattr__(self, name, own)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The items of this task."""
        return tuple(item for item in self.run.suite.items if item.task_code in self.task.split("+"))

    def made(self) -> list[MadeClip]:
        """What became of these items. Raises: InvalidMedia."""
        own = {item.id for item in self.items}
        return [clip for clip in self.run.made() if clip.item in own]

    def board(self) -> Board:
        """Votes, metrics and costs side by side. Raises: RequestError, InvalidMedia."""
        own = {item.id for item in self.items}
        measured = [m for m in self.run.measured() if m.item in own]
        return build_board(self.task, self.votes, measured, self.run.costs(own))


def year_html(
    runs: Sequence[MeasuredRun] = (), benches: Sequence[Path] = (), language: Language = "en"
) -> str:
    """The page. It needs nothing else: figures and clips are in it, and only sources are linked.

    `benches`: result files of our speed measurements.
    Raises: DependencyMissing, RequestError, InvalidMedia, NotFound.
    """
    words = WORDS[language]
    boards = [run.board() for run in runs]
    ratings = {row.algorithm: row for board in boards for row in board.rows}
    shown = [_run(run, board, words, language) for run, board in zip(runs, boards, strict=True)]
    page = {
        "language": language,
        "title": words["title"],
        "version": vitascope.__version__,
        "today": date.today().isoformat(),
        "contents": _contents(shown, words),
        "columns": max((len(board.rows) for board in boards), default=2),
        "t": words,
        "counts": _counts(words),
        "lists": _lists(words, language, ratings),
        "timeline": timeline_svg(language=language),
        "eras": _eras(words, language),
        "architectures": architecture_svg(_named(), language),
        "statements": _statements(words, language),
        "runs": shown,
        "report_speeds": reported_speeds(),
        "benches": [_bench(path) for path in benches],
        "method": method_text(language),
    }
    return _template().render(page)


def write_year_report(path: Path, html: str) -> Path:
    """Write the page, or with the suffix .pdf a print of it, in one move.

    Raises: RequestError for another suffix, NotFound, DiskFull, DependencyMissing.
    """
    suffix = path.suffix.lower()
    if suffix not in (".html", ".pdf"):
        raise RequestError(f"a report is .html or .pdf, not {path.name!r}", param="output")
    return write_bytes(path, html.encode() if suffix == ".html" else _printed(html))


def _printed(html: str) -> bytes:
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: Pango is missing on the system
        raise DependencyMissing("weasyprint", "report", "printing a report as PDF") from error
    without_clips = re.sub(r"<video[^>]*></video>", "<small>(video)</small>", html)
    return bytes(HTML(string=without_clips).write_pdf())


def _template() -> Any:
    from jinja2 import Environment

    source = files("vitascope.evaluation").joinpath("templates", "year.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source)


def _contents(runs: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> list[tuple[str, str]]:
    measured = [(f"run-{n}", f"{words['measured']}: {run['title']}") for n, run in enumerate(runs, start=1)]
    ends = [("speed", words["speed"]), ("method", words["method"])]
    return [("counts", words["counts"]), ("eras", words["eras"]), *measured, *ends]


def _counts(words: Mapping[str, Any]) -> list[dict[str, Any]]:
    selection = report_selection()
    return [
        {"title": words["lists"][task], "found": len(selection[task]), "said": said}
        for task, said in report_counts().items()
    ]


def _lists(words: Mapping[str, Any], language: Language, ratings: Mapping[str, Any]) -> list[dict[str, Any]]:
    cards = load_cards()
    return [
        {
            "title": words["lists"][task],
            "cards": [_card(cards[name], language, ratings.get(name)) for name in names],
        }
        for task, names in report_selection().items()
    ]


def _card(card: Card, language: Language, row: Any) -> dict[str, Any]:
    architecture, _ = resolve_architecture(card)
    parts = (architecture.attention, architecture.vae, *architecture.positions, *architecture.text_encoders)
    facts = [card.facts.code, card.facts.paper, card.facts.licence, card.facts.vram]
    score = card.best_score("VBench") or card.best_score("VBench-I2V")
    rated = row.rating if row is not None and row.badge != "hidden" else None
    return {
        "name": card.name,
        "org": card.org,
        "released": card.released or "",
        "era": _era_title(era_of(card).era, language),
        "architecture": ", ".join(str(part) for part in parts if part),
        "licence": card.facts.licence.text if card.facts.licence else "",
        "memory": f"{card.facts.vram.min_gb:g}" if card.facts.vram and card.facts.vram.min_gb else "",
        "score": f"{score.total:.2f}" if score and score.total is not None else "",
        "rating": f"{rated.rating:.0f}" if rated else "",
        "sources": _links(" ".join(f.source for f in facts if f) + (f" {score.source}" if score else "")),
    }


def _links(text: str) -> list[str]:
    return list(dict.fromkeys(found.rstrip(".,;)") for found in re.findall(r"https://\S+", text)))


def _era_title(era: str | None, language: Language) -> str:
    titles = {row.era: row.title_en if language == "en" else row.title_zh for row in ERAS}
    return titles.get(era, "") if era else ""  # type: ignore[call-overload]


def _eras(words: Mapping[str, Any], language: Language) -> list[dict[str, Any]]:
    rules = {row.era: row.rule for row in ERAS}
    return [
        {
            "title": _era_title(era, language) or words["undetermined"],
            "rule": rules.get(era, "") if era else "",
            "count": len(cards),
            "names": ", ".join(card.name for card in cards),
        }
        for era, cards in era_table().items()
    ]


def _named() -> list[str]:
    return [card.id for card in load_cards().values() if card.report is not None and card.report.named]


def _statements(words: Mapping[str, Any], language: Language) -> list[dict[str, Any]]:
    return [
        {
            "said": s.said_en if language == "en" else s.said_zh,
            "verdict": words["verdicts"][s.verdict],
            "tone": _TONES[s.verdict],
            "upstream": s.upstream_en if language == "en" else s.upstream_zh,
            "links": _links(s.source),
        }
        for s in load_statements()
    ]


def _run(measured: MeasuredRun, board: Board, words: Mapping[str, Any], language: Language) -> dict[str, Any]:
    made = measured.run.made()
    counted = [vote for vote in measured.votes if vote.is_counted]
    summary = words["run_summary"].format(
        items=len(measured.run.suite.items),
        algorithms=len({clip.algorithm for clip in made}),
        clips=sum(clip.path is not None for clip in made),
        votes=len(counted),
    )
    return {
        "title": measured.run.suite.name,
        "summary": summary,
        "sections": board_sections(board, language),
        "failures": [f"{clip.algorithm}, {clip.item}: {clip.failed}" for clip in made if clip.failed],
        "votes": bool(counted),
        "links": _correlations(board),
        "no_links": words["no_links"],
        "clips": _clips(measured.run),
    }


def _correlations(board: Board) -> list[dict[str, Any]]:
    """How the means of each metric go with the ratings; metrics that cannot be compared are left out."""
    ratings = {row.algorithm: row.rating.rating for row in board.rows if row.rating is not None}
    found = []
    for column in board.columns:
        cells = {row.algorithm: row.cells[column.metric].mean for row in board.rows}
        means = {name: mean for name, mean in cells.items() if mean is not None}
        try:
            link = link_to_ratings(means, ratings)
        except RequestError:
            continue
        found.append(
            {
                "metric": column.metric,
                "spearman": _with_interval(link.spearman, link.spearman_interval),
                "kendall": _with_interval(link.kendall, link.kendall_interval),
                "algorithms": link.algorithms,
            }
        )
    return found


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} – {interval[1]:.2f})"


def _clips(run: SuiteRun) -> list[dict[str, Any]]:
    rows, room = [], MAX_CLIP_BYTES
    by_item: dict[str, list[Any]] = {}
    for clip in run.made():
        if clip.path is not None:
            by_item.setdefault(clip.item, []).append(clip)
    for item in run.suite.items[:MAX_ITEMS]:
        clips = sorted(by_item.get(item.id, ()), key=lambda clip: clip.algorithm)
        contents = [(run.folder / clip.path).read_bytes() for clip in clips]
        room -= sum(map(len, contents))
        if not clips or room < 0:
            continue
        shown = [
            {"name": clip.algorithm, "data": base64.b64encode(content).decode()}
            for clip, content in zip(clips, contents, strict=True)
        ]
        rows.append({"prompt": item.prompt, "clips": shown})
    return rows


def _bench(path: Path) -> dict[str, Any]:
    """A result file of ours as a table: `rows` with the same columns. Raises: NotFound, InvalidMedia."""
    if not path.is_file():
        raise NotFound(f"no measurement at {str(path)!r}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["rows"]
        head = list(dict.fromkeys(name for row in rows for name in row))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidMedia(f"{str(path)!r} is no measurement with rows") from error
    device, day = content.get("device", ""), str(content.get("date", ""))[:10]
    return {
        "title": content.get("title", path.stem),
        "conditions": " · ".join(str(part) for part in (device, day) if part),
        "head": head,
        "rows": [[row.get(name, "") for name in head] for row in rows],
    }
