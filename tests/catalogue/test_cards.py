"""The cards: every figure sourced and dated, the report's counts met, nothing unknown filled in."""

import pytest
from pydantic import ValidationError

from vitascope.catalogue import (
    find_card,
    load_cards,
    load_statements,
    report_counts,
    report_selection,
    resolve_architecture,
    statements_about,
)
from vitascope.catalogue.card import Facts, card_of
from vitascope.errors import UnknownName

CARDS = load_cards()


def facts_of(card):
    return {name: getattr(card.facts, name) for name in Facts.model_fields if getattr(card.facts, name)}


@pytest.mark.parametrize("card_id", CARDS)
def test_every_figure_has_a_source_and_a_date(card_id):
    card = CARDS[card_id]
    for name, fact in facts_of(card).items():
        assert "http" in fact.source or "PyPI" in fact.source, name
        assert fact.read.year >= 2026, name
        assert fact.value or name == "diffusers", f"{name} is empty: leave it out instead"
    for row in card.scores:
        assert row.source.startswith("http")
        figures = (row.total, row.quality, row.semantic, row.i2v)
        assert any(figure is not None for figure in figures)
        assert all(0 < figure <= 100 for figure in figures if figure is not None)


@pytest.mark.parametrize("card_id", CARDS)
def test_published_totals_follow_from_their_halves(card_id):
    for row in CARDS[card_id].scores:
        if row.benchmark == "VBench" and None not in (row.total, row.quality, row.semantic):
            adds_up = (4 * row.quality + row.semantic) / 5 == pytest.approx(row.total, abs=0.1)
            assert adds_up or "its halves give" in row.variant, row
        if row.benchmark == "VBench-I2V" and None not in (row.total, row.quality, row.i2v):
            assert (row.i2v + row.quality) / 2 == pytest.approx(row.total, abs=0.02), row


def test_base_of_every_card_is_known_and_inheritance_ends():
    for card in CARDS.values():
        architecture, origin = resolve_architecture(card)
        assert all(getattr(architecture, field) for field in origin)
        assert architecture.base == card.architecture.base


def test_a_card_takes_over_what_its_base_has_and_says_so():
    architecture, origin = resolve_architecture(find_card("mimicmotion"))
    assert architecture.vae == "2d-temporal-decoder"
    assert origin["vae"] == "svd-xt"
    assert "attention" not in origin


def test_a_card_with_its_own_vae_takes_no_factors_from_its_base():
    architecture, origin = resolve_architecture(find_card("ltx-2.5"))
    assert architecture.vae_factors is None
    assert "vae_factors" not in origin


def test_counts_of_the_founding_report_are_met():
    assert report_counts() == {"t2v": 11, "i2v": 8, "motion": 4, "trajectory-i2v": 3, "trajectory-t2v": 3}
    for task, chosen in report_selection().items():
        assert len(chosen) == report_counts()[task], task
        assert all(task in find_card(card_id).tasks for card_id in chosen)


def test_every_system_that_the_report_names_has_a_card():
    named = (
        "animatediff svd-xt open-sora-1.2 open-sora-plan-1.2.0 open-sora-plan-1.3.0 cogvideox-5b "
        "cogvideox-5b-i2v mochi-1 hunyuanvideo exvideo-svd mimicmotion"
    )
    for card_id in named.split():
        assert find_card(card_id).report.named


def test_statements_that_upstream_contradicts_are_marked():
    contradicted = {statement.id for statement in load_statements() if statement.verdict == "contradicted"}
    assert {"osp-1.2-is-2+1d", "osp-1.3-is-full-3d", "3d-text-encoder-is-t5"} <= contradicted
    for statement in load_statements():
        assert statement.cards and all(card_id in CARDS for card_id in statement.cards)
        assert "http" in statement.source
    assert [s.verdict for s in statements_about("open-sora-plan-1.3.0")].count("contradicted") == 2


def test_unknown_stays_unknown():
    assert "licence" in find_card("dragnuwa").unknown
    assert "vram" in find_card("animatediff").unknown
    assert find_card("cogvideox-5b").unknown == ()


def test_corrupt_and_vendor_rows_are_never_the_best():
    assert find_card("cogvideox1.5-5b-i2v").best_score("VBench-I2V") is None
    assert find_card("hunyuanvideo").best_score("VBench").total == 83.43


def test_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'mochi-1'"):
        find_card("mochi1")


def test_a_tag_without_a_sourced_fact_is_refused():
    content = {
        "name": "X",
        "org": "Y",
        "tasks": ["t2v"],
        "cohort": "2024",
        "architecture": {"attention": "full-3d"},
        "facts": {},
    }
    with pytest.raises(ValidationError, match=r"architecture\.attention needs a sourced facts\.attention"):
        card_of("x", content)
    with pytest.raises(ValidationError, match="colour"):
        card_of("x", {**content, "architecture": {}, "colour": "red"})
