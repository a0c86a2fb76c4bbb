"""What a configuration says and nobody heeds comes as a warning with the clip."""

import json
import shutil

import pytest

from tests.generators import tiny_mochi
from tests.generators.families import built
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.generators import for_model
from vitascope.task import TextToVideo


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(built(tiny_mochi.save_mochi), tmp_path / "mochi")


def warnings_of(folder, **changes):
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    maker = for_model(str(folder), num_inference_steps=2)
    task = maker.complete(TextToVideo(prompt="a ball", width=32, height=32, num_frames=7))
    context = Context()
    maker.generate([task], Engine(Placement(device="cpu")).modules(maker), context)
    return [warning for warning in context.warnings if "config.json" in warning]


def test_a_configuration_as_diffusers_writes_it_warns_of_nothing(folder):
    assert warnings_of(folder) == []


def test_settings_that_the_class_does_not_know_are_named(folder):
    (warning,) = warnings_of(folder, rope_of_tomorrow=2, _name_or_path="elsewhere")
    assert "has no 'rope_of_tomorrow'" in warning
    assert "_name_or_path" not in warning


def test_another_class_name_is_told(folder):
    (warning,) = warnings_of(folder, _class_name="AllegroTransformer3DModel")
    assert "AllegroTransformer3DModel and was read as the MochiTransformer3DModel" in warning
