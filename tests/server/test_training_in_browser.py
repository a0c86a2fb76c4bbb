"""Fine-tuning by clicking, the catalogue, and votes, in a real browser with a real worker; makes the docs' pictures.

`make prove` installs Chromium and Playwright; any request to another host fails the test.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.evaluation.arena import run_of
from tests.server.browser import (
    NARROW,
    WIDE,
    fits,
    photograph,
    playing,
    tab,
)
from tests.server.conftest import serving
from vitascope.catalogue.query import query_cards
from vitascope.context import Context
from vitascope.evaluation.votes import Vote, VoteStore
from vitascope.metrics import METRICS
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CLIPS = Path(__file__).parents[2] / "examples/character/clips/taught"
NUM_ITEMS, NUM_VOTES, NUM_BEFORE = 3, 2, 54


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of three algorithms: rendered scenes, and the same darkened; some have voted on it before."""
    folder = tmp_path_factory.mktemp("runs") / "toy-world"
    scenes = held_out_prompts()[:NUM_ITEMS]
    prompts = {f"item-{number}": scene.prompt for number, scene in enumerate(scenes)}
    shown = [(render([scene.scene])[0] * 255).round().byte().numpy() for scene in scenes]
    shades = {"sprout": 1, "sprout:turbo": 2, "colour-bars": 4}
    clips = {
        name: dict(zip(prompts, [f // share for f in shown], strict=True)) for name, share in shades.items()
    }
    run = run_of(folder, clips, prompts)
    votes, names = VoteStore(folder / "votes.jsonl"), list(shades)
    for number in range(NUM_BEFORE):
        left, right = names[number % 3], names[(number + 1) % 3]
        better = "left" if names.index(left) < names.index(right) else "right"
        choice = "tie" if number % 5 == 0 else better
        rater, item = f"rater-{number // 9}", f"item-{number // 3 % NUM_ITEMS}"
        at = datetime(2026, 11, 26, tzinfo=UTC)
        votes.append(Vote(task="t2v", item=item, left=left, right=right, choice=choice, rater=rater, at=at))
    run.measure([METRICS["dynamic-degree-dis"](), METRICS["temporal-flickering"]()], Context())
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory, run_folder):
    """A service with an arena."""
    with serving(tmp_path_factory.mktemp("house"), "--arena", str(run_folder)) as url:
        yield url


def fill(page, name, text):
    page.locator(f"#train-{name} textarea, #train-{name} input").first.fill(text)


def in_table(page, text):
    page.locator("#train-captions").get_by_text(text).locator("visible=true").first.wait_for()


def status(page, wanted):
    page.wait_for_selector(f"#train-stage .vs-training[data-status={wanted}]", timeout=240_000)


def test_a_style_is_taught_by_clicking_stopped_gone_on_with_and_tried(open_page):
    page = open_page("/ui/en", WIDE)
    tab(page, "Fine-tune")
    videos = sorted(CLIPS.glob("*.mp4"))[:16]
    page.locator("#train-files input[type=file]").set_input_files([*videos, CLIPS / "captions.csv"])
    in_table(page, "style1 raising both arms")
    fill(page, "name", "style1")
    fill(page, "trigger", "style1")
    fill(page, "prompts", "style1 walking to the right in the city\nstyle1 dancing on a gray background")
    page.locator("#train-details button").first.click()
    for name, value in (("steps", 40), ("batch_size", 1), ("rank", 8), ("every", 10)):
        fill(page, name, str(value))
    page.locator("#train-details button").first.click()
    page.locator("#train-start").click()
    page.wait_for_selector("#train-stage .vs-smooth", timeout=240_000)
    page.wait_for_selector("#train-samples video", timeout=240_000)
    page.locator("#train-pause").click()
    status(page, "paused")
    assert "continues from its checkpoint" in page.locator("#train-stage").inner_text()
    at = int(page.locator("#train-stage [role=progressbar]").get_attribute("aria-valuenow"))
    assert 0 < at < 99
    page.locator("#train-resume").click()
    status(page, "in_progress")
    page.wait_for_function(
        "p => +document.querySelector('#train-stage [role=progressbar]').ariaValueNow > p", arg=at
    )
    photograph(page, "fine-tune")
    assert fits(page)
    status(page, "completed")
    assert "ft:sprout:style1" in page.locator("#train-stage").inner_text()
    assert page.locator("#train-samples figure").count() == 8
    page.locator("#train-try").click()
    page.wait_for_selector("#create-loras :text('style1')")
    assert page.locator("#create-prompt textarea").input_value().startswith("style1 walking")
    page.locator("#create-preset").get_by_text("Draft").click()
    page.locator("#create-make").click()
    assert playing(page, "#create-stage")[1] == 128

    phone = open_page("/ui/zh", NARROW)
    tab(phone, "微调")
    phone.locator("#train-list [data-job]").first.click()
    phone.wait_for_selector("#train-stage .vs-smooth")
    assert fits(phone)
    phone.locator("#train-stage").scroll_into_view_if_needed()
    photograph(phone, "phone-fine-tune-zh", whole=False)


def test_what_cannot_be_taught_is_told_in_the_pages_language(open_page):
    page = open_page("/ui/zh", WIDE)
    tab(page, "微调")
    page.locator("#train-start").click()
    page.get_by_text("请至少放入一个视频或图片").wait_for()
    page.locator("#train-files input[type=file]").set_input_files([CLIPS / "00.mp4"])
    in_table(page, "00.mp4")
    page.locator("#train-start").click()
    page.get_by_text("没有描述，第一个是“00.mp4”").wait_for()


def test_the_catalogue_is_filtered_and_a_card_shows_its_sources(open_page):
    page = open_page("/ui/en", WIDE)
    tab(page, "Catalogue")
    rows = page.locator("#catalogue-list .vs-row")
    everything = rows.count()
    for name, choice in (("task", "image to video"), ("era", "3D DiT"), ("licence", "open")):
        page.locator(f"#catalogue-{name} input").click()
        page.get_by_role("option", name=choice, exact=True).click()
    wanted = len(query_cards(task="i2v", era="dit-3d", licence="open"))
    page.wait_for_function(
        "n => document.querySelectorAll('#catalogue-list .vs-row').length === n", arg=wanted
    )
    assert 0 < wanted < everything
    rows.first.click()
    page.wait_for_selector("#catalogue-card .vs-source")
    assert "read 20" in page.locator("#catalogue-card .vs-source").first.inner_text()
    assert fits(page)
    photograph(page, "catalogue", whole=False)
    page.locator("#catalogue-timeline-box button").first.click()
    page.wait_for_selector("#catalogue-timeline svg")
    assert fits(page)
    photograph(page, "catalogue-timeline", whole=False)
    phone = open_page("/ui/zh", NARROW)
    tab(phone, "算法目录")
    phone.locator("#catalogue-list .vs-row").first.click()
    phone.wait_for_selector("#catalogue-card .vs-source")
    assert fits(phone)
    photograph(phone, "phone-catalogue-zh", whole=False)


def test_votes_in_the_arena_move_the_board(open_page, run_folder):
    page = open_page("/ui/en", WIDE)
    tab(page, "Arena")
    page.wait_for_selector("#arena-boards .vs-board")
    assert f"{NUM_BEFORE} votes" in page.locator("#arena-boards").inner_text()
    page.get_by_role("link", name="Vote").click()
    page.locator("#rater").fill("ann")
    page.get_by_role("button", name="Begin").click()
    for _ in range(NUM_VOTES):
        page.wait_for_selector("[data-choice=left]:not([disabled])")
        with page.expect_response(lambda answer: answer.url.endswith("/api/votes")) as cast:
            page.keyboard.press("1")
        assert cast.value.status == 201
    assert len(VoteStore(run_folder / "votes.jsonl").read()) == NUM_BEFORE + NUM_VOTES
    page.get_by_role("link", name="All pages").click()
    page.wait_for_selector("#create-make")
    tab(page, "Arena")
    page.get_by_text(f"{NUM_BEFORE + NUM_VOTES} votes").wait_for()
    assert "sprout" in page.locator("#arena-boards table").inner_text()
    assert fits(page)
    photograph(page, "arena", whole=False)
