"""The same votes rated in other ways."""

import numpy as np
import pytest
from scipy.special import expit

from tests.evaluation.arena import simulated, vote
from vitascope.errors import RequestError
from vitascope.evaluation.bradley_terry import POINTS, rate
from vitascope.evaluation.sensitivity import bootstrap_intervals, control_style, fit_davidson

STRENGTHS = {"a": -0.8, "b": 0.0, "c": 0.8}


def test_bootstrap_agrees_with_the_sandwich_and_repeats_exactly():
    votes = simulated(STRENGTHS, items=60)
    drawn = bootstrap_intervals(votes, rounds=200)
    for row in rate(votes):
        low, high = drawn[row.name]
        assert high - low == pytest.approx(row.high - row.low, rel=0.25)
        assert low < row.rating < high
    assert bootstrap_intervals(votes, rounds=20) == bootstrap_intervals(votes, rounds=20)


def test_davidson_without_ties_is_bradley_terry():
    votes = simulated(STRENGTHS, items=60)
    davidson = fit_davidson(votes)
    assert davidson.tie_tendency < 0.02
    for row in rate(votes):
        assert davidson.ratings[row.name] == pytest.approx(row.rating, abs=1)


def test_davidson_finds_the_tendency_to_tie():
    """Two equals who tie in half of the votes: nu / (2 + nu) = 1 / 2."""
    choices = ["left", "right", "tie", "tie"] * 50
    votes = [vote(choice=choice, item=f"item-{n}") for n, choice in enumerate(choices)]
    davidson = fit_davidson(votes)
    assert davidson.tie_tendency == pytest.approx(2, rel=0.01)
    assert davidson.ratings["a"] == pytest.approx(davidson.ratings["b"], abs=0.01)


def test_a_preference_for_brightness_is_taken_out():
    """Both algorithms are equal; raters like the brighter clip, and b is brighter."""
    rng, votes, traits = np.random.default_rng(0), [], {}
    for n in range(600):
        item = f"item-{n}"
        brightness = {"a": rng.uniform(50, 120), "b": rng.uniform(80, 150)}
        for name, value in brightness.items():
            traits[name, item] = {"brightness": value}
        lead = 8 * (brightness["a"] - brightness["b"]) / (brightness["a"] + brightness["b"])
        votes.append(vote(choice="left" if rng.random() < expit(lead) else "right", item=item))
    plain = {row.name: row.rating for row in rate(votes)}
    controlled = control_style(votes, traits)
    assert plain["b"] - plain["a"] > 100
    assert abs(controlled.ratings["b"] - controlled.ratings["a"]) < 0.35 * (plain["b"] - plain["a"])
    assert controlled.effects["brightness"] > 0.5


def test_traits_must_be_there_for_every_clip():
    with pytest.raises(RequestError, match="'b' on item 'item-0'"):
        control_style([vote()], {("a", "item-0"): {"sharpness": 1.0}})
    both = {(name, "item-0"): {"sharpness": -1.0} for name in "ab"}
    with pytest.raises(RequestError, match="negative"):
        control_style([vote()], both)


def test_points_are_those_of_chess():
    assert pytest.approx(10) == np.exp(400 / POINTS)
