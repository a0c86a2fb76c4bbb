"""The year's report in the form of the founding one: lists, eras, measurements, clips, speed, sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import vitascope
from vitascope.atomic import check_writable, write_bytes
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
from vitascope.catalogue.runnable import measured_here
from vitascope.errors import DependencyMissing, RequestError
from vitascope.evaluation.leaderboard import Board, build_board, link_to_ratings
from vitascope.evaluation.opinion_board import OpinionBoard, rate_opinions
from vitascope.evaluation.opinion_sections import opinion_section, publication_section
from vitascope.evaluation.opinions import Opinion
from vitascope.evaluation.publication import check_opinions, check_votes
from vitascope.evaluation.report import Language, board_sections, method_text
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.shown_clips import shown_items
from vitascope.evaluation.speed.tables import bench_table, own_speeds
from vitascope.evaluation.suites import Item
from vitascope.evaluation.vbench_section import vbench_section
from vitascope.evaluation.votes import Vote
from vitascope.evaluation.year_words import WORDS

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

    def opinion_board(self) -> OpinionBoard | None:
        """Mean opinions; None if nobody has scored a clip. Raises: RequestError."""
        counted = any(opinion.is_counted for opinion in self.opinions)
        return rate_opinions(self.opinions) if counted else None

    def board(self) -> Board:
        """Votes, metrics and costs side by side. Raises: RequestError, InvalidMedia."""
        own = {item.id for item in self.items}
        measured = [m for m in self.run.measured() if m.item in own]
        return build_board(self.task, self.votes, measured, self.run.costs(own))


class _Boards(NamedTuple):
    """What is known of one run's algorithms: votes with metrics and costs, and mean opinions."""

    task: str
    votes: Board
    scores: OpinionBoard | None


def year_html(
    runs: Sequence[MeasuredRun] = (), benches: Sequence[Path] = (), language: Language = "en"
) -> str:
    """The page. It needs nothing else: figures and clips are in it, and only sources are linked.

    `benches`: result files of our speed measurements.
    Raises: DependencyMissing, RequestError, InvalidMedia, NotFound.
    """
    words = WORDS[language]
    boards = [_Boards(run.task, run.board(), run.opinion_board()) for run in runs]
    shown = [_run(run, board, words, language) for run, board in zip(runs, boards, strict=True)]
    page = {
        "language": language,
        "title": words["title"],
        "version": vitascope.__version__,
        "today": date.today().isoformat(),
        "contents": _contents(shown, words),
        "t": words,
        "counts": _counts(words),
        "all_cards": _all_cards(words),
        "lists": _lists(words, language, boards),
        "own_speeds": own_speeds(),
        "timeline": timeline_svg(language=language),
        "eras": _eras(words, language),
        "architectures": architecture_svg(_named(), language),
        "statements": _statements(words, language),
        "runs": shown,
        "report_speeds": reported_speeds(),
        "benches": [bench_table(path) for path in benches],
        "method": method_text(language),
    }
    return _template().render(page)


def check_report(path: Path) -> None:
    """Look, before a long evaluation, whether its report could be written.

    Raises: RequestError for another suffix than .html and .pdf, NotFound, ResourceError, DependencyMissing.
    """
    suffix = path.suffix.lower()
    if suffix not in (".html", ".pdf"):
        raise RequestError(f"a report is .html or .pdf, not {path.name!r}", param="output")
    if suffix == ".pdf" and find_spec("weasyprint") is None:
        raise DependencyMissing("weasyprint", "report", "printing a report as PDF")
    check_writable(path)


def write_year_report(path: Path, html: str) -> Path:
    """Write the page, or with the suffix .pdf a print of it, in one move. Raises: as `check_report`; DiskFull."""
    check_report(path)
    return write_bytes(path, html.encode() if path.suffix.lower() == ".html" else _printed(html))


def _printed(html: str) -> bytes:
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: Pango is missing on the system
        raise DependencyMissing("weasyprint", "report", "printing a report as PDF") from error
    pictures = re.sub(r'<video[^>]*? poster="([^"]*)"[^>]*></video>', r'<img src="\1">', html)
    opened = pictures.replace("<details", "<details open")
    return bytes(HTML(string=opened).write_pdf())


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


def _all_cards(words: Mapping[str, Any]) -> dict[str, Any]:
    dates = sorted(card.released for card in load_cards().values() if card.released)
    span = words["since"].format(first=dates[0][:7], last=dates[-1][:7])
    return {"count": len(load_cards()), "span": span}


def _lists(words: Mapping[str, Any], language: Language, boards: Sequence[_Boards]) -> list[dict[str, Any]]:
    cards, lists = load_cards(), []
    for task, names in report_selection().items():
        here = next((b for b in boards if b.task == task), None)  # votes of one task say nothing of another
        shown = [_card(cards[name], language, here) for name in names]
        lists.append(
            {
                "title": words["lists"][task],
                "cards": shown,
                "has_votes": any(card["rating"] for card in shown),
                "has_scores": any(card["mean"] for card in shown),
                "has_speed": any(card["step"] or card["gib"] for card in shown),
            }
        )
    return lists


