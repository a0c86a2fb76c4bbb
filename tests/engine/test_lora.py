"""LoRA files belong to their request: matched, weighed, and gone afterwards without a trace."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_cogvideox as tiny
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.lora import LoraFile, applied, matched_layers
from vitascope.engine.lora_files import read_layers
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.generators import for_model
from vitascope.task import TextToVideo

MODULE = "transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def engine():
    return Engine(Placement(device="cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "2b")


@pytest.fixture
def clip(engine, folder):
    def clip(*loras, context=None):
        generator = for_model(str(folder), num_inference_steps=2, loras=tuple(str(lora) for lora in loras))
        task = generator.complete(TextToVideo(prompt="a red ball"))
        return generator.generate([task], engine.modules(generator), context or Context())[0]

    return clip


def trained(folder, name="style.safetensors", rank=4, alpha=4.0, seed=1):
    """A LoRA as diffusers writes it, with its adapter metadata."""
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    net = tiny.transformer()
    net.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights=False, target_modules=["to_q", "to_v"])
    )
    layers = get_peft_model_state_dict(net)
    config = net.peft_config["default"].to_dict()
    CogVideoXPipeline.save_lora_weights(
        folder, transformer_lora_layers=layers, weight_name=name, transformer_lora_adapter_metadata=config
    )
    return folder / name


def test_a_lora_changes_its_own_request_alone(clip, tmp_path):
    before = clip().array()
    lora = trained(tmp_path)
    styled = clip(f"{lora}:0.8")
    assert not np.array_equal(styled.array(), before)
    assert np.array_equal(clip().array(), before), "unloading gives back the very same model"
    assert np.array_equal(clip(f"{lora}:0").array(), before)
    (report,) = styled.recipe.stages[0].notes["loras"]
    assert (report["file"], report["weight"], report["num_layers"]) == ("style.safetensors", 0.8, 4)
    assert len(report["sha256"]) == 64


def test_several_add_up_and_weights_matter(clip, tmp_path):
    one, two = trained(tmp_path), trained(tmp_path, "other.safetensors", seed=2)
    clips = [clip(*loras).array() for loras in ((one,), (two,), (one, two), (f"{one}:0.5", two))]
    assert all(not np.array_equal(a, b) for i, a in enumerate(clips) for b in clips[:i])
    assert np.array_equal(clip(one, f"{two}:0").array(), clips[0])


def test_alpha_is_honoured_wherever_it_stands(clip, tmp_path):
    full = trained(tmp_path, "full.safetensors", alpha=4.0)
    half = trained(tmp_path, "half.safetensors", alpha=2.0)
    expected = clip(f"{full}:0.5").array()
    assert np.array_equal(clip(half).array(), expected)

    tensors = load_file(half)
    modules = {name.partition(".lora_")[0] for name in tensors}
    keys = tmp_path / "keys.safetensors"
    save_file({**tensors, **{f"{module}.alpha": torch.tensor(2.0) for module in modules}}, keys)
    assert np.array_equal(clip(keys).array(), expected)


def test_other_spellings_of_the_keys_are_the_same_lora(clip, tmp_path):
    lora = trained(tmp_path)
    expected = clip(lora).array()
    tensors = load_file(lora)

    def spelled(name, change):
        save_file({change(key): tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / name)
        return tmp_path / name

    bare = spelled("bare.safetensors", lambda key: key.removeprefix("transformer."))
    peft = spelled("peft.safetensors", lambda key: "base_model.model." + key.removeprefix("transformer."))
    kohya = spelled(
        "kohya.safetensors",
        lambda key: (
            "lora_unet__"
            + key.removeprefix("transformer.").partition(".lora_")[0].replace(".", "_")
            + (".lora_down.weight" if "lora_A" in key else ".lora_up.weight")
        ),
    )
    for file in (bare, peft, kohya):
        assert np.array_equal(clip(file).array(), expected), file.name


def test_a_pickled_file_loads_without_running_its_code(clip, tmp_path):
    lora = trained(tmp_path)
    pickled = tmp_path / "style.pt"
    torch.save(load_file(lora), pickled)
    assert np.array_equal(clip(pickled).array(), clip(lora).array())

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(InvalidMedia, match=r"never run|cannot be read"):
        clip(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_lora_of_another_model_is_refused_by_name(clip, tmp_path):
    before = clip().array()
    foreign = tmp_path / "flux.safetensors"
    save_file(
        {"double_blocks.0.img_attn.lora_A.weight": torch.zeros(4, 8)},
        foreign,
        metadata={"base_model": "flux"},
    )
    with pytest.raises(InvalidMedia, match=r"'flux.safetensors' fits no layer.*double_blocks.*names 'flux'"):
        clip(foreign)
    wide = tmp_path / "wide.safetensors"
    save_file(
        {
            f"transformer.{MODULE}.lora_A.weight": torch.zeros(4, 3072),
            f"transformer.{MODULE}.lora_B.weight": torch.zeros(3072, 4),
        },
        wide,
    )
    with pytest.raises(
        InvalidMedia, match=r"'wide.safetensors' is for another model.*3072 to 3072.*32 to 32"
    ):
        clip(wide)
    assert np.array_equal(clip().array(), before), "a refused LoRA leaves nothing behind"


def test_keys_that_fit_nothing_are_counted_and_told(clip, tmp_path):
    tensors = load_file(trained(tmp_path))
    tensors["transformer.transformer_blocks.7.attn1.to_q.lora_A.weight"] = torch.zeros(4, 32)
    tensors[f"transformer.{MODULE[:-1]}k.lora_A.weight"] = torch.zeros(4, 32)  # its other half is missing
    save_file(tensors, tmp_path / "more.safetensors")
    context = Context()
    styled = clip(tmp_path / "more.safetensors", context=context)
    assert any("2 keys of 'more.safetensors'" in line for line in context.warnings)
    assert styled.recipe.stages[0].notes["loras"][0]["num_keys_left_out"] == 2


def test_layers_may_differ_in_rank_and_alpha(tmp_path):
    net = tiny.transformer()
    other = MODULE.replace("0", "1")
    tensors = {}
    for module, rank in ((MODULE, 4), (other, 2)):
        tensors[f"{module}.lora_A.weight"] = torch.randn(rank, 32)
        tensors[f"{module}.lora_B.weight"] = torch.randn(32, rank)
    tensors[f"{MODULE}.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "mixed.safetensors")
    layers = matched_layers(tmp_path / "mixed.safetensors", net)
    assert layers.alphas == {MODULE: 1.0, other: 2.0}

    adapter = {"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.alpha_pattern": {other: 3}}
    del tensors[f"{MODULE}.alpha"]
    metadata = {"lora_adapter_metadata": json.dumps(adapter)}
    save_file(tensors, tmp_path / "pattern.safetensors", metadata=metadata)
    assert matched_layers(tmp_path / "pattern.safetensors", net).alphas == {MODULE: 8.0, other: 3.0}


@pytest.mark.parametrize(
    "metadata", ["[]", "{", '{"lora_alpha": null}', '{"lora_alpha": 4, "alpha_pattern": [1]}']
)
def test_adapter_metadata_that_cannot_be_read_is_refused_by_name(tmp_path, metadata):
    path = trained(tmp_path)
    save_file(load_file(path), path, metadata={"lora_adapter_metadata": metadata})
    with pytest.raises(InvalidMedia, match=r"'style.safetensors'.*lora_adapter_metadata"):
        matched_layers(path, tiny.transformer())


def test_an_alpha_that_is_no_number_is_refused_by_name(tmp_path):
    path = trained(tmp_path)
    tensors = load_file(path)
    module = next(iter(tensors)).partition(".lora_")[0]
    save_file({**tensors, f"{module}.alpha": torch.ones(2)}, path)
    for read in (lambda: matched_layers(path, tiny.transformer()), lambda: read_layers(path)):
        with pytest.raises(InvalidMedia, match=r"'style.safetensors'.*alpha.*one number"):
            read()


def test_a_mixture_of_alphas_works_as_if_folded_into_the_matrices(clip, tmp_path):
    other = MODULE.replace("0", "1")
    third = MODULE.replace("to_q", "to_v")
    tensors, folded = {}, {}
    for module, rank, alpha in ((MODULE, 4, 1.0), (other, 2, 4.0), (third, 4, None)):
        down, up = torch.randn(rank, 32), torch.randn(32, rank)
        names = (f"{module}.lora_A.weight", f"{module}.lora_B.weight")
        tensors.update(zip(names, (down, up), strict=True))
        folded.update(zip(names, (down, up * (1 if alpha is None else alpha / rank)), strict=True))
        if alpha is not None:
            tensors[f"{module}.alpha"] = torch.tensor(alpha)
    save_file(tensors, tmp_path / "mixed.safetensors")
    save_file(folded, tmp_path / "folded.safetensors")
    mixed, plain = (clip(tmp_path / f"{name}.safetensors").array() for name in ("mixed", "folded"))
    assert np.abs(mixed.astype(int) - plain).max() <= 1
    assert np.abs(mixed.astype(int) - clip().array()).max() > 5


def test_a_denoiser_without_lora_loading_is_named(tmp_path):
    pipeline = SimpleNamespace(transformer=torch.nn.Linear(2, 2))
    with (
        pytest.raises(RequestError, match="diffusers loads no LoRA into a Linear"),
        applied(pipeline, "transformer", [LoraFile(trained(tmp_path), 1.0)], Context()),
    ):
        pass


def test_how_a_lora_is_named(tmp_path):
    file = tmp_path / "style.safetensors"
    file.touch()
    assert LoraFile.parse(str(file)) == LoraFile(file, 1.0)
    assert LoraFile.parse(f"{file}:0.8") == LoraFile(file, 0.8)
    assert LoraFile.parse(f"{file}:-1") == LoraFile(file, -1.0)
    colon = tmp_path / "a:2"
    colon.mkdir()
    (colon / "pytorch_lora_weights.safetensors").touch()
    assert LoraFile.parse(str(colon)).weight == 1.0
    for text, error in ((f"{file}:99", RequestError), (f"{file}x", NotFound), (f"{file}:loud", NotFound)):
        with pytest.raises(error):
            LoraFile.parse(text)
