"""The pages in a real browser, with a real worker and the embedded model; makes the pictures of the docs.

`make prove` installs Chromium and Playwright; any request to another host fails the test.
"""

import time

import numpy as np
import pytest

from tests.server.browser import (
    LONG_MS,
    NARROW,
    WIDE,
    fits,
    photograph,
    playing,
    tab,
)
from tests.server.conftest import serving
from vitascope.clip import Clip, Image
from vitascope.jobs.house import House
from vitascope.jobs.office import Office
from vitascope.media import write, write_image
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROMPTS = {"en": "a red ball bounces over green grass", "zh": "一条蓝色的鱼在海里向左移动"}


def make(page, prompt):
    page.locator("#create-prompt textarea").click()
    page.locator("#create-prompt textarea").fill("")
    page.keyboard.type(prompt)
    page.locator("#create-make").click()


def test_a_clip_is_made_by_typing_and_clicking_and_another_is_cancelled(open_page):
    page = open_page("/ui/en", WIDE)
    make(page, PROMPTS["en"])
    bar = page.locator("#create-stage [role=progressbar]")
    bar.wait_for()
    seen, pictures, is_photographed = set(), 0, False
    while bar.count():
        try:
            seen.add(int(bar.get_attribute("aria-valuenow", timeout=2000)))
        except Exception:  # noqa: BLE001  drawn anew, or over
            break
        previews = page.locator("#create-stage .vs-preview").count()
        pictures += previews
        if previews and max(seen) > 30 and not is_photographed:
            photograph(page, "create-running")
            is_photographed = True
        time.sleep(0.2)
    assert len(seen) >= 4 and max(seen) > 50, f"progress was seen at {sorted(seen)}"
    assert pictures and is_photographed, "no preview was seen"
    duration, width, first, later = playing(page, "#create-stage")
    assert (duration, width) == (pytest.approx(17 / 8, abs=0.1), 128) and later != first
    assert fits(page)
    photograph(page, "create")

    seed = page.locator("#create-stage .vs-chips").inner_text().split("Seed ")[1].split()[0]
    page.locator("#create-reuse").click()
    page.get_by_role("button", name="Details").click()
    page.wait_for_function("s => document.querySelector('#create-seed input')?.value === s", arg=seed)
    assert not page.locator("#create-new-seed input").is_checked()

    make(page, "a green square turns")
    page.locator("#create-cancel").click()
    page.wait_for_selector("#create-stage .vs-cancelled")
    assert not page.locator("#create-cancel").is_visible()


def test_jobs_are_looked_at_made_again_compared_and_deleted(open_page):
    page = open_page("/ui/en", WIDE)
    make(page, PROMPTS["en"])
    playing(page, "#create-stage")
    tab(page, "Jobs")
    page.locator("#jobs-filter").get_by_text("Done").click()
    page.locator("#jobs-list [data-job]", has_text=PROMPTS["en"]).first.click()
    page.wait_for_selector("#job-recipe .vs-recipe")
    assert "num_inference_steps" in page.locator("#job-recipe").inner_text()
    page.locator("#job-again-seed").click()
    page.wait_for_selector("#jobs-stage [role=progressbar]")
    playing(page, "#jobs-stage")
    page.locator("#jobs-compare button").first.click()
    for side, number in (("left", 0), ("right", 1)):
        page.wait_for_timeout(500)
        page.locator(f"#compare-{side} input").click()
        page.locator("[role=option]").nth(number).click()
    page.wait_for_selector("#compare video >> nth=1")
    page.locator("#compare [data-play]").click()
    page.wait_for_timeout(1200)
    times = page.evaluate("[...document.querySelectorAll('#compare video')].map(v => v.currentTime)")
    assert min(times) > 0.2 and abs(times[0] - times[1]) < 0.12
    page.locator("#compare [data-play]").click()
    assert fits(page)
    photograph(page, "jobs")
    shown = page.locator("#jobs-stage [data-job]").get_attribute("data-job")
    page.wait_for_selector(f"#jobs-list [data-job='{shown}']")
    page.locator("#job-delete").click()
    page.wait_for_selector(f"#jobs-list [data-job='{shown}']", state="detached")


