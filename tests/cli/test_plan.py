"""`vitascope plan`: on a machine with no GPU and no weights it says what would be done, and what that takes."""

import pytest


def test_says_what_why_and_how_much(vitascope):
    told = vitascope("plan", "mochi-1", "--frames", 163, "--steps", 50, "--gpus", 4, "--on", "h200")
    assert told.code == 0, told.err
    for words in (
        "163 frames of 848x480",
        "44520 visual tokens",
        "cfg 2 x ulysses 2",
        "FlashAttention-3",
        "at most",
    ):
        assert words in told.out
    made = vitascope("plan", "mochi-1", "--gpus", 4, "--on", "h200", "--steps", 50, "--json").json()
    assert made["layout"] == {"cfg": 2, "ulysses": 2, "ring": 1}
    assert 60 < made["total_s"] < 100 and 30 < made["peak_gib"] < 40


def test_memory_and_speed_change_the_plan(vitascope):
    told = vitascope("plan", "cogvideox-5b", "--speed", "turbo", "--memory", "16GiB", "--on", "H100")
    assert told.code == 0, told.err
    assert "foretold" in told.out and "take turns" in told.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mochi-1", "--frames", "84"], "nearest: 85"),
        (["mochi-1", "--on", "H20"], "did you mean 'H200'"),
        (["mochi-1", "--gpus", "3", "--set", "cfg_degree=2"], "gpus=3"),
        (["mochi-1", "--set", "colour=red"], "colour"),
        (["mochi-2"], "mochi-1"),
        (["colour-bars"], "no plan is made for"),
        (["mochi-1", "--memory", "much"], "much"),
    ],
)
def test_bad_requests_are_one_line(vitascope, arguments, words):
    told = vitascope("plan", *arguments)
    assert told.code == 2 and words in told.err
    assert len(told.err.strip().splitlines()) == 1
