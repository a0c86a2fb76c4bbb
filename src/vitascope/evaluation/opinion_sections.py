"""Opinion scores and the fitness to be published as pieces of a page, in English or Chinese."""

from __future__ import annotations

from html import escape
from typing import Any, Literal

from vitascope.evaluation.opinion_board import MeanOpinion, OpinionBoard
from vitascope.evaluation.publication import Check, Publication
from vitascope.evaluation.report import Language, table

_TEXT: dict[str, dict[str, Any]] = {
    "en": {
        "title": "Scores from 1 to 5",
        "head": (
            "Algorithm",
            "Mean",
            "95 % interval",
            "Raters weighed",
            "Scores",
            "Clips",
            "Raters",
            "1 – 5",
        ),
        "differential": "Against the reference (DMOS)",
        "agreement": "Krippendorff's alpha (ordinal) {alpha}; reliability of the mean, ICC(2,k) {icc}",
        "unknown": "not known",
        "out_of_step": "Out of step with the others",
        "fit": "Fit to be published",
        "unfit": "Not yet fit to be published",
        "of_votes": "votes",
        "of_scores": "scores",
        "needed": {},
        "rules": {
            "votes": "Votes on each",
            "connected": "Compared with one another",
            "bounded": "Won and lost",
            "items": "Prompts",
            "raters": "Raters",
            "trust": "Votes of doubtful raters",
            "agreement": "Agreement",
        },
    },
    "zh": {
        "title": "五分制评分",
        "head": ("算法", "平均分", "95% 置信区间", "加权分", "评分数", "视频数", "评分者数", "1 – 5"),
        "differential": "与参考之差（DMOS）",
        "agreement": "Krippendorff α（有序）{alpha}；均值信度 ICC(2,k) {icc}",
        "unknown": "未知",
        "out_of_step": "与他人偏离的评分者",
        "fit": "可以发布",
        "unfit": "尚不宜发布",
        "of_votes": "投票",
        "of_scores": "评分",
        "rules": {
            "votes": "各算法票数",
            "connected": "相互可比",
            "bounded": "有胜有负",
            "items": "提示词数",
            "raters": "评分者数",
            "trust": "存疑评分者的票",
            "agreement": "一致性",
        },
        "needed": {
            "votes": "每个算法满 100 票",
            "connected": "全部算法直接或间接比较过",
            "bounded": "每个算法有胜有负",
            "items": "十条提示词以上",
            "raters": "评分者足够：投票三人，评分十五人",
            "trust": "未通过隐藏检查者的票不超过 10%",
            "agreement": "Krippendorff α 不低于 0.2",
        },
    },
}


def opinion_section(board: OpinionBoard, language: Language = "en") -> str:
    """The board of mean opinions, how far raters agree, and who does not."""
    text = _TEXT[language]
    with_reference = any(row.differential is not None for row in board.rows)
    rows = (_row(row, with_reference) for row in board.rows)
    head = [*text["head"], *([text["differential"]] if with_reference else [])]
    known = {
        name: text["unknown"] if value is None else f"{value:.2f}"
        for name, value in (("alpha", board.alpha), ("icc", board.icc_mean))
    }
    said = [text["agreement"].format(**known)]
    if apart := [rater.rater for rater in board.raters if not rater.is_in_step]:
        said.append(f"{text['out_of_step']}: {', '.join(apart)}")
    said += board.notes
    notes = "".join(f"<p class=quiet>{escape(line)}</p>" for line in said)
    return f"<h2>{text['title']}</h2>{table(head, rows)}{notes}"


def _row(row: MeanOpinion, with_reference: bool) -> list[str]:
    against = "" if row.differential is None else f"{row.differential:.2f}"
    return [
        escape(row.name),
        f"{row.mean:.2f}",
        "" if row.low is None or row.high is None else f"{row.low:.2f} – {row.high:.2f}",
        "" if row.weighed is None else f"{row.weighed:.2f}",
        str(row.opinions),
        str(row.items),
        str(row.raters),
        _bars(row.shares),
        *([against] if with_reference else []),
    ]


def _bars(shares: tuple[float, ...]) -> str:
    """How often each score was given, as five bars."""
    bars = "".join(
        f'<rect x="{12 * place}" y="{22 - 22 * share:.1f}" width="10" height="{22 * share:.1f}" fill="#2f6f5e"/>'
        for place, share in enumerate(shares)
    )
    words = ", ".join(f"{score}: {share:.0%}" for score, share in enumerate(shares, start=1))
    return (
        f'<svg viewBox="0 0 60 23" width="60" height="23" role="img"><title>{words}</title>{bars}'
        '<line x1="0" x2="58" y1="22.5" y2="22.5" stroke="#999"/></svg>'
    )


def publication_section(
    publication: Publication, of: Literal["votes", "scores"], language: Language = "en"
) -> str:
    """A badge that says whether a board may be published, and the conditions behind it."""
    text = _TEXT[language]
    fit = publication.publishable
    badge = f"{text['fit' if fit else 'unfit']} ({text[f'of_{of}']})"
    lines = "".join(_condition(check, text) for check in publication.checks)
    mark = "holds" if fit else "part"
    return f'<details class="badge"><summary class="{mark}">{badge}</summary><ul>{lines}</ul></details>'


def _condition(check: Check, text: dict[str, Any]) -> str:
    mark = "holds" if check.passed else "part"
    needed = text["needed"].get(check.rule, check.needed)
    rule, found = text["rules"][check.rule], escape(check.found)
    return f'<li class="{mark}">{rule}: {found} <small>({escape(needed)})</small></li>'
