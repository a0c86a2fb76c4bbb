from fractions import Fraction

import numpy as np
import pytest

from tests.flow.pictures import panning, texture
from vitascope.flow.retiming import Retiming, num_retimed_frames


class Recorder:
    """Blends, and remembers what it was asked for."""

    def __init__(self):
        self.times = []

    def between(self, first, second, times):
        self.times.append(list(times))
        return [np.rint(first * (1 - t) + second * t).astype(np.uint8) for t in times]


def retimed(frames, source, target, **options):
    recorder = Recorder()
    retiming = Retiming(Fraction(source), Fraction(target), **options)
    return list(retiming.play(iter(frames), recorder)), recorder


@pytest.mark.parametrize("factor", [2, 4, 8, 3])
def test_originals_stay_untouched_and_the_rest_lies_evenly_between(factor):
    frames = panning(4, step=3)
    made, recorder = retimed(frames, 8, 8 * factor)
    assert len(made) == num_retimed_frames(4, Fraction(8), Fraction(8 * factor)) == 3 * factor + 1
    for number, frame in enumerate(frames):
        assert (made[number * factor] == frame).all()
    assert recorder.times == [pytest.approx([i / factor for i in range(1, factor)])] * 3


def test_any_rate():
    frames = panning(6, step=2)
    made, recorder = retimed(frames, 24, 60)
    assert len(made) == num_retimed_frames(6, Fraction(24), Fraction(60)) == 13
    assert recorder.times[:2] == [
        [pytest.approx(0.4), pytest.approx(0.8)],
        [pytest.approx(0.2), pytest.approx(0.6)],
    ]
    assert (made[5] == frames[2]).all()


def test_ntsc_rates_do_not_drift():
    frames = panning(30, step=1, height=32, width=32)
    made, _ = retimed(frames, Fraction(30000, 1001), Fraction(60000, 1001))
    assert len(made) == 59
    assert (made[58] == frames[29]).all()


def test_a_lower_rate_drops_frames():
    frames = panning(9, step=2)
    made, recorder = retimed(frames, 24, 12)
    assert [(a == b).all() for a, b in zip(made, frames[::2], strict=True)] == [True] * 5
    assert recorder.times == []


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_between_fewer_than_two_frames(number):
    made, _ = retimed(panning(2, step=1)[:number], 8, 16)
    assert len(made) == number


def test_cuts_are_held_and_not_blended():
    before, after = panning(3, step=2, seed=1), [frame // 3 for frame in panning(3, step=2, seed=2)]
    made, recorder = retimed(before + after, 8, 32)
    assert len(recorder.times) == 4
    assert all((made[i] == before[2]).all() for i in (8, 9, 10))
    assert all((made[i] == after[0]).all() for i in (11, 12))


def test_cuts_are_blended_when_asked():
    made, recorder = retimed([texture(32, 48, 1), texture(32, 48, 2) // 3], 8, 16, hold_cuts=False)
    assert len(recorder.times) == 1
    assert len(made) == 3


def test_copies_stay_as_long_as_they_were():
    a, b = panning(2, step=4)
    made, recorder = retimed([a, a, b, b], 8, 16)
    assert [(frame == a).all() for frame in made] == [True, True, True, False, False, False, False]
    assert recorder.times == [[0.5]]


def test_short_runs_of_copies_are_smoothed_over_when_asked():
    a, b = panning(2, step=4)
    made, recorder = retimed([a, a, b, b], 8, 16, duplicates="smooth")
    assert recorder.times == [[0.25, 0.5, 0.75]]
    assert (made[4] == b).all()
    assert len(made) == 7


def test_a_real_standstill_stays_one():
    a, b = panning(2, step=4)
    made, recorder = retimed([a] * 9 + [b], 8, 16, duplicates="smooth")
    assert recorder.times == [[0.5]]
    assert all((frame == a).all() for frame in made[:17])
    assert (made[18] == b).all()


def test_frames_are_asked_for_one_by_one():
    taken = []

    def source():
        for number, frame in enumerate(panning(50, step=1, height=32, width=32)):
            taken.append(number)
            yield frame

    playing = Retiming(Fraction(8), Fraction(16)).play(source(), Recorder())
    for _ in range(5):
        next(playing)
    assert len(taken) <= 4
