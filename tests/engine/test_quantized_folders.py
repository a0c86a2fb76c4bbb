"""Folders saved by diffusers in bitsandbytes' bits."""

import json
import shutil
import sys
import types

import pytest

from tests.generators.families import ENGINE, FAMILIES, built
from vitascope.engine.memory import component_gib
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
