"""Timeline and architecture drawings: valid SVG, text as text, the same bytes each time."""

from xml.etree import ElementTree

import pytest

from vitascope.catalogue import find_card, query_cards
from vitascope.catalogue.figures import architecture_svg, timeline_svg
from vitascope.errors import RequestError

SVG_TEXT = "{http://www.w3.org/2000/svg}text"


def words(svg):
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(SVG_TEXT)]


def test_timeline_names_algorithms_and_eras_in_both_languages():
    cards = query_cards(task="i2v", in_report=True)
    english, chinese = timeline_svg(cards), timeline_svg(cards, "zh")
    assert {"CogVideoX-5B-I2V", "3D DiT", "Pseudo 2+1D U-Net"} <= set(words(english))
    assert "伪2+1D U-Net 时期" in words(chinese)


def test_drawing_twice_gives_the_same_bytes():
    cards = ["mochi-1", "cogvideox-5b"]
    assert architecture_svg(cards) == architecture_svg(cards)


def test_architecture_table_shows_each_algorithm():
    texts = words(architecture_svg(["mochi-1", "lavie"], "zh"))
    assert {"6x8x8", "1x8x8", "主干网络"} <= set(texts)


def test_nothing_to_place_is_an_error():
    with pytest.raises(RequestError, match="date of release"):
        timeline_svg([find_card("dragnuwa")])
