"""Cards of one's own."""

import tomllib

import pytest

from vitascope.catalogue import add_card, card_from_answers, copy_card, load_cards
from vitascope.catalogue.adding import card_toml
from vitascope.catalogue.card import card_of
from vitascope.errors import InvalidMedia, RequestError, UnknownName

SOURCE = "https://example.org/paper"
ANSWERS = {"name": 'Näme "quoted" \\ 视频 \x7f', "org": "Us", "tasks": ["t2v"], "released": "2026-03"}


@pytest.fixture(autouse=True)
def _fresh_library():
    load_cards.cache_clear()
    yield
    load_cards.cache_clear()


def test_every_shipped_card_survives_being_written():
    for card in load_cards().values():
        assert card_of(card.id, tomllib.loads(card_toml(card))) == card


def test_an_added_card_is_found_beside_the_shipped_ones_and_never_overwritten():
    count = len(load_cards())
    facts = ["licence=MIT", "code=https://example.org/code"]
    card = card_from_answers("my-model", {**ANSWERS, "licence_kind": "open"}, facts, SOURCE)
    path = add_card(card)
    assert len(load_cards()) == count + 1
    assert load_cards()["my-model"] == card
    assert card.name == ANSWERS["name"]
    assert card.cohort == "2025-2026"
    assert card.facts.release.text == "2026-03"
    before = path.read_bytes()
    with pytest.raises(RequestError, match="already"):
        add_card(card)
    assert path.read_bytes() == before
    with pytest.raises(RequestError, match="already"):
        add_card(card.model_copy(update={"id": "mochi-1"}))


@pytest.mark.parametrize(
    ("change", "facts", "message"),
    [
        ({"tasks": ["dance"]}, [], "tasks.0='dance'"),
        ({"released": "March"}, [], "released='March'"),
        ({}, ["colour=red"], "colour"),
        ({}, ["code"], "not NAME=VALUE"),
        ({}, ["licence=MIT"], "open, conditions"),
        ({"licence_kind": "open"}, [], "needs the licence itself"),
    ],
)
def test_what_no_card_can_say_is_refused_by_name(change, facts, message):
    with pytest.raises(RequestError, match=message):
        card_from_answers("my-model", {**ANSWERS, **change}, facts, SOURCE)


def test_a_file_is_checked_before_it_is_copied(tmp_path):
    good = tmp_path / "mine.toml"
    good.write_text(card_toml(card_from_answers("mine", ANSWERS, [], SOURCE)), encoding="utf-8")
    assert copy_card(good, tmp_path / "shelf").name == "mine.toml"
    (tmp_path / "bad.toml").write_text("name = 'x'\n")
    (tmp_path / "worse.toml").write_text("name =")
    based = good.read_text().replace("[architecture]", '[architecture]\nbase = "no-such"')
    (tmp_path / "based.toml").write_text(based)
    with pytest.raises(InvalidMedia, match="org: Field required"):
        copy_card(tmp_path / "bad.toml")
    with pytest.raises(InvalidMedia, match=r"worse\.toml"):
        copy_card(tmp_path / "worse.toml")
    with pytest.raises(UnknownName, match="no-such"):
        copy_card(tmp_path / "based.toml")
