"""The catalogue as one page."""

import json
import re

import pytest

from vitascope.catalogue import catalogue_page, load_cards


@pytest.fixture(scope="module")
def page():
    return catalogue_page("zh")


def test_holds_every_card_with_its_sources(page):
    cards = json.loads(re.search(r"^const cards = (\[.*\]);$", page, re.M)[1])
    assert [card["id"] for card in cards] == list(load_cards())
    mochi = next(card for card in cards if card["id"] == "mochi-1")
    assert mochi["facts"]["licence"]["source"].startswith("https://")
    assert '<html lang="zh">' in page
    assert not re.search(r"@[A-Z_]+@", page)


def test_asks_no_other_host_and_lets_no_text_out_of_its_script(page):
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)
    assert "default-src 'none'" in page
    assert page.count("</script>") == 1
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
