"""Folders saved by diffusers in bitsandbytes' bits."""

import json
import shutil
import sys
import types

import numpy as np
import pytest
import torch

from tests.generators.families import FAMILIES
from tests.generators.family import ENGINE, built, plain_frames
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.memory import component_gib
from vitascope.engine.placement import Placement
from vitascope.engine.quantized_folders import check_readable
from vitascope.errors import DependencyMissing, ResourceError

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
WAN = next(family for family in FAMILIES if family.name == "wan")


@pytest.fixture
def folder(tmp_path):
    """Not packed in truth, and said to be: enough for everything that is asked before loading."""
    copy = tmp_path / "wan"
    shutil.copytree(built(WAN.build), copy)
    config = copy / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": NF4}))
    return copy


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        DependencyMissing, match=r"transformer', saved in bitsandbytes's bits.*\[bitsandbytes\]"
    ):
        ENGINE.modules(WAN.generator(model=str(folder)))


def test_without_a_gpu_it_is_refused_before_loading(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", types.ModuleType("bitsandbytes"))
    with pytest.raises(ResourceError, match="needs a CUDA GPU, not device 'cpu'"):
        ENGINE.modules(WAN.generator(model=str(folder)))
    check_readable(folder, "cuda")
    check_readable(folder, "cpu", without=("transformer",))
    check_readable(built(WAN.build), "cpu")


def test_packed_weights_take_what_their_file_takes(folder):
    (file,) = (folder / "transformer").glob("*.safetensors")
    packed, plain = component_gib(folder, "bfloat16"), component_gib(built(WAN.build), "bfloat16")
    assert packed["transformer"] == file.stat().st_size / 2**30
    assert packed["vae"] == plain["vae"]


def save_packed(folder, bits):
    """Pack the denoiser and the text encoder, as those who publish such folders do."""
    import diffusers
    import transformers

    asked = {
        "nf4": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": torch.bfloat16,
        },
        "int8": {"load_in_8bit": True},
    }[bits]
    for part, cls, config in (
        ("transformer", diffusers.WanTransformer3DModel, diffusers.BitsAndBytesConfig(**asked)),
        ("text_encoder", transformers.UMT5EncoderModel, transformers.BitsAndBytesConfig(**asked)),
    ):
        packed = cls.from_pretrained(folder / part, quantization_config=config, dtype=torch.bfloat16)
        shutil.rmtree(folder / part)
        packed.save_pretrained(folder / part)


@pytest.mark.gpu
@pytest.mark.parametrize("placed", [{}, {"speed": "balanced"}, {"offload": "model"}], ids=str)
@pytest.mark.parametrize("bits", ["nf4", "int8"])
def test_a_packed_folder_makes_nearly_the_same_clip(bits, placed, tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = tmp_path / "wan"
    shutil.copytree(built(WAN.build), folder)
    save_packed(folder, bits)
    generator = WAN.generator(model=str(folder))
    modules = Engine(Placement(device="cuda", **placed)).modules(generator)
    assert modules.pipeline.transformer.blocks[0].attn1.to_q.weight.element_size() == 1
    (clip,) = generator.generate([generator.complete(WAN.task())], modules, Context())
    plain = plain_frames(WAN).astype(float)
    assert 0 < np.abs(clip.array() - plain).mean() < 0.3 * plain.std()
