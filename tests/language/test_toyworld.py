"""The embedded model's prompts are completed in its own words and keep all of theirs."""

import pytest

from vitascope.language.toyworld import completed
from vitascope.toyworld.captions import parse
from vitascope.toyworld.scenes import CLASHES

PROMPTS = [
    "a star",
    "A heart",
    "an orange cat",
    "the fish swims left",
    "a big car at night",
    "a fat man in a red shirt",
    "一颗星星",
    "一只蓝色的猫",
    "一条鱼向左游",
    "一辆车在城市里",
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("seed", range(4))
def test_fills_in_what_is_open_and_keeps_what_is_said(prompt, seed):
    text = completed(prompt, seed)
    before, after = parse(prompt), parse(text)
    for name in ("colour", "kind", "motion", "background"):
        if getattr(before, name) is not None:
            assert getattr(after, name) == getattr(before, name), (prompt, text)
        else:
            assert getattr(after, name) is not None or name == "colour", (prompt, text, name)
    if after.colour and after.background and not before.background:
        assert after.colour not in CLASHES[after.background], text
    if prompt.isascii():
        rest = iter(text.lower().replace(",", "").split())
        assert all(word in ("a", "an") or word in rest for word in prompt.lower().split()), text


def test_what_is_complete_stays_and_what_is_foreign_is_left():
    said = "a red ball bounces over green grass"
    assert completed(said, 0) == said
    assert completed("a dragon breathes fire", 0) is None
    assert completed("a star", 1) == completed("a star", 1)
    assert len({completed("a star", seed) for seed in range(8)}) > 2
