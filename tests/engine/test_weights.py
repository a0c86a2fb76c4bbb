"""From a model's name to whole files on this machine, or a line that says what is missing."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_cogvideox as tiny
from vitascope.context import Context
from vitascope.engine import weights
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.engine.tensor_files import num_parameters, read_tensors, tensor_shapes
from vitascope.errors import DependencyMissing, InvalidMedia, NoNetwork, NotFound, UnknownName, WeightsMissing
from vitascope.generators import for_model
from vitascope.generators.cogvideox import CogVideoX
from vitascope.task import TextToVideo


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "2b")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "2b")


def check(folder):
    weights.check_folder(folder, CogVideoX.pipelines)


def test_what_a_name_stands_for(folder):
    assert weights.find_source(str(folder)).kind == "folder"
    assert weights.find_source(str(folder / "model_index.json")).kind == "file"
    assert weights.find_source("zai-org/CogVideoX-2b", "main") == weights.Source(
        "hub", "zai-org/CogVideoX-2b", "main"
    )
    assert weights.find_source("no-such-name") is None
    for gone in ("./gone", "/gone", "~/gone-model", "gone.safetensors", "gone/model.safetensors"):
        with pytest.raises(NotFound, match="gone"):
            weights.find_source(gone)


def test_a_whole_folder_passes(folder):
    check(folder)


def test_a_missing_shard_is_named(folder):
    part = folder / "transformer"
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (part / "diffusion_pytorch_model.safetensors").rename(part / names[0])
    index = {"metadata": {}, "weight_map": {"a": names[0], "b": names[1]}}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsMissing, match="00002-of-00002"):
        check(folder)


def test_missing_parts_are_named(folder):
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(WeightsMissing, match="'tokenizer'"):
        check(folder)
    (folder / "tokenizer").mkdir()
    with pytest.raises(WeightsMissing, match=r"tokenizer' is empty"):
        check(folder)
    (folder / "model_index.json").unlink()
    with pytest.raises(WeightsMissing, match=r"model_index.json"):
        check(folder)


def test_weights_without_their_configuration_are_named(folder):
    (folder / "text_encoder" / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"text_encoder' has weights but no config.json"):
        check(folder)


def test_missing_weights_of_a_part_are_named(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"vae.*no weights"):
        check(folder)


def test_damaged_files_are_named(folder):
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    with pytest.raises(InvalidMedia, match=r"truncated: [\d,]+ of [\d,]+ bytes"):
        check(folder)
    file.write_bytes(b"<html>Not found</html>")
    with pytest.raises(InvalidMedia, match="not a safetensors file"):
        check(folder)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsMissing, match="git lfs pull"):
        check(folder)
    file.write_bytes(b"")
    with pytest.raises(InvalidMedia, match="not a safetensors file"):
        check(folder)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(InvalidMedia, match=r"model_index.json"):
        check(folder)


def test_a_model_of_another_family_is_refused(folder):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "FluxPipeline"}))
    with pytest.raises(InvalidMedia, match="FluxPipeline"):
        check(folder)
    with pytest.raises(InvalidMedia, match="FluxPipeline"):
        for_model(str(folder))
    with pytest.raises(InvalidMedia, match="FluxPipeline"):
        CogVideoX.with_knobs(model=str(folder)).profile()


def test_weights_that_do_not_fit_their_configuration_are_refused(folder):
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["proj_out.weight"] = torch.zeros(3, 3)
    save_file(tensors, file)
    with pytest.raises(InvalidMedia, match="cannot be loaded as CogVideoXPipeline"):
        Engine(Placement(device="cpu")).modules(for_model(str(folder)))


@pytest.mark.parametrize(
    ("part", "file"), [("transformer", "diffusion_pytorch_model"), ("text_encoder", "model")]
)
def test_weights_that_lack_a_tensor_are_refused(folder, part, file):
    """Neither diffusers nor transformers would say so: they leave it empty, or fill it at random."""
    path = folder / part / f"{file}.safetensors"
    tensors = load_file(path)
    gone = sorted(tensors)[-1]
    save_file({name: t for name, t in tensors.items() if name != gone}, path, {"format": "pt"})
    maker = for_model(str(folder), num_inference_steps=1)
    task = maker.complete(TextToVideo(prompt="a ball", width=32, height=32, num_frames=9))
    with pytest.raises(InvalidMedia, match=f"{part}' lacks"):
        maker.generate([task], Engine(Placement(device="cpu")).modules(maker), Context())


def test_weights_as_integers_are_refused_unless_their_configuration_explains_them(folder):
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file({name: t.to(torch.int8) for name, t in tensors.items()}, file)
    with pytest.raises(InvalidMedia, match=r"as integers \(I8\)"):
        check(folder)
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": {}}))
    check(folder)


def test_pickled_weights_load_and_pickled_code_does_not_run(folder, tmp_path):
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    file.unlink()
    pickled = folder / "transformer" / "diffusion_pytorch_model.bin"
    torch.save(tensors, pickled)
    modules = Engine(Placement(device="cpu")).modules(for_model(str(folder)))
    name = "transformer_blocks.0.attn1.to_q.weight"
    assert torch.equal(modules.pipeline.transformer.state_dict()[name], tensors[name])

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({name: Trap()}, pickled)
    with pytest.raises(InvalidMedia):
        Engine(Placement(device="cpu")).modules(for_model(str(folder)))
    assert not (tmp_path / "sprung").exists()


def test_wrapped_and_foreign_pickles(tmp_path):
    tensors = {"a": torch.ones(2, 3)}
    torch.save({"module": tensors, "step": 3}, tmp_path / "wrapped.pt")
    assert torch.equal(read_tensors(tmp_path / "wrapped.pt")["a"], tensors["a"])
    assert tensor_shapes(tmp_path / "wrapped.pt") == {"a": (2, 3)}
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    (tmp_path / "empty.pt").touch()
    for name in ("list.pt", "noise.pt", "empty.pt"):
        with pytest.raises(InvalidMedia, match=name):
            read_tensors(tmp_path / name)


def test_the_fingerprint_tells_weights_apart_and_nothing_else(folder, tmp_path):
    mark = weights.fingerprint(folder)
    assert mark == weights.fingerprint(shutil.copytree(folder, tmp_path / "copy"))
    (folder / "README.md").write_text("words")
    assert mark == weights.fingerprint(folder)
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["proj_out.bias"] = tensors["proj_out.bias"] + 1
    save_file(tensors, file, metadata={"format": "pt"})
    assert mark != weights.fingerprint(folder)


def test_the_number_of_parameters_is_read_from_the_header(tmp_path):
    save_file({"a": torch.zeros(10, 20), "b": torch.zeros(5)}, tmp_path / "a.safetensors")
    assert num_parameters(tmp_path / "a.safetensors") == 205


def test_the_embedded_package(monkeypatch, folder, tmp_path):
    package = tmp_path / "site" / "vitascope_embedded"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        f"def path(name): return Path({str(folder)!r}) if name == 'sprout' else Path('gone')\n"
    )
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setitem(sys.modules, "vitascope_embedded", None)  # so that what was there is put back
    monkeypatch.delitem(sys.modules, "vitascope_embedded")
    assert for_model("sprout").profile().width == 32
    with pytest.raises(WeightsMissing, match="no model 'oak'"):
        weights.embedded("oak")
    monkeypatch.setitem(sys.modules, "vitascope_embedded", None)
    with pytest.raises(DependencyMissing, match="embedded"):
        for_model("sprout").profile()


def test_without_a_network_a_hub_model_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NoNetwork, match=r"'someone/something'.*local folder"):
        for_model("someone/something")
    with pytest.raises(NoNetwork, match="'zai-org/CogVideoX-2b' is not on this machine"):
        for_model("cogvideox-2b").load(Placement(device="cpu").resolve())


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownName, match="'cogvideox-2b'"):
        for_model("cogvideox-2")
    with pytest.raises(UnknownName, match="'cogvideox-5b'"):
        CogVideoX.with_knobs(model="cogvideo-5b").source()
    with pytest.raises(UnknownName, match="num_inference_steps"):
        for_model("cogvideox-2b", num_inference_step=3)
    assert for_model("colour-bars").name == "colour-bars"
    assert for_model("cogvideox").model == "sprout"
