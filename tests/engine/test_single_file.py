"""A denoiser in one file, with a lender for all other parts."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_cogvideox as tiny
from tests.generators.families import FAMILIES
from tests.generators.family import built
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia
from vitascope.generators import for_model
from vitascope.generators.cogvideox import CogVideoX
from vitascope.task import TextToVideo


@pytest.fixture(scope="module")
def engine():
    return Engine(Placement(device="cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "2b")


@pytest.fixture
def tensors(folder):
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def made(engine, model, **knobs):
    generator = for_model(str(model), num_inference_steps=2, **knobs)
    task = generator.complete(TextToVideo(prompt="a red ball"))
    return generator.generate([task], engine.modules(generator), Context())[0]


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "transformer."])
def test_a_single_file_makes_the_same_clip_as_its_folder(engine, folder, tensors, tmp_path, prefix):
    file = tmp_path / "net.safetensors"
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, file)
    clip = made(engine, file, base=str(folder))
    assert np.array_equal(clip.array(), made(engine, folder).array())
    mark = clip.recipe.stages[0].notes["weights"]
    assert "+" in mark, "the recipe names the file and its lender"


@pytest.mark.parametrize("name", ["mochi", "hunyuan", "wan", "ltx"])
def test_other_families_take_single_files_too(name, tmp_path):
    family = next(family for family in FAMILIES if family.name == name)
    (stored,) = (built(family.build) / "transformer").glob("*.safetensors")
    file = tmp_path / "net.safetensors"
    save_file(load_file(stored), file)
    half = Engine(Placement(device="cpu", dtype="bfloat16"), capacity=2)
    clips = []
    for where in ({}, {"model": str(file), "base": str(built(family.build))}):
        generator = family.generator(**where)
        modules = half.modules(generator)
        clips += generator.generate([generator.complete(family.task())], modules, Context())
    assert np.array_equal(clips[0].array(), clips[1].array())


def test_a_pickled_single_file_loads_too(engine, folder, tensors, tmp_path):
    torch.save({"state_dict": tensors}, tmp_path / "net.pt")
    clip = made(engine, tmp_path / "net.pt", base=str(folder))
    assert np.array_equal(clip.array(), made(engine, folder).array())


def test_half_precision_storage_is_cast(engine, folder, tensors, tmp_path):
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "half.safetensors")
    assert made(engine, tmp_path / "half.safetensors", base=str(folder)).num_frames == 9


def test_what_does_not_fit_is_refused(engine, folder, tensors, tmp_path):
    def saved(name, changed):
        save_file(changed, tmp_path / name)
        return tmp_path / name

    lacking = {name: tensor for name, tensor in tensors.items() if name != "proj_out.bias"}
    with pytest.raises(InvalidMedia, match=r"lacks 'proj_out.bias' \(1 missing, 0 unknown\)"):
        made(engine, saved("lacking.safetensors", lacking), base=str(folder))
    wider = {**tensors, "proj_out.bias": torch.zeros(7)}
    with pytest.raises(InvalidMedia, match=r"proj_out.bias has shape \(7,\)"):
        made(engine, saved("wider.safetensors", wider), base=str(folder))
    foreign = {"double_blocks.0.weight": torch.zeros(2)}
    with pytest.raises(InvalidMedia, match="no keys that a generator knows"):
        for_model(str(saved("foreign.safetensors", foreign)))
    with pytest.raises(InvalidMedia, match="none of its names"):
        generator = CogVideoX.with_knobs(model=str(tmp_path / "foreign.safetensors"), base=str(folder))
        engine.modules(generator)


@pytest.mark.parametrize(
    ("shape", "lender"),
    [
        ((1920, 16, 2, 2), "cogvideox-2b"),
        ((3072, 16, 2, 2), "cogvideox-5b"),
        ((3072, 32, 2, 2), "cogvideox-5b-i2v"),
        ((3072, 128), "cogvideox-1.5-5b"),
        ((3072, 256), "cogvideox-1.5-5b-i2v"),
    ],
)
def test_the_lender_of_a_published_transformer_is_told_from_its_shapes(tmp_path, shape, lender):
    file = tmp_path / "net.safetensors"
    save_file(
        {"patch_embed.proj.weight": torch.zeros(shape), "patch_embed.text_proj.weight": torch.zeros(1)}, file
    )
    generator = for_model(str(file))
    assert generator.lender(file).model == lender
    assert generator.profile() == CogVideoX.profiles[lender]


def test_an_unknown_width_needs_a_base(tmp_path, tensors):
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(InvalidMedia, match="give base"):
        for_model(str(tmp_path / "net.safetensors")).complete(TextToVideo(prompt="a"))
