"""Two raters vote in a real browser, and the board changes as the formula says; makes the arena's picture.

`make prove` installs Chromium and Playwright; any request to another host fails the test.
"""

from pathlib import Path

import pytest

from tests.server.browsing import pages_of, served
from vitascope.clip import Clip
from vitascope.evaluation.booth import Booth
from vitascope.evaluation.bradley_terry import rate
from vitascope.evaluation.opinion_board import rate_opinions
from vitascope.evaluation.opinion_booth import OpinionBooth
from vitascope.evaluation.opinions import OpinionStore
from vitascope.evaluation.votes import VoteStore
from vitascope.media import write
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IMAGES = Path(__file__).parents[2] / "docs/images"
NUM_ITEMS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Rendered scenes as the better algorithm, the same darkened as the worse one."""
    folder, clips, prompts = tmp_path_factory.mktemp("arena"), {}, {}
    for number, held_out in enumerate(held_out_prompts()[:NUM_ITEMS]):
        frames = (render([held_out.scene])[0] * 255).round().byte().numpy()
        name, prompts[f"item-{number}"] = f"item-{number}", held_out.prompt
        clips[name] = {
            "bright": write(Clip(frames, 8), folder / f"{name}-b.mp4"),
            "dark": write(Clip(frames // 4, 8), folder / f"{name}-d.mp4"),
        }
    return clips, prompts, folder


@pytest.fixture(scope="module")
def booth(made):
    clips, prompts, folder = made
    return Booth(clips, prompts, VoteStore(folder / "votes.jsonl"), folder / "blind", "t2v", seed=3)


@pytest.fixture(scope="module")
def scores(made):
    clips, prompts, folder = made
    store = OpinionStore(folder / "opinions.jsonl")
    return OpinionBooth(clips, prompts, store, folder / "blind", "t2v", seed=3)


@pytest.fixture  # one at a time: Playwright runs once in a thread
def open_page(booth):
    from vitascope.server.arena.app import create_arena

    with served(create_arena(booth)) as address, pages_of(address) as open_at:
        yield open_at


@pytest.fixture  # one at a time: Playwright runs once in a thread
def open_scores(scores):
    from vitascope.server.arena.app import create_scoring

    with served(create_scoring(scores)) as address, pages_of(address) as open_at:
        yield open_at


def brightness(page, side):
    """Mean of what a video shows now."""
    return page.evaluate(
        """(side) => { const video = document.getElementById(side), canvas = document.createElement("canvas");
        canvas.width = canvas.height = 16; const ink = canvas.getContext("2d"); ink.drawImage(video, 0, 0, 16, 16);
        const pixels = ink.getImageData(0, 0, 16, 16).data; return pixels.reduce((a, b) => a + b) / pixels.length; }""",
        side,
    )


def enter(page, rater):
    page.fill("#rater", rater)
    page.get_by_role("button", name="Begin").click()


def vote(page, picture=None):
    """Watch both clips, prefer the brighter by key, and read who stood where."""
    page.wait_for_selector("[data-choice=left]:not([disabled])")
    left, right = brightness(page, "left"), brightness(page, "right")
    if picture:
        page.screenshot(path=picture, type="jpeg", quality=86)
    with page.expect_response(lambda answer: answer.url.endswith("/api/votes")) as cast:
        page.keyboard.press("1" if left > right else "4")
    assert cast.value.status == 201


def over(page):
    """Whether the rater has voted on everything; waits for the next pair otherwise."""
    page.wait_for_function(
        """() => document.getElementById("said").innerText.includes("every pair")
        || !document.querySelector("[data-choice=left]").disabled"""
    )
    return "every pair" in page.locator("#said").inner_text()


def test_two_raters_vote_and_the_board_follows(open_page, booth):
    for rater, size in (("ann", (1440, 900)), ("bob", (390, 844))):
        page = open_page(*size)
        enter(page, rater)
        page.wait_for_selector("#booth video")
        assert "bright" not in page.content() and "dark" not in page.content()
        assert page.locator("[data-choice=left]").is_disabled()
        picture = IMAGES / f"arena-{size[0]}.jpg"
        while not over(page):  # hidden checks may come between
            vote(page, picture)
            picture = None
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    votes = [cast for cast in booth.votes.read() if cast.is_counted]
    assert len(votes) == 2 * NUM_ITEMS and {v.rater for v in votes} == {"ann", "bob"}
    page.get_by_role("button", name="Board").click()
    page.wait_for_selector("#board td")
    shown = [row.inner_text().split("\t")[0].strip() for row in page.locator("#board tr").all()[1:]]
    assert shown == [row.name for row in rate(votes)] == ["bright", "dark"]
    assert page.locator("#board tr").nth(1).locator("td").nth(3).inner_text() == str(2 * NUM_ITEMS)
    assert "Not yet fit to be published" in page.locator("#board").inner_text()
    page.locator("#language").click()
    assert "榜单" in page.content() or "投票" in page.content()


def finished(page):
    """Whether the rater has scored everything; waits for the next clip otherwise."""
    page.wait_for_function(
        """() => document.getElementById("said").innerText.includes("has scored all")
        || !document.querySelector("[data-score='1']").disabled"""
    )
    return "has scored all" in page.locator("#said").inner_text()


def test_two_raters_score_and_the_board_follows(open_scores, scores):
    for rater, size in (("ann", (1440, 900)), ("bob", (390, 844))):
        page = open_scores(*size)
        enter(page, rater)
        page.wait_for_selector("#booth video")
        assert "bright" not in page.content() and "dark" not in page.content()
        assert page.locator("[data-score='5']").is_disabled()
        picture = IMAGES / f"scores-{size[0]}.jpg"
        while not finished(page):  # hidden repetitions may come between
            if picture:
                page.screenshot(path=picture, type="jpeg", quality=86)
                picture = None
            score = "5" if brightness(page, "clip") > 90 else "2"
            with page.expect_response(lambda answer: answer.url.endswith("/api/opinions")) as given:
                page.keyboard.press(score)
            assert given.value.status == 201
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    opinions = scores.opinions.read()
    assert len([one for one in opinions if one.is_counted]) == 2 * 2 * NUM_ITEMS
    page.get_by_role("button", name="Board").click()
    page.wait_for_selector("#board td")
    shown = [
        row.inner_text().split("\t") for row in page.locator("#board table").first.locator("tr").all()[1:]
    ]
    board = rate_opinions(opinions)
    assert [cells[0].strip() for cells in shown] == [row.name for row in board.rows]
    assert [cells[1].strip() for cells in shown] == [f"{row.mean:.2f}" for row in board.rows]
    assert board.rows[0].name == "bright" and board.rows[0].mean > board.rows[1].mean
    page.set_viewport_size({"width": 1440, "height": 900})
    page.screenshot(path=IMAGES / "scores-board.jpg", type="jpeg", quality=86)
    page.locator("#language").click()
    page.get_by_text("加权分").wait_for()  # the board is asked for again
