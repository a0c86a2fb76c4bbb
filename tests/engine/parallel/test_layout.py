"""Devices are shared out as said, or as suits the model."""

import pytest

from vitascope.engine.parallel.layout import Layout, ranges, shares
from vitascope.errors import RequestError


@pytest.mark.parametrize(
    ("gpus", "heads", "guided", "words"),
    [
        (1, 24, True, "one device"),
        (2, 24, True, "cfg 2"),
        (2, 24, False, "ulysses 2"),
        (4, 24, True, "cfg 2 x ulysses 2"),
        (8, 24, True, "cfg 2 x ulysses 4"),
        (4, 24, False, "ulysses 4"),
        (5, 24, True, "ulysses 5"),  # 5, 5, 5, 5 and 4 heads
        (7, 24, True, "ring 7"),  # 4, 4, 4 and 3, 3, 3, 3 heads would leave ranks waiting
        (9, 24, True, "ulysses 3 x ring 3"),
        (4, 30, True, "cfg 2 x ulysses 2"),
        (2, None, True, "cfg 2"),
    ],
)
def test_derived(gpus, heads, guided, words):
    assert Layout.derived(gpus, heads, guided=guided).described() == words


def test_degrees_that_are_said_are_kept():
    assert Layout.derived(4, 24, guided=True, cfg=1).described() == "ulysses 4"
    assert Layout.derived(4, 24, guided=True, ring=2).described() == "cfg 2 x ring 2"
    assert Layout.derived(4, 24, guided=True, ulysses=4).described() == "ulysses 4"
    assert Layout.derived(4, 24, guided=True, ulysses=2, ring=2).described() == "ulysses 2 x ring 2"


@pytest.mark.parametrize(
    ("gpus", "heads", "guided", "degrees", "words"),
    [
        (3, 24, True, {"cfg": 2}, "gpus=3"),
        (4, 24, False, {"cfg": 2}, "guidance"),
        (4, 24, True, {"ulysses": 3}, "gpus=4 is not"),
        (4, 24, True, {"ulysses": 2, "ring": 3}, "which is 6"),
        (4, None, True, {}, "2 GPUs"),
        (2, None, False, {}, "a clip has one GPU"),
        (8, 4, False, {"ulysses": 8}, "4 heads"),
    ],
)
def test_what_cannot_be_is_refused(gpus, heads, guided, degrees, words):
    with pytest.raises(RequestError, match=words):
        Layout.derived(gpus, heads, guided=guided, **degrees)


def test_ulysses_groups_are_neighbours_and_cfg_is_outermost():
    layout = Layout(cfg=2, ulysses=2, ring=2)
    assert layout.groups("ulysses") == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert layout.groups("ring") == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert layout.groups("cfg") == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_shares_cover_everything_once():
    assert shares(7, 3) == [3, 2, 2]
    assert ranges(7, 3) == [(0, 3), (3, 5), (5, 7)]


@pytest.mark.parametrize(
    ("layout", "asked", "said"),
    [
        (
            Layout(ulysses=2),
            "model",
            "attention='model' cannot be shared out as ulysses 2; leave it out, or use 'fa3'",
        ),
        (Layout(ring=2), "model", "cannot be shared out as ring 2"),
        (Layout(ring=2), "sdpa", "attention='sdpa' cannot go around a ring of 2, where 'fa3' attends"),
        (Layout(cfg=2, ring=2), "int8", "attention='int8' cannot go around a ring"),
    ],
)
def test_a_kernel_that_would_not_be_used_is_refused(layout, asked, said):
    with pytest.raises(RequestError, match=said):
        layout.check_attention(asked, "fa3")


@pytest.mark.parametrize(
    ("layout", "asked"),
    [
        (Layout(cfg=2), "model"),
        (Layout(ulysses=2), "int8"),
        (Layout(ring=2), "fa3"),
        (Layout(ring=2), "auto"),
    ],
)
def test_a_kernel_that_is_used_is_not(layout, asked):
    layout.check_attention(asked, "fa3")
