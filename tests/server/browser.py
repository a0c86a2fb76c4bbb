"""A real browser for the tests of the pages, and what they all ask of a page."""

from pathlib import Path

IMAGES = Path(__file__).parents[2] / "docs/images"
WIDE, NARROW = (1440, 900), (390, 844)
LONG_MS = 60_000


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def photograph(page, name, *, whole=True):
    page.mouse.move(0, 0)
    page.wait_for_timeout(700)
    page.screenshot(path=IMAGES / f"ui-{name}.jpg", type="jpeg", quality=80, full_page=whole)


def fits(page):
    """Nothing sticks out to the right."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def playing(page, selector):
    """Length, width and two moments of a video that plays by itself."""
    page.wait_for_selector(f"{selector} video")
    page.wait_for_function("s => document.querySelector(s + ' video').readyState >= 3", arg=selector)
    look = "s => { const v = document.querySelector(s + ' video'); return [v.duration, v.videoWidth, v.currentTime]; }"
    duration, width, first = page.evaluate(look, selector)
    page.wait_for_timeout(400)
    return duration, width, first, page.evaluate(look, selector)[2]
