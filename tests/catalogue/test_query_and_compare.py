"""Asking the catalogue, and laying algorithms side by side."""

import pytest

from vitascope.catalogue import compare_cards, query_cards, view_card
from vitascope.errors import RequestError, UnknownName


def ids(**conditions):
    return [card.id for card in query_cards(**conditions)]


def test_conditions_are_all_met():
    found = query_cards(task="i2v", licence="open", max_memory_gb=24)
    assert found
    for card in found:
        assert "i2v" in card.tasks
        assert card.facts.licence.kind == "open"
        assert card.facts.vram.min_gb <= 24


def test_an_unknown_figure_never_meets_a_condition():
    assert "animatediff" not in ids(max_memory_gb=1000)
    assert "animatediff" in ids(task="t2v")


def test_text_is_found_in_facts_letter_case_aside():
    assert "open-sora-plan-1.3.0" in ids(text="SKIPARSE")
    assert ids(text="no such words anywhere") == []


def test_release_dates_bound_both_ends():
    found = query_cards(released_since="2024-10-22", released_until="2024-10")
    assert {"allegro", "mochi-1"} <= {card.id for card in found}
    assert all("2024-10-22" <= str(card.released) <= "2024-10-31" for card in found)
    assert "dragnuwa" not in ids(released_since="2020")


def test_inherited_architecture_can_be_asked_for():
    assert "tora-t2v" in ids(text_encoder="t5")
    assert "mimicmotion" in ids(base="svd-xt")


def test_sorting_puts_the_unknown_last():
    totals = [card.best_score("VBench") for card in query_cards(sort="vbench", descending=True)]
    known = [row.total for row in totals if row]
    assert known == sorted(known, reverse=True)
    assert totals[len(known) :] == [None] * (len(totals) - len(known))


def test_wrong_conditions_are_refused_by_name_and_value():
    with pytest.raises(UnknownName, match="did you mean 'licence'"):
        query_cards(license="open")
    with pytest.raises(RequestError, match="'colour'"):
        query_cards(task="colour")
    with pytest.raises(RequestError, match=r"'yesterday'.*YYYY-MM"):
        query_cards(released_since="yesterday")


def test_comparison_shows_values_sources_and_where_they_differ():
    comparison = compare_cards(["cogvideox-5b", "tora-t2v", "open-sora-plan-1.2.0"])
    rows = {row.label: row for row in comparison.rows}
    assert [cell.text for cell in rows["vae channels"].cells] == ["16", "16", "4"]
    assert rows["vae channels"].cells[1].inherited_from == "cogvideox-5b"
    assert rows["vae channels"].differs and not rows["attention"].differs
    assert rows["licence (as stated)"].cells[2].source.startswith("https://")
    assert rows["vram (as stated)"].cells[2].text == "unknown"


def test_comparison_warns_of_what_does_not_belong_on_one_scale():
    cautions = compare_cards(["cogvideox1.5-5b-i2v", "tora-t2v", "open-sora-plan-1.2.0"]).cautions
    assert any("corrupt at its source" in caution for caution in cautions)
    assert any(caution == "tora-t2v: not for commercial use" for caution in cautions)
    assert any("contradicted by upstream" in caution for caution in cautions)
    hands = compare_cards(["mochi-1", "open-sora-plan-1.3.0"]).cautions
    assert any("different hands (leaderboard, leaderboard-copy)" in caution for caution in hands)


@pytest.mark.parametrize("chosen", [["mochi-1"], ["mochi-1", "mochi-1"], []])
def test_a_comparison_needs_two_different_algorithms(chosen):
    with pytest.raises(RequestError, match="two or more different"):
        compare_cards(chosen)


def test_view_of_a_card_has_its_era_and_the_reports_statements():
    view = view_card("open-sora-plan-1.2.0")
    assert view.era == "3D DiT"
    assert {statement.verdict for statement in view.statements} >= {"contradicted"}
