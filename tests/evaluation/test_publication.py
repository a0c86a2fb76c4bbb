"""When a board may be published."""

import pytest

from tests.evaluation.arena import simulated, vote
from tests.evaluation.test_opinions import opinion, panel
from vitascope.evaluation.opinion_board import rate_opinions
from vitascope.evaluation.publication import check_opinions, check_votes


def failed(publication):
    return {check.rule: check.found for check in publication.missing}


def test_many_agreeing_votes_on_many_prompts_are_publishable():
    votes = simulated({"a": 2.5, "b": 0.0, "c": -2.5}, items=40, raters=6)
    publication = check_votes(votes)
    assert publication.publishable, failed(publication)


def test_what_is_missing_is_said_rule_by_rule():
    assert set(failed(check_votes([]))) == {"votes", "connected", "bounded", "items", "raters", "agreement"}
    apart = [vote("a", "b"), vote("c", "d", item="item-1")]
    said = failed(check_votes(apart))
    assert "a, b | c, d" in said["connected"]
    always = [vote("a", "b", item=f"item-{n}", rater=f"r{n % 3}") for n in range(120)]
    assert failed(check_votes(always)) == {
        "bounded": "no end for a, b",
        "trust": "100% by r0, r1, r2",  # forty times left and never right
        "agreement": "not known",
    }


def test_votes_of_raters_who_fail_the_hidden_checks_are_not_enough():
    votes = simulated({"a": 2.5, "b": 0.0, "c": -2.5}, items=40, raters=6)
    golds = [vote("a", "a (spoilt)", "right", item=f"item-{n}", rater="rater-0", gold=True) for n in range(5)]
    said = failed(check_votes([*votes, *golds]))
    assert list(said) == ["trust"] and "by rater-0" in said["trust"]


@pytest.mark.parametrize("raters, items, missing", [(16, 12, set()), (5, 12, {"raters"}), (16, 4, {"items"})])
def test_scores_need_a_panel(raters, items, missing):
    board = rate_opinions(panel(raters=raters, items=items))
    assert set(failed(check_opinions(board))) == missing


def test_scores_that_do_not_agree_are_not_published():
    odd = rate_opinions(panel(raters=16, items=12, odd=set(range(16))))
    assert set(failed(check_opinions(odd))) == {"agreement"}
    assert set(failed(check_opinions(rate_opinions([opinion(3)])))) == {"items", "raters", "agreement"}