def _card(card: Card, language: Language, here: _Boards | None) -> dict[str, Any]:
    architecture, _ = resolve_architecture(card)
    parts = (architecture.attention, architecture.vae, *architecture.positions, *architecture.text_encoders)
    facts = [card.facts.code, card.facts.paper, card.facts.licence, card.facts.vram]
    score = card.best_score("VBench") or card.best_score("VBench-I2V")
    row = next((r for r in here.votes.rows if r.algorithm == card.id), None) if here else None
    rated = row.rating if row is not None and row.badge != "hidden" else None
    opinions = here.scores.rows if here and here.scores else ()
    mean = next((r.mean for r in opinions if r.name == card.id), None)
    own = measured_here().get(card.id)
    return {
        "name": card.name,
        "org": card.org,
        "released": card.released or "",
        "era": _era_title(era_of(card).era, language),
        "era_id": era_of(card).era,
        "architecture": ", ".join(str(part) for part in parts if part),
        "licence": card.facts.licence.text if card.facts.licence else "",
        "memory": f"{card.facts.vram.min_gb:g}" if card.facts.vram and card.facts.vram.min_gb else "",
        "score": f"{score.total:.2f}" if score and score.total is not None else "",
        "rating": f"{rated.rating:.0f}" if rated else "",
        "mean": f"{mean:.2f}" if mean is not None else "",
        "step": f"{own.step_s:.2f}" if own and own.step_s else "",
        "gib": f"{own.peak_gib:.1f}" if own else "",
        "size": "{} × {}, {}".format(*own.size) if own else "",
        "sources": _links(" ".join(f.source for f in facts if f) + (f" {score.source}" if score else "")),
    }


def _links(text: str) -> list[str]:
    return list(dict.fromkeys(found.rstrip(".,;)") for found in re.findall(r"https://\S+", text)))


def _era_title(era: str | None, language: Language) -> str:
    titles = (row.title_en if language == "en" else row.title_zh for row in ERAS if row.era == era)
    return next(titles, "")


def _eras(words: Mapping[str, Any], language: Language) -> list[dict[str, Any]]:
    rules = {row.era: row.rule if language == "en" else row.rule_zh for row in ERAS}
    return [
        {
            "id": era,
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


def _run(
    measured: MeasuredRun, boards: _Boards, words: Mapping[str, Any], language: Language
) -> dict[str, Any]:
    made = measured.made()
    counted = [vote for vote in measured.votes if vote.is_counted]
    scores = [opinion for opinion in measured.opinions if opinion.is_counted]
    task = words["lists"].get(measured.task, measured.task)
    summary = words["run_summary"].format(
        task=task,
        items=len(measured.items),
        algorithms=len({clip.algorithm for clip in made}),
        clips=sum(clip.path is not None for clip in made),
        votes=len(counted),
        scores=len(scores),
    )
    sections = board_sections(boards.votes, language)
    if boards.scores is not None:
        badge = publication_section(check_opinions(boards.scores), "scores", language)
        sections.insert(0, opinion_section(boards.scores, language) + badge)
    if counted:
        sections.insert(0, publication_section(check_votes(measured.votes), "votes", language))
    sections.append(vbench_section(boards.votes, measured.items, language))
    clips, truncated = shown_items(measured.run.folder, measured.items, made)
    return {
        "title": measured.run.suite.name,
        "summary": summary,
        "sections": sections,
        "failures": [f"{clip.algorithm}, {clip.item}: {clip.failed}" for clip in made if clip.failed],
        "judged": bool(counted or scores),
        "links": [*_correlations(boards, "votes", words), *_correlations(boards, "scores", words)],
        "no_links": words["no_links"],
        "clips": clips,
        "truncated": truncated,
    }


def _correlations(
    boards: _Boards, of: Literal["votes", "scores"], words: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """How the means of each metric go with ratings or scores; metrics that cannot be compared are left out."""
    board = boards.votes
    judged = {row.algorithm: row.rating.rating for row in board.rows if row.rating is not None}
    if of == "scores":
        judged = {row.name: row.mean for row in boards.scores.rows} if boards.scores else {}
    found = []
    for column in board.columns:
        cells = {row.algorithm: row.cells[column.metric].mean for row in board.rows}
        means = {name: mean for name, mean in cells.items() if mean is not None}
        try:
            link = link_to_ratings(means, judged)
        except RequestError:
            continue
        found.append(
            {
                "metric": column.metric,
                "with": words["with"][of],
                "spearman": _with_interval(link.spearman, link.spearman_interval),
                "kendall": _with_interval(link.kendall, link.kendall_interval),
                "algorithms": link.algorithms,
            }
        )
    return found


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} – {interval[1]:.2f})"
