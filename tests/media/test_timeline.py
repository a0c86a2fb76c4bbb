"""Constant rates out of arbitrary moments."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.media.timeline import NTSC_RATES, constant_rate, resampled, simplest_rate

RATES = [Fraction(n) for n in (1, 8, 12, 24, 25, 30, 50, 60, 120)] + list(NTSC_RATES)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("tick", [1e-3, 1e-5])
def test_constant_rates_are_found_again_from_rounded_times(fps, tick):
    count = 90
    times = np.round(np.arange(count) / float(fps) / tick) * tick
    made = constant_rate(times, count / float(fps), fps, tick)
    assert (made.fps, made.num_frames, made.stored) == (fps, count, None)


@pytest.mark.parametrize("fps", [8, 10, 12, 16, 24, 25, 30, 33, 50])
def test_whole_rates_are_found_in_the_hundredths_of_a_gif_without_being_told(fps):
    count = 4 * fps
    times = np.floor(np.arange(count) * 100 / fps) / 100
    made = constant_rate(times, count / fps, None, 0.01)
    assert (made.fps, made.stored) == (fps, None)


def test_long_pauses_do_not_swallow_quick_frames():
    times = np.array([0, 0.1, 0.2, 0.3])
    made = constant_rate(times, 2.3)
    assert made.fps == 10
    assert made.stored.tolist() == [0, 1, 2] + [3] * 20
    assert made.counts(4) == (19, 0)


def test_each_slot_shows_what_is_on_screen_at_its_middle():
    made = resampled(np.array([0, 0.28, 0.29, 0.9]), 1.2, Fraction(5))
    assert made.stored.tolist() == [0, 2, 2, 2, 3, 3]
    assert made.counts(4) == (3, 1)


@given(st.lists(st.floats(0.002, 3), min_size=1, max_size=60))
def test_any_times_give_a_timeline_of_the_same_length_in_time(intervals):
    times = np.concatenate([[0], np.cumsum(intervals)[:-1]])
    duration = float(np.sum(intervals))
    made = constant_rate(times, duration)
    assert 0 < made.fps <= 500
    assert abs(made.num_frames / float(made.fps) - duration) <= max(1 / float(made.fps), 0.02 * duration)
    if made.stored is not None:
        assert len(made.stored) == made.num_frames
        assert (np.diff(made.stored) >= 0).all() and made.stored[-1] < len(times)
        shown_at = (np.arange(made.num_frames) + 0.5) / float(made.fps)
        assert (times[made.stored] <= shown_at + 1e-9).all()


def test_one_frame_has_the_rate_it_is_told():
    assert constant_rate(np.zeros(1), 0, Fraction(30)).fps == 30
    assert constant_rate(np.zeros(1), 0).num_frames == 1


@pytest.mark.parametrize(
    ("measured", "expected"), [(29.9701, Fraction(30000, 1001)), (30.0001, 30), (7.333333, Fraction(22, 3))]
)
def test_simplest_rate(measured, expected):
    assert simplest_rate(measured, 2e-4) == expected
