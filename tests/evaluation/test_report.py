"""The report: one page, complete, in both languages, nothing fetched, nothing unescaped."""

from html.parser import HTMLParser

import pytest

from tests.evaluation.arena import simulated
from vitascope.errors import NotFound
from vitascope.evaluation.leaderboard import Measurement, RunCost, build_board
from vitascope.evaluation.report import board_html, write_report

VOID = {"meta", "br", "line", "circle"}


class Checker(HTMLParser):
    """Sees that what is opened is closed, and gathers what a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "srcset", "data")]
        if tag in ("script", "link", "iframe", "img"):
            self.fetched.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        self.text.append(data)


def measurement(algorithm, item, metric, value, **more):
    facts = {"tier": "exact", "unit": "levels", "direction": "higher", **more}
    return Measurement(algorithm=algorithm, item=item, metric=metric, value=value, **facts)


@pytest.fixture(scope="module")
def board():
    votes = simulated({"mochi-1": 0.0, "cogvideox-5b": 0.7, "a<b>&c": -0.5}, items=40)
    measurements = [
        measurement("mochi-1", "x", "sharpness", 12.5),
        measurement("mochi-1", "y", "sharpness", 13.5),
        measurement("cogvideox-5b", "x", "warp-error-dis", 0.002, tier="variant", direction="lower"),
        measurement(
            "mochi-1", "x", "brisque", None, not_measured="needs svm.txt <here>", tier="needs weights"
        ),
    ]
    costs = [RunCost(algorithm="mochi-1", seconds=41.2, memory_gib=21.5, machine="NVIDIA H100")]
    return build_board("t2v", votes, measurements, costs)


def words(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert checker.fetched == []
    return " ".join(checker.text)


@pytest.mark.parametrize("language, heading", [("en", "Blind votes"), ("zh", "盲投评分")])
def test_page_is_whole_and_fetches_nothing(board, language, heading):
    page = board_html(board, "Year-end <report>", language)
    text = words(page)
    assert heading in text and "Year-end <report>" in text and "<report>" not in page
    assert "a<b>&c" in text and "a<b>" not in page
    for expected in ("41.2", "21.5", "NVIDIA H100", "80.13", "0.002", "needs svm.txt <here>"):
        assert expected in text
    assert "url(" not in page and "@import" not in page


def test_the_chinese_page_has_no_english_label_left(board):
    text = words(board_html(board, "报告", "zh"))
    for label in (
        "Blind votes",
        "Algorithm",
        "Not measured",
        "Published by",
        "higher is better",
        "How to read",
    ):
        assert label in words(board_html(board, "x")) and label not in text


def test_measured_and_published_stand_in_different_tables(board):
    page = board_html(board, "x")
    exact, published = (
        page.index("Measured, by published definitions"),
        page.index("Published by others, quoted"),
    )
    assert exact < page.index("sharpness") < published < page.index("80.13")
    assert page.index("not comparable with the literature") < page.index("warp-error-dis")


def test_quoted_figures_link_to_their_source(board):
    page = board_html(board, "x")
    assert 'href="https://huggingface.co/spaces/Vchitect/VBench_Leaderboard"' in page


def test_a_board_without_votes_has_no_rating_table():
    board = build_board("t2v", measurements=[measurement("a", "x", "sharpness", 1.0)])
    assert "Blind votes" not in words(board_html(board, "x"))


def test_report_is_written_in_one_move(board, tmp_path):
    path = write_report(board, tmp_path / "report.html", "x", "zh")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html><html lang=zh>")
    with pytest.raises(NotFound):
        write_report(board, tmp_path / "missing" / "report.html", "x")


def test_only_a_clear_best_is_marked():
    def rows(means, spread):
        values = [
            (name, item, mean + shift) for name, mean in means.items() for item, shift in spread.items()
        ]
        return build_board("t2v", measurements=[measurement(n, i, "m", v) for n, i, v in values])

    spread = {"x": -0.1, "y": 0.0, "z": 0.1}
    assert "<b>3" in board_html(rows({"good": 3.0, "bad": 1.0}, spread), "t")
    assert "<b>" not in board_html(rows({"good": 3.0, "near": 2.9}, spread), "t"), "within the interval"
    assert "<b>" not in board_html(rows({"one": 3.0, "two": 3.0}, spread), "t")
