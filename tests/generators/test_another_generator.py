"""The example of a generator in a package of its own: what its entry point names runs as documented."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LattePipeline, LatteTransformer3DModel

from tests.generators.tiny_text import t5_encoder, t5_tokenizer
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.pipelines import import_class
from vitascope.engine.placement import Placement
from vitascope.errors import UnsupportedTask
from vitascope.task import TextToVideo

EXAMPLE = Path(__file__).parents[2] / "examples" / "another-generator"


@pytest.fixture
def latte(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (where,) = project["entry-points"]["vitascope.generators"].values()
    return import_class(where)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    width = 32
    transformer = LatteTransformer3DModel(
        num_attention_heads=3,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        cross_attention_dim=24,
        attention_bias=True,
        sample_size=8,
        patch_size=2,
        activation_fn="gelu-approximate",
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=width,
        video_length=16,
    )
    with torch.no_grad():  # at random ones of the usual size the prompt moves no pixel by a whole grey level
        for parameter in transformer.parameters():
            parameter.mul_(3)
    vae = AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    LattePipeline(t5_tokenizer(120), t5_encoder(), vae, transformer, DDIMScheduler()).save_pretrained(
        tmp_path / "latte"
    )
    return tmp_path / "latte"


def test_clips_follow_their_prompts_alone_and_in_a_batch(latte, folder):
    maker = latte(model=str(folder), num_inference_steps=2)
    modules = Engine(Placement(device="cpu", dtype="float32")).modules(maker)
    asked = [{"prompt": "a red ball"}, {"prompt": "a blue car", "negative_prompt": "dark", "seed": 1}]
    tasks = [maker.complete(TextToVideo.of(width=64, height=64, **said)) for said in asked]
    first, second = (maker.generate([task], modules, Context())[0].array() for task in tasks)
    assert first.shape == (16, 64, 64, 3)
    assert not np.array_equal(first, second)
    for clip, frames in zip(maker.generate(tasks, modules, Context()), (first, second), strict=True):
        assert np.abs(clip.array() - frames.astype(int)).max() <= 1


def test_lora_files_are_refused_before_anything_is_loaded(latte, folder):
    with pytest.raises(UnsupportedTask, match="takes no LoRA files"):
        latte(model=str(folder), loras=("style.safetensors",)).complete(TextToVideo.of(prompt="a"))


def test_its_profile_is_kept(latte, folder):
    with pytest.raises(UnsupportedTask, match=r"num_frames=8: .*16 frames alone"):
        latte(model=str(folder)).complete(TextToVideo.of(prompt="a", num_frames=8))
