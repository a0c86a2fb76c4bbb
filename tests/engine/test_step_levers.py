"""What was asked for by name and would leave nothing out is refused before a step is made."""

import pytest

from vitascope.engine.block_cache import BlockCache
from vitascope.engine.guidance_interval import GuidanceInterval
from vitascope.engine.levers import Levers
from vitascope.engine.step_levers import check
from vitascope.engine.step_plan import SkipSchedule
from vitascope.errors import RequestError

THIRD = Levers(skip=SkipSchedule(interval=3))
TAYLOR = Levers(cache=BlockCache(kind="taylor"))
ALWAYS_FIRST = Levers(cache=BlockCache(kind="first-block"))
HALF = Levers(guidance=GuidanceInterval(start=0, stop=0.5))
NEARLY_ALL = Levers(guidance=GuidanceInterval(start=0, stop=0.99))


@pytest.mark.parametrize(
    ("levers", "interval", "steps", "guidance_scale", "said"),
    [
        (THIRD, 3, 6, 5.0, "skip_interval=3 skips none of 6 steps, of which the first 4 and the last 2"),
        (THIRD, 3, 1, 5.0, "none of 1 step,"),
        (TAYLOR, None, 15, 5.0, "cache='taylor' leaves nothing out of 15 steps"),
        (HALF, None, 50, 1.0, "guidance_interval has no effect at guidance_scale=1"),
        (
            NEARLY_ALL,
            None,
            20,
            5.0,
            r"guidance_interval=\[0, 0.99\] leaves the negative prompt out of none of 20",
        ),
    ],
)
def test_a_switch_that_leaves_nothing_out_is_an_error(levers, interval, steps, guidance_scale, said):
    with pytest.raises(RequestError, match=said):
        check(levers, interval, steps, guidance_scale)


@pytest.mark.parametrize(
    ("levers", "interval", "steps"),
    [
        (THIRD, 3, 7),
        (THIRD, None, 4),  # a speed word, which leaves out what it can
        (TAYLOR, None, 16),
        (ALWAYS_FIRST, None, 2),  # only the clip tells
        (HALF, None, 2),
        (Levers(), None, 1),
    ],
)
def test_what_leaves_something_out_or_was_not_asked_for_by_name_is_not(levers, interval, steps):
    check(levers, interval, steps, 5.0)
