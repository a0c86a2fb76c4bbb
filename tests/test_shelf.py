"""Shelves find items by file name and offer the nearest name for a wrong one."""

import pytest

from vitascope.errors import RequestError, UnknownName
from vitascope.generators import GENERATORS
from vitascope.steps import STEPS


def test_names_are_file_names():
    assert "colour-bars" in GENERATORS.names()
    assert "base" not in GENERATORS.names()


def test_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'colour-bars'"):
        GENERATORS["color-bars"]


def test_unknown_knob_and_wrong_value_are_one_line():
    with pytest.raises(UnknownName, match="and_forth"):
        STEPS["reverse"].with_knobs(and_fort=True)
    with pytest.raises(RequestError, match="num_inference_steps='0'"):
        GENERATORS["colour-bars"].with_knobs(num_inference_steps=0)
