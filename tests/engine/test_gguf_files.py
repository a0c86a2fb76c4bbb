"""A denoiser in a GGUF file, with a lender for all other parts."""

import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_cogvideox
from tests.generators.families import FAMILIES
from tests.generators.family import ENGINE, Family, built, plain_frames
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.engine.tensor_files import tensor_shapes
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound
from vitascope.generators import for_model

Q8, Q4, BF16 = (gguf.GGMLQuantizationType[name] for name in ("Q8_0", "Q4_0", "BF16"))
# diffusers' name for a part of LTX-Video -> the authors'
LTX_NAMES = {"proj_in": "patchify_proj", "time_embed": "adaln_single", "norm_q": "q_norm", "norm_k": "k_norm"}


def family(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def tensors_of(family: Family) -> dict:
    (file,) = (built(family.build) / "transformer").glob("*.safetensors")
    return {name: tensor.float().numpy() for name, tensor in load_file(file).items()}


def written(file: Path, tensors: dict, kind=Q8) -> Path:
    """Matrices that the kind can hold are packed, as converters do; with BF16 everything is."""
    writer = gguf.GGUFWriter(file, "test")
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    for name, values in tensors.items():
        if kind == BF16 or (values.ndim == 2 and values.shape[-1] % block == 0):
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def made(family: Family, file: Path, **knobs):
    (clip,) = family.make(model=str(file), base=str(built(family.build)), **knobs)
    return clip


def distance(family: Family, clip) -> float:
    return float(np.abs(clip.array().astype(float) - plain_frames(family)).mean())


@pytest.mark.parametrize("name", ["mochi", "hunyuan", "wan", "ltx"])
def test_few_bits_make_nearly_the_same_clip_and_fewer_make_less_of_it(name, tmp_path):
    source = family(name)
    eight = made(source, written(tmp_path / "q8.gguf", tensors_of(source)))
    four = made(source, written(tmp_path / "q4.gguf", tensors_of(source), Q4))
    spread = plain_frames(source).astype(float).std()
    assert 0 < distance(source, eight) < 0.02 * spread
    assert distance(source, eight) < distance(source, four) < 0.3 * spread


@pytest.mark.gpu
@pytest.mark.parametrize("placed", [{"dtype": "float32"}, {}, {"offload": "model"}], ids=str)
@pytest.mark.parametrize("name", ["mochi", "hunyuan", "wan", "ltx"])
def test_few_bits_run_on_a_gpu(name, placed, tmp_path):
    source = family(name)
    file = written(tmp_path / "q8.gguf", tensors_of(source))
    generator = source.generator(model=str(file), base=str(built(source.build)))
    modules = Engine(Placement(device="cuda", **placed)).modules(generator)
    (clip,) = generator.generate([generator.complete(source.task())], modules, Context())
    assert 0 < distance(source, clip) < 0.1 * plain_frames(source).astype(float).std()


def test_linears_stay_packed_and_everything_else_is_unpacked(tmp_path):
    source = family("wan")
    file = written(tmp_path / "net.gguf", tensors_of(source), BF16)
    generator = source.generator(model=str(file), base=str(built(source.build)))
    transformer = ENGINE.modules(generator).pipeline.transformer
    assert type(transformer.blocks[0].attn1.to_q).__name__ == "GGUFLinear"
    assert transformer.blocks[0].attn1.to_q.weight.element_size() == 1
    for plain in (transformer.patch_embedding.weight, transformer.blocks[0].scale_shift_table):
        assert plain.is_floating_point()
        assert type(plain).__name__ == "Parameter"


def test_the_authors_names_are_read_as_diffusers_reads_them(tmp_path):
    source = family("ltx")
    renamed = {}
    for name, values in tensors_of(source).items():
        for ours, theirs in LTX_NAMES.items():
            name = name.replace(ours, theirs)
        renamed[f"model.diffusion_model.{name}"] = values
    clip = made(source, written(tmp_path / "net.gguf", renamed))
    same = made(source, written(tmp_path / "diffusers.gguf", tensors_of(source)))
    assert np.array_equal(clip.array(), same.array())


def test_the_recipe_tells_files_apart_and_the_family_is_the_bases(tmp_path):
    source = family("ltx")
    file, base = written(tmp_path / "net.gguf", tensors_of(source)), str(built(source.build))
    assert for_model(str(file), base=base).name == "ltx"
    stage = made(source, file).recipe.stages[0]
    assert (stage.knobs["model"], stage.knobs["base"]) == (str(file), base)
    other = made(source, written(tmp_path / "other.gguf", tensors_of(source), Q4)).recipe.stages[0]
    assert stage.notes["weights"] != other.notes["weights"]


def test_shapes_are_as_torch_says_them(tmp_path):
    source = family("ltx")
    tensors = tensors_of(source)
    assert tensor_shapes(written(tmp_path / "net.gguf", tensors)) == {
        name: values.shape for name, values in tensors.items()
    }


def test_what_does_not_fit_is_refused_in_one_line(tmp_path):
    ltx, mochi = family("ltx"), family("mochi")
    file = written(tmp_path / "net.gguf", tensors_of(ltx))
    with pytest.raises(
        InvalidMedia, match=r"is no MochiTransformer3DModel like its base: it lacks 'x_embedder"
    ):
        made(mochi, file)
    with pytest.raises(
        InvalidMedia, match=r"is no LTXVideo.*proj_out.bias expected shape \S+, but got [^ ]*$"
    ):
        made(ltx, written(tmp_path / "mochi.gguf", tensors_of(mochi)))
    lacking = {name: values for name, values in tensors_of(ltx).items() if name != "proj_out.bias"}
    with pytest.raises(InvalidMedia, match=r"is no LTXVideo.*it lacks some of its tensors$"):
        made(ltx, written(tmp_path / "lacking.gguf", lacking))
    with pytest.raises(InvalidMedia, match="give base, the model that lends its other parts"):
        for_model(str(file))
    with pytest.raises(NotFound, match=r"no file or folder 'nowhere.gguf'"):
        for_model("nowhere.gguf")


@pytest.mark.parametrize("damage", [b"", b"no GGUF file at all", slice(0, 300), slice(0, 9000)])
def test_a_damaged_file_is_named(tmp_path, damage):
    ltx = family("ltx")
    whole = written(tmp_path / "net.gguf", tensors_of(ltx)).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[damage] if isinstance(damage, slice) else damage)
    with pytest.raises(InvalidMedia, match=r"cut.gguf' is no GGUF file, or a damaged one"):
        made(ltx, tmp_path / "cut.gguf")


