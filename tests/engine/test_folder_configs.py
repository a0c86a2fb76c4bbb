"""What a configuration says and nobody heeds comes as a warning with the clip; what does not fit is named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_mochi, tiny_wan
from tests.generators.family import built
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia
from vitascope.generators import for_model
from vitascope.task import TextToVideo


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(built(tiny_mochi.save_mochi), tmp_path / "mochi")


def warnings_of(folder, num_frames=7, **changes):
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    maker = for_model(str(folder), num_inference_steps=2)
    task = maker.complete(TextToVideo(prompt="a ball", width=32, height=32, num_frames=num_frames))
    context = Context()
    maker.generate([task], Engine(Placement(device="cpu")).modules(maker), context)
    return [warning for warning in context.warnings if "config.json" in warning]


def test_a_configuration_as_diffusers_writes_it_warns_of_nothing(folder):
    assert warnings_of(folder) == []


def test_settings_that_the_class_does_not_know_are_named(folder):
    (warning,) = warnings_of(folder, rope_of_tomorrow=2, _name_or_path="elsewhere")
    assert "has no 'rope_of_tomorrow'" in warning
    assert "_name_or_path" not in warning


def test_tensors_that_have_no_place_are_told(tmp_path):
    """A configuration with fewer layers than its file makes another network."""
    folder = shutil.copytree(built(tiny_wan.save_wan), tmp_path / "wan")
    (warning,) = warnings_of(folder, num_frames=5, num_layers=1)
    assert "transformer' holds 27 tensors for which a WanTransformer3DModel" in warning
    assert "'blocks.1." in warning


def test_another_class_name_is_told(folder):
    (warning,) = warnings_of(folder, _class_name="AllegroTransformer3DModel")
    assert "AllegroTransformer3DModel and was read as the MochiTransformer3DModel" in warning


def refusal(folder):
    with pytest.raises(InvalidMedia) as caught:
        for_model(str(folder)).load(Placement(device="cpu", dtype="float32"))
    return str(caught.value)


def test_a_network_of_another_class_is_named_when_it_does_not_load(folder):
    shutil.rmtree(folder / "transformer")
    shutil.copytree(built(tiny_wan.save_wan) / "transformer", folder / "transformer")
    assert "transformer/config.json' is of a WanTransformer3DModel" in refusal(folder)


def test_weights_of_another_shape_are_named_with_their_file(folder):
    file = "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(folder / file)
    save_file({**tensors, "decoder.conv_in.bias": torch.zeros(7)}, folder / file, {"format": "pt"})
    said = refusal(folder)
    assert f"{file}' holds 'decoder.conv_in.bias' of shape (7,)" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [({"vae": None}, "names no 'vae'"), ({"vae": ["diffusers"]}, r"not [library, class]")],
)
def test_a_part_that_the_index_does_not_name_is_told(folder, change, said):
    path = folder / "model_index.json"
    index = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in index.items() if value}))
    assert said in refusal(folder)


def test_a_setting_of_a_wrong_kind_is_told_with_its_file(folder):
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": "many"}))
    assert "transformer/config.json' makes no MochiTransformer3DModel" in refusal(folder)
