"""Ratings: against SciPy, against the truth of simulations, and where the data does not allow one."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from tests.evaluation.arena import simulated, vote
from vitascope.errors import RequestError
from vitascope.evaluation.bradley_terry import (
    POINTS,
    clustered_covariance,
    design_of,
    fit_strengths,
    rate,
)
from vitascope.evaluation.simulation import Population, coverage, expected_width

STRENGTHS = {"a": -0.8, "b": 0.0, "c": 0.3, "d": 1.0}


def test_strengths_are_those_that_scipy_finds():
    design = design_of(simulated(STRENGTHS, ties=0.2))

    def loss(strengths):
        lead = strengths[design.first] - strengths[design.second]
        likelihood = design.share * np.log(expit(lead)) + (1 - design.share) * np.log(expit(-lead))
        return -(design.weight @ likelihood) + 0.5e-3 * strengths @ strengths

    expected = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    assert fit_strengths(design) == pytest.approx(expected - expected.mean(), abs=1e-5)


def test_two_algorithms_have_the_closed_form():
    """75 wins of 100 are log odds of log 3, and one vote an item gives the binomial error."""
    votes = [vote(choice="left" if n < 75 else "right", item=f"item-{n}") for n in range(100)]
    first, second = rate(votes)
    assert first.rating - second.rating == pytest.approx(POINTS * np.log(3), rel=1e-3)
    assert first.rating + second.rating == pytest.approx(2000)
    error = POINTS * np.sqrt(1 / (100 * 0.75 * 0.25)) / 2 * np.sqrt(100 / 99)
    assert first.standard_error == pytest.approx(error, rel=2e-3)


def test_simulated_strengths_are_recovered_within_three_errors():
    population = Population((-1.0, -0.4, 0.0, 0.5, 0.9), items=80, votes_per_item=20, item_spread=0.5)
    design = population.draw(np.random.default_rng(4))
    strengths = fit_strengths(design)
    errors = np.sqrt(np.diag(clustered_covariance(design, strengths)))
    assert (np.abs(strengths - population.target()) < 3 * errors).all()


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The quick version; the proof with 2,000 simulations is `slow`."""
    population = Population(tuple(np.linspace(-1, 1, 6)), items=30, votes_per_item=20, item_spread=0.8)
    result = coverage(population, simulations=60, seed=5)
    assert 0.92 <= result.covered <= 0.98
    assert result.covered_if_votes_were_independent < result.covered - 0.03


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("items, votes_per_item", [(60, 10), (30, 20)])
@pytest.mark.parametrize("item_spread, tie_share", [(0.0, 0.0), (0.8, 0.2)])
def test_intervals_cover_93_to_97_percent_of_2000_simulations(items, votes_per_item, item_spread, tie_share):
    strengths = tuple(np.linspace(-1, 1, 6))
    result = coverage(Population(strengths, items, votes_per_item, item_spread, tie_share), simulations=2000)
    assert 0.93 <= result.covered <= 0.97
    assert result.within_three_errors >= 0.98
    assert result.mean_bias < 5, "rating points"


def test_order_of_votes_and_sides_do_not_matter():
    votes = simulated(STRENGTHS)
    flip = {"left": "right", "right": "left"}
    swapped = [
        v.model_copy(update={"left": v.right, "right": v.left, "choice": flip.get(v.choice, v.choice)})
        for v in votes[::-1]
    ]
    for ours, theirs in zip(rate(votes), rate(swapped), strict=True):
        assert ours.name == theirs.name
        assert ours.rating == pytest.approx(theirs.rating, abs=1e-6)
        assert ours.low == pytest.approx(theirs.low, abs=1e-6)


def test_board_is_by_lower_bound_and_ranks_stay_open_where_intervals_overlap():
    board = rate(simulated(STRENGTHS, items=60))
    assert [row.low for row in board] == sorted((row.low for row in board), reverse=True)
    assert board[0].name == "d" and board[0].rank_low == 1
    assert all(row.rank_low <= place <= row.rank_high for place, row in enumerate(board, start=1))
    assert sum(row.votes for row in board) == 2 * 60 * 8
    assert np.mean([row.rating for row in board]) == pytest.approx(1000)


def test_one_that_wins_everything_is_finite_and_has_no_interval():
    votes = [vote(*pair, "left", f"item-{n}") for n in range(10) for pair in (("c", "a"), ("c", "b"))]
    votes += [vote("a", "b", "left" if n % 2 else "right", f"item-{n}") for n in range(10)]
    winner = next(row for row in rate(votes) if row.name == "c")
    assert np.isfinite(winner.rating) and winner.rating > 1000
    assert winner.low is None and winner.high is None
    assert "won or lost everything" in winner.note
    assert all(row.low is not None for row in rate(votes) if row.name != "c")


def test_a_graph_in_pieces_is_refused_and_the_pieces_are_named():
    votes = [vote("a", "b"), vote("c", "d")]
    with pytest.raises(RequestError, match=r"never compared with one another: a, b \| c, d"):
        rate(votes)


def test_duplicates_and_mixed_tasks_are_refused():
    with pytest.raises(RequestError, match="already voted"):
        rate([vote(), vote("b", "a", "right")])
    with pytest.raises(RequestError, match=r"of one task.*\['i2v', 't2v'\]"):
        rate([vote(), vote(item="x").model_copy(update={"task": "i2v"})])
    with pytest.raises(RequestError, match="none"):
        rate([])


def test_hidden_repetitions_are_not_counted():
    votes = simulated(STRENGTHS)
    again = [v.model_copy(update={"repeat": True}) for v in votes[:50]]
    assert rate(votes + again) == rate(votes)


def test_votes_weigh_by_how_unlikely_their_pair_was():
    """Half the wins of a come from pairs drawn four times as often: they count a quarter."""
    common = [vote(choice="left", item=f"item-{n}", probability=0.8) for n in range(40)]
    rare = [vote(choice="right", item=f"item-{n}", rater="bob", probability=0.2) for n in range(10)]
    by_name = {row.name: row.rating for row in rate(common + rare)}
    assert by_name["a"] == pytest.approx(by_name["b"], abs=1e-6)
    assert max(design_of([*common, vote(rater="eve", probability=1e-6)]).weight) <= 11


def test_one_item_alone_gives_no_interval():
    votes = [vote(choice="left" if n % 3 else "right", rater=f"rater-{n}") for n in range(30)]
    assert {row.note for row in rate(votes)} == {"votes on one item alone give no interval"}


def test_more_items_narrow_the_interval():
    widths = expected_width(standard_error=20, items=30, more_items=[0, 30, 90])
    assert widths[0] == pytest.approx(2 * 2.0452 * 20, rel=1e-3)
    assert widths[90] == pytest.approx(widths[0] / 2, rel=0.04)


def test_who_won_everything_stands_above_who_lost_everything():
    votes = [
        vote(left="beta", right="alpha", choice="right", item=item, rater=rater)
        for item in ("one", "two")
        for rater in ("ann", "bob")
    ]
    rows = rate(votes)
    assert [row.name for row in rows] == ["alpha", "beta"]
    assert all(row.low is None and "won or lost everything" in row.note for row in rows)
