"""The three eras and the row since 2025, derived from how algorithms are built."""

from vitascope.catalogue import ERAS, era_of, era_table, find_card, load_cards
from vitascope.catalogue.eras import novelties_of


def era(card_id):
    return era_of(find_card(card_id)).era


def test_the_representatives_of_the_report_stand_where_upstream_puts_them():
    assert era("animatediff") == era("svd-xt") == "unet-2+1d"
    assert era("open-sora-1.2") == "dit-2+1d"
    assert era("cogvideox-5b") == era("mochi-1") == era("hunyuanvideo") == "dit-3d"
    assert era("open-sora-plan-1.3.0") == "dit-3d"
    assert era("open-sora-plan-1.2.0") == "dit-3d", "the report says 2+1D; its authors say dense 3D"


def test_since_2025_needs_both_the_date_and_something_new():
    assert era("wan2.2-t2v-a14b") == "since-2025"
    assert era("wan2.1-t2v-14b") == "dit-3d", "released 2025, but built as the models of 2024"
    assert era("ltx-video-2b") == "dit-3d", "a forerunner of 2024"
    assert novelties_of(find_card("ltx-video-2b")) == ("high-compression VAE 8x32x32",)
    assert era("hunyuanportrait") == "unet-2+1d", "a U-Net stays one in 2025"


def test_a_derived_work_stands_with_its_base():
    assert era("tora-t2v") == era("cogvideox-5b")
    assert era("mimicmotion") == era("svd-xt")


def test_too_little_known_gives_no_era():
    verdict = era_of(find_card("cosmos-predict2"))
    assert verdict.era is None
    assert "not published" in verdict.because[0]


def test_table_holds_every_card_once():
    table = era_table()
    assert list(table) == [*(row.era for row in ERAS), None]
    assert sorted(card.id for cards in table.values() for card in cards) == sorted(load_cards())