def test_a_workflow_is_set_and_run(open_page):
    page = open_page("/ui/en", WIDE)
    tab(page, "Workflows")
    page.locator("#workflow-name input").click()
    page.get_by_role("option", name="text-to-video-plus").click()
    page.get_by_label("interpolate.factor").fill("2")
    page.locator("#workflow-prompt textarea").fill("a yellow star spins in front of a night sky")
    page.locator("#workflow-run").click()
    duration, _, first, later = playing(page, "#workflows-stage")
    assert duration == pytest.approx(33 / 16, abs=0.1) and later != first
    photograph(page, "workflows")
    tab(page, "Models")
    page.locator("#models-search input, #models-search textarea").first.fill("cogvideox apache")
    page.wait_for_function("document.querySelectorAll('#models-list .vs-model').length < 8")
    page.locator("#models-search input, #models-search textarea").first.fill("")
    page.wait_for_function("document.querySelectorAll('#models-list .vs-model').length > 40")
    photograph(page, "models", whole=False)


def test_on_a_phone_in_chinese(open_page):
    page = open_page("/ui/zh", NARROW)
    make(page, PROMPTS["zh"])
    playing(page, "#create-stage")
    assert fits(page)
    photograph(page, "phone-zh")
    tab(page, "任务")
    page.wait_for_selector("#jobs-list [data-job]")
    assert fits(page)
    photograph(page, "phone-jobs-zh")
    text = page.locator("body").inner_text()
    assert "创作" in text and "Create" not in text


def test_the_other_language_is_one_click_away(open_page):
    page = open_page("/ui/en", NARROW)
    photograph(page, "phone")
    page.locator("#vs-language").click()
    page.wait_for_url("**/ui/zh**")
    page.wait_for_selector("text=生成视频")
    assert page.evaluate("[document.documentElement.lang, navigator.language]") == ["zh-CN", "zh-CN"]


@pytest.fixture(scope="module")
def drawn():
    """A prompt in Chinese, and the frames of what it says."""
    shown = next(prompt for prompt in held_out_prompts() if prompt.language == "zh")
    return shown.prompt, np.ascontiguousarray((render([shown.scene])[0] * 255).round().byte().numpy())


def test_a_picture_becomes_a_clip(open_page, tmp_path, drawn):
    prompt, frames = drawn
    picture = write_image(Image(frames[0]), tmp_path / "picture.png")
    page = open_page("/ui/zh", WIDE)
    page.locator("#create-mode").get_by_text("图片").click()
    assert (
        "拖放" in page.locator("#create-picture").inner_text()
    )  # Gradio's own words, in the page's language
    page.locator("#create-picture input[type=file]").set_input_files(picture)
    page.wait_for_selector("#create-picture img")
    make(page, prompt)
    playing(page, "#create-stage")
    photograph(page, "create-zh")


def test_a_picture_becomes_a_clip_by_the_first_workflow_as_it_stands(open_page, tmp_path, drawn):
    page = open_page("/ui/en", WIDE)
    tab(page, "Workflows")
    picture = write_image(Image(np.ascontiguousarray(drawn[1][0, 30:98])), tmp_path / "wide.png")
    page.locator("#workflow-prompt textarea").fill("it moves")
    page.locator("#workflow-input input[type=file]").set_input_files(picture)
    page.get_by_text("wide.png").wait_for()
    page.locator("#workflow-run").click()
    playing(page, "#workflows-stage")
    width, height = page.evaluate(
        "(v => [v.videoWidth, v.videoHeight])(document.querySelector('#workflows-stage video'))"
    )
    assert width / height == pytest.approx(128 / 68, abs=0.06)


def test_a_clip_drives_another(open_page, tmp_path, drawn):
    prompt, frames = drawn
    page = open_page("/ui/zh", WIDE)
    page.locator("#create-mode").get_by_text("视频").click()
    page.locator("#create-clip input[type=file]").set_input_files(
        write(Clip(frames, 8), tmp_path / "drive.mp4")
    )
    page.wait_for_function("document.querySelector('#create-clip-view video')?.readyState >= 2")
    make(page, prompt)
    assert playing(page, "#create-stage")[1] == 128
    assert fits(page)


def test_with_keys_the_door_asks_for_one(browser, tmp_path):
    with serving(tmp_path / "house") as url:
        office = Office(House(tmp_path / "house"))
        key = office.keys.create("visitor")[1]
        office.close()
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(LONG_MS)
        page.goto(f"{url}/ui/zh")
        page.locator("input[name=key]").fill("vk_wrong")
        page.get_by_role("button").click()
        page.wait_for_selector(".vs-wrong")
        photograph(page, "door-zh")
        page.locator("input[name=key]").fill(key)
        page.get_by_role("button").click()
        page.wait_for_selector("#create-make")
        page.wait_for_selector("#head .vs-state:not(.vs-off)")
        page.locator("#create-model input").click()
        page.get_by_role("option", name="colour-bars").click()
        make(page, "彩条")
        assert playing(page, "#create-stage")[1] == 128  # the video element's request carried the cookie
        page.get_by_text("退出").click()
        page.wait_for_selector("input[name=key]")
        page.close()
