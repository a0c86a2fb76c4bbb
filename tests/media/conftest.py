"""The clip that most tests of this room write."""

from fractions import Fraction

import pytest
from sample_clips import numbered_frames

from vitascope.clip import Clip
from vitascope.recipe import Recipe, Stage


@pytest.fixture
def recipe():
    stage = Stage(
        kind="generator", name="sprout", knobs={"steps": 4}, task={"prompt": "一只红球 'bounces' \"here\"\n"}
    )
    return Recipe().then(stage)


@pytest.fixture
def clip(recipe):
    return Clip(numbered_frames(17), Fraction(24), recipe=recipe)