def test_models_that_one_file_cannot_hold_are_refused(tmp_path):
    experts = next(family for family in FAMILIES if str(family).startswith("wan_two_experts"))
    wan = written(tmp_path / "wan.gguf", tensors_of(family("wan")))
    with pytest.raises(InvalidMedia, match=r"holds one denoiser and .* has two"):
        made(experts, wan)
    folder = tiny_cogvideox.save(tmp_path / "2b")
    (weights,) = (folder / "transformer").glob("*.safetensors")
    tensors = {name: tensor.float().numpy() for name, tensor in load_file(weights).items()}
    generator = for_model(str(written(tmp_path / "cog.gguf", tensors)), base=str(folder))
    with pytest.raises(InvalidMedia, match="diffusers reads no GGUF file of a CogVideoXTransformer3DModel"):
        ENGINE.modules(generator)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    ltx = family("ltx")
    file = written(tmp_path / "net.gguf", tensors_of(ltx))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'vitascope\[gguf\]'"):
        for_model(str(file), base=str(built(ltx.build)))


def test_a_lora_works_on_packed_linears_and_comes_off_again(tmp_path):
    source = family("wan")
    file = written(tmp_path / "net.gguf", tensors_of(source))
    name, (rows, columns) = "blocks.0.ffn.net.2", tensors_of(source)["blocks.0.ffn.net.2.weight"].shape
    down, up = torch.ones(2, columns), torch.ones(rows, 2)
    lora = tmp_path / "lora.safetensors"
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, lora)
    before, on = made(source, file), made(source, file, loras=(str(lora),))
    (plain,) = source.make(loras=(str(lora),))
    near = np.abs(on.array().astype(float) - plain.array()).mean()
    assert near < distance(source, on) / 5, "it does what it does to the full weights"
    assert np.array_equal(made(source, file).array(), before.array())
