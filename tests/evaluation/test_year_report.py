"""The year's report: self-contained, in both languages, with what was measured and what failed."""

import json
import re

import numpy as np
import pytest

from tests.evaluation.arena import NOON, vote
from vitascope.catalogue import load_cards, report_counts
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.leaderboard import Measurement, build_board
from vitascope.evaluation.opinions import Opinion
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.shown_clips import shown_clip
from vitascope.evaluation.suites import Item, Suite
from vitascope.evaluation.vbench_section import vbench_section
from vitascope.evaluation.year_report import MeasuredRun, write_year_report, year_html
from vitascope.media import probe
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
    for n, name in enumerate(NAMES):
        row = {"metric": "made-up", "tier": "exact", "unit": "x", "direction": "higher"}
        run.results.put(Measurement(algorithm=name, item="star", value=float(n), **row))
    votes = [
        vote(left=left, right=right, choice="left", item=item, rater=rater)
        for item in ("star", "moon")
        for rater in ("ann", "bob")
        for n, left in enumerate(NAMES)
        for right in NAMES[n + 1 :]
    ]
    opinions = [
        Opinion(task="t2v", item=item, algorithm=name, score=n + 1, rater=rater, at=NOON)
        for item in ("star", "moon")
        for rater in ("ann", "bob")
        for n, name in enumerate(NAMES)
    ]
    other = vote(left="x", right="y", choice="left").model_copy(update={"task": "i2v"})
    return MeasuredRun(run, "t2v", [*votes, other], opinions)


@pytest.fixture(scope="module")
def page(measured):
    return year_html([measured])


def test_all_counts_of_the_founding_report_are_met(page):
    for task, said in report_counts().items():
        assert f"the founding report says {said}" in page, task
    counts = [int(n) for n in re.findall(r"<div><b>(\d+)</b>", page)]
    assert f'<div class="all"><b>{len(load_cards())}</b>' in page
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


def test_votes_and_scores_stand_in_boards_of_their_own_with_what_is_missing_to_publish(page):
    assert "Scores from 1 to 5" in page and "Blind votes" in page
    assert page.count("Not yet fit to be published") == 2 and "Krippendorff&#x27;s alpha of 0.2" in page
    assert "2 items, 5 algorithms, 8 clips, 24 votes, 16 scores" in page, "votes of other tasks stay outside"
    links = page[page.index("Do metrics go with what people say?") :]
    said = re.findall(r"<td>made-up</td><td>(\w+)</td><td class=\"n\">(-?[\d.]+)", links)
    assert said == [("votes", "-1.00"), ("scores", "1.00")]


def test_families_that_we_timed_have_their_seconds_and_memory(page):
    mochi = page[page.index("Mochi 1 preview") :]
    assert "7.86" in mochi[:1500] and "37.4" in mochi[:1500]
    assert 'title="848 × 480, 163"' in mochi[:1500]


def test_dimensions_of_vbench_stand_apart_by_tier_and_without_a_total():
    items = [Item(id="a", prompt="p", dimensions=("color", "dynamic_degree"))]
    row = {"algorithm": "x", "item": "a", "unit": "share", "direction": "higher"}
    measured = [
        Measurement(metric="color-owl", tier="variant", value=0.5, **row),
        Measurement(metric="dynamic-degree", tier="needs weights", value=1.0, **row),
    ]
    section = vbench_section(build_board("t2v", measurements=measured), items)
    assert "<td>color-owl</td><td>variant, not comparable" in section
    assert "not measured: needs grit_b_densecap_objectdet.pth" in section
    assert (
        "<td>dynamic-degree</td><td>the benchmark&#x27;s own" in section or "the benchmark's own" in section
    )
    assert "raft-things.pth" not in section and "No total is given" in section
    assert vbench_section(build_board("t2v", measurements=measured), [Item(id="a", prompt="p")]) == ""


def test_a_clip_that_browsers_do_not_play_is_encoded_anew(tmp_path):
    import base64

    import av

    with av.open(str(tmp_path / "a.webm"), "w") as target:
        stream = target.add_stream("libvpx-vp9", rate=8)
        stream.width, stream.height = 64, 48
        for level in (0, 90, 180, 250):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    shown = shown_clip("theirs", tmp_path / "a.webm")
    (tmp_path / "out.mp4").write_bytes(base64.b64decode(shown.data))
    assert probe(tmp_path / "out.mp4").codec == "h264" and (shown.width, shown.height) == (64, 48)
    assert base64.b64decode(shown.poster)[:2] == b"\xff\xd8"


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
    whole = {"levers": {}, "steps_s": [5.0, 5.1, 5.2], "decodes_s": [7.0]}
    bench.write_text(
        json.dumps(
            {
                "model": "mochi",
                "task": {"width": 848, "height": 480, "num_frames": 163},
                "num_steps": 50,
                "environment": {"gpu": "H100"},
                "date": "2026-11-26T10:00:00Z",
                "timings": {"exact": whole},
            }
        )
    )
    page = year_html(benches=[bench])
    assert "H100 · 848 × 480, 163 × 50 · 2026-11-26" in page and "5.100" in page
    bench.write_text('{"rows": 3}')
    with pytest.raises(InvalidMedia, match="no measurement with rows or timings"):
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
