"""One board: ratings, metrics and costs, nothing mixed that does not belong together."""

import numpy as np
import pytest

from tests.evaluation.arena import simulated, vote
from vitascope.errors import RequestError, UnknownName
from vitascope.evaluation.leaderboard import Measurement, RunCost, build_board, link_to_ratings
from vitascope.evaluation.pairing import draw_pair, pair_probabilities

STRENGTHS = {"mochi-1": 0.0, "cogvideox-5b": 0.6, "latte-1": -0.6}


def measured(algorithm, item, value, metric="psnr", **more):
    facts = {"tier": "exact", "unit": "dB", "direction": "higher", **more}
    return Measurement(algorithm=algorithm, item=item, metric=metric, value=value, **facts)


def test_board_joins_votes_metrics_and_costs_and_keeps_published_apart():
    measurements = [measured("mochi-1", f"item-{n}", 30 + n) for n in range(3)]
    costs = [RunCost(algorithm="mochi-1", seconds=s, memory_gib=20 + s, machine="h100") for s in (4, 6)]
    board = build_board("t2v", simulated(STRENGTHS, items=40), measurements, costs)
    rows = {row.algorithm: row for row in board.rows}
    assert board.rows[0].algorithm == "cogvideox-5b"
    assert rows["mochi-1"].badge == "" and rows["mochi-1"].rating.votes > 100
    assert rows["mochi-1"].seconds == 5 and rows["mochi-1"].memory_gib == 26
    cell = rows["mochi-1"].cells["psnr"]
    assert cell.mean == 31 and cell.high - 31 == pytest.approx(4.3027 / np.sqrt(3), rel=1e-3)
    assert rows["latte-1"].cells["psnr"].mean is None
    assert rows["latte-1"].cells["psnr"].note == "not measured"
    assert rows["mochi-1"].published[0].total == 80.13
    assert "psnr" in {column.metric for column in board.columns}
    assert not any("VBench" in column.metric for column in board.columns)


def test_several_clips_of_one_item_count_once():
    measurements = [measured("a", "x", value) for value in (10, 20)] + [measured("a", "y", 30)]
    cell = build_board("t2v", measurements=measurements).rows[0].cells["psnr"]
    assert cell.mean == pytest.approx(22.5) and cell.items == 2


def test_what_could_not_be_measured_says_why_and_is_not_zero():
    why = "needs svm.txt"
    measurements = [measured("a", "x", None, not_measured=why), measured("b", "x", 20.0)]
    board = build_board("t2v", measurements=measurements)
    assert [row.algorithm for row in board.sorted_by("psnr")] == ["b", "a"]
    assert board.sorted_by("psnr")[1].cells["psnr"].note == why


@pytest.mark.parametrize("count, badge", [(20, "hidden"), (60, "preliminary"), (120, "")])
def test_badges_go_by_the_number_of_votes(count, badge):
    votes = [vote(choice=("left", "right")[n % 2], item=f"item-{n}") for n in range(count)]
    assert build_board("t2v", votes).rows[0].badge == badge


def test_sorting_is_by_the_better_end_and_only_where_there_is_one():
    lower = {"metric": "warp-error-dis", "direction": "lower", "tier": "variant", "unit": "x"}
    still = {"metric": "flow", "direction": "neither", "unit": "x"}
    measurements = [measured(a, "x", v, **lower) for a, v in (("a", 2.0), ("b", 1.0))]
    board = build_board("t2v", measurements=[*measurements, measured("a", "x", 1.0, **still)])
    assert [row.algorithm for row in board.sorted_by("warp-error-dis")] == ["b", "a"]
    assert any("warp-error-dis" in note and "not comparable" in note for note in board.notes)
    with pytest.raises(RequestError, match="no better end"):
        board.sorted_by("flow")
    with pytest.raises(UnknownName):
        board.sorted_by("fvd")


def test_seconds_of_two_machines_and_two_tiers_of_a_metric_are_refused():
    costs = [RunCost(algorithm="a", seconds=1, machine=machine) for machine in ("h100", "h200")]
    with pytest.raises(RequestError, match="h100, h200"):
        build_board("t2v", costs=costs)
    mixed = [measured("a", "x", 1.0), measured("b", "x", 1.0, tier="variant")]
    with pytest.raises(RequestError, match="measured in two ways"):
        build_board("t2v", measurements=mixed)


def test_a_metrics_use_is_shown_by_how_it_goes_with_ratings():
    ratings = {name: float(n) for n, name in enumerate("abcdefgh")}
    same = link_to_ratings({name: value**3 for name, value in ratings.items()}, ratings)
    assert (same.spearman, same.kendall) == pytest.approx((1, 1)) and same.algorithms == 8
    opposed = link_to_ratings({name: -value for name, value in ratings.items()}, ratings)
    assert opposed.spearman_interval[1] < 0
    with pytest.raises(RequestError, match="four algorithms"):
        link_to_ratings({"a": 1.0}, ratings)


def test_pairs_with_fewer_votes_are_drawn_more_often_but_all_stay_possible():
    votes = [vote("a", "b", item=f"item-{n}") for n in range(9)]
    chances = pair_probabilities(["a", "b", "c"], votes)
    assert sum(chances.values()) == pytest.approx(1)
    assert chances["a", "b"] == pytest.approx(0.5 / 3 + 0.5 * 0.1 / 2.1)
    assert chances["a", "c"] == pytest.approx(0.5 / 3 + 0.5 / 2.1)
    with pytest.raises(RequestError, match="two algorithms"):
        pair_probabilities(["a"], [])


def test_a_rater_sees_every_pair_once():
    rng, clips, votes = np.random.default_rng(0), {"x": ["a", "b", "c"], "y": ["a", "b"]}, []
    for _ in range(4):
        drawn = draw_pair(clips, votes, "ann", rng)
        votes.append(vote(drawn.left, drawn.right, item=drawn.item, probability=drawn.probability))
    assert len({(v.item, v.pair) for v in votes}) == 4
    with pytest.raises(RequestError, match="voted on every pair"):
        draw_pair(clips, votes, "ann", rng)
    assert draw_pair(clips, votes, "bob", rng).probability <= 1
