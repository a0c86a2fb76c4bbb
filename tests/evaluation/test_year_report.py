"""The year's report: self-contained, in both languages, with what was measured and what failed."""

import json
import re

import pytest

from tests.evaluation.arena import vote
from vitascope.catalogue import report_counts
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item, Suite
from vitascope.evaluation.year_report import MeasuredRun, write_year_report, year_html
from vitascope.metrics import METRICS

NAMES = [f"colour-bars+num_inference_steps={n}" for n in (2, 3, 4, 5)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    small = {"width": 64, "height": 64, "num_frames": 5}
    items = tuple(Item(id=name, prompt=f"a {name}", fields=small) for name in ("star", "moon"))
    run = SuiteRun(Suite(name="two", items=items), tmp_path_factory.mktemp("run"))
    run.make([Contender.parse(name) for name in NAMES], Engine(), Context())
    run.results.put(MadeClip(algorithm="broken", item="star", chain="{}", failed="the denoiser gave nan"))
    run.measure([METRICS["sharpness"](), METRICS["clip-text-alignment"]()], Context())
    votes = [
        vote(left=left, right=right, choice="left", item=item, rater=rater)
        for item in ("star", "moon")
        for rater in ("ann", "bob")
        for n, left in enumerate(NAMES)
        for right in NAMES[n + 1 :]
    ]
    return MeasuredRun(run, "t2v", votes)


@pytest.fixture(scope="module")
def page(measured):
    return year_html([measured])


def test_all_counts_of_the_founding_report_are_met(page):
    for task, said in report_counts().items():
        assert f"the founding report says {said}" in page, task
    counts = [int(n) for n in re.findall(r"<div><b>(\d+)</b>", page)]
    assert counts == list(report_counts().values())


def test_nothing_is_fetched_from_elsewhere(page):
    fetched = re.findall(r"""(?:src|href)=["']?(https?:[^"' >]+)""", page)
    links = re.findall(r"""<a href="(https?:[^"]+)""", page)
    assert sorted(fetched) == sorted(links)
    assert not re.search(r"@import|url\((?!#)", page)


def test_clips_failures_and_what_was_not_measured_are_shown(page):
    assert page.count("data:video/mp4;base64,") == 8
    assert "broken, star: the denoiser gave nan" in page
    assert "clip-text-alignment: " in page and "sharpness" in page


def test_the_chinese_page_says_the_same(measured):
    page = year_html([measured], language="zh")
    assert (
        '<html lang="zh">' in page and "前沿算法跟踪" in page and "文生视频" in page and "与上游不符" in page
    )


def test_a_speed_measurement_becomes_a_table(tmp_path):
    bench = tmp_path / "mochi.json"
    bench.write_text(
        json.dumps({"date": "2026-11-26", "device": "H200", "rows": [{"mode": "exact", "s": 5.1}]})
    )
    page = year_html(benches=[bench])
    assert "H200 · 2026-11-26" in page and '<td class="n">5.1</td>' in page
    bench.write_text('{"rows": 3}')
    with pytest.raises(InvalidMedia, match="no measurement with rows"):
        year_html(benches=[bench])
    with pytest.raises(NotFound):
        year_html(benches=[tmp_path / "missing.json"])


def test_a_report_is_a_page_or_a_print(tmp_path):
    assert write_year_report(tmp_path / "a.html", "<p>ok").read_text() == "<p>ok"
    with pytest.raises(RequestError, match=r"\.html or \.pdf"):
        write_year_report(tmp_path / "a.docx", "<p>ok")


def test_a_print_is_a_pdf(tmp_path, page):
    pytest.importorskip(
        "weasyprint", reason="needs vitascope[report] and Pango", exc_type=(ImportError, OSError)
    )
    short = re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    assert write_year_report(tmp_path / "a.pdf", short).read_bytes().startswith(b"%PDF-")
