"""Text encoders: loaded when a prompt has to be read, once for all, in 8 bits if asked; prompts kept by content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import cpu_offload_with_hook

from tests.generators import tiny_cogvideox, tiny_ltx, tiny_mochi
from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine import prompt_cache
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.engine.text_encoders import Int8Linear
from vitascope.generators import for_model
from vitascope.task import TextToVideo


def make(model: Path, engine: Engine, prompt: str, **size: int) -> Clip:
    generator = for_model(str(model), num_inference_steps=2)
    task = generator.complete(TextToVideo.of(prompt=prompt, **size))
    return generator.generate([task], engine.modules(generator), Context())[0]


def encoder(model: Path, engine: Engine):
    return engine.modules(for_model(str(model), num_inference_steps=2)).pipeline.text_encoder


def engine(**said: object) -> Engine:
    return Engine(Placement(device="cpu", dtype="float32", **said))


MOCHI, LTX = {"width": 32, "height": 32, "num_frames": 7}, {"width": 64, "height": 64, "num_frames": 9}


def test_a_prompt_read_before_needs_no_encoder_and_gives_the_same_clip(tmp_path: Path) -> None:
    model = tiny_mochi.save_mochi(tmp_path / "mochi")
    first = engine()
    clip = make(model, first, "a red ball", **MOCHI)
    assert encoder(model, first).is_loaded
    kept = list(prompt_cache.folder().glob("*.safetensors"))
    assert kept

    again = engine()
    assert np.array_equal(make(model, again, "a red ball", **MOCHI).array(), clip.array())
    assert not encoder(model, again).is_loaded, "all prompts were cached"
    assert not np.array_equal(make(model, again, "a blue car", **MOCHI).array(), clip.array())
    assert encoder(model, again).is_loaded

    without = engine(prompt_cache=False)
    assert np.array_equal(make(model, without, "a red ball", **MOCHI).array(), clip.array())
    assert encoder(model, without).is_loaded


def test_hooks_that_offload_parts_bring_an_encoder_in_its_turn(tmp_path: Path) -> None:
    placed = engine()
    model = tiny_mochi.save_mochi(tmp_path / "mochi")
    stand_in = encoder(model, placed)
    _, hook = cpu_offload_with_hook(stand_in, torch.device("cpu"))
    _, following = cpu_offload_with_hook(torch.nn.Linear(1, 1), torch.device("cpu"), prev_module_hook=hook)
    ids = torch.ones(1, 5, dtype=torch.int64)
    with torch.no_grad():  # as pipelines call it; another clip may have loaded the encoder in inference mode
        assert stand_in(ids)[0].shape == (1, 5, 32)
    following.model(torch.zeros(1))
    assert not stand_in.state_dict(), "it has no weights of its own"
    hook.remove()


def test_a_prompt_that_cannot_be_kept_or_was_damaged_costs_no_clip(tmp_path: Path, monkeypatch) -> None:
    model = tiny_mochi.save_mochi(tmp_path / "mochi")
    clip = make(model, engine(), "a green tree", **MOCHI)
    for kept in prompt_cache.folder().glob("*.safetensors"):
        kept.write_bytes(b"not a file of tensors")
    assert np.array_equal(make(model, engine(), "a green tree", **MOCHI).array(), clip.array())
    (tmp_path / "file").touch()
    monkeypatch.setenv("VITASCOPE_HOME", str(tmp_path / "file" / "home"))
    assert np.array_equal(make(model, engine(), "a green tree", **MOCHI).array(), clip.array())


def test_other_encoder_weights_are_another_content(tmp_path: Path) -> None:
    model = tiny_mochi.save_mochi(tmp_path / "mochi")
    make(model, engine(), "a red ball", **MOCHI)
    other = shutil.copytree(model, tmp_path / "other")
    torch.manual_seed(9)
    tiny_mochi.t5_encoder().save_pretrained(other / "text_encoder")
    changed = engine()
    make(other, changed, "a red ball", **MOCHI)
    assert encoder(other, changed).is_loaded


def test_families_with_the_same_encoder_share_it(tmp_path: Path) -> None:
    mochi, ltx = tiny_mochi.save_mochi(tmp_path / "mochi"), tiny_ltx.save_ltx(tmp_path / "ltx")
    shutil.rmtree(ltx / "text_encoder")
    shutil.copytree(mochi / "text_encoder", ltx / "text_encoder")
    both = engine(prompt_cache=False)
    make(mochi, both, "a red ball", **MOCHI)
    make(ltx, both, "a red ball", **LTX)
    assert encoder(mochi, both).encoder() is encoder(ltx, both).encoder()


def test_eight_bits_halve_the_encoder_and_change_little(tmp_path: Path) -> None:
    model = tiny_cogvideox.save(tmp_path / "cogvideox")
    full, small = (engine(prompt_cache=False, text_encoder_precision=p) for p in ("full", "int8"))
    tokens = torch.tensor([[3, 4, 5, 1]])
    with torch.inference_mode():  # as pipelines call it: another clip of this process may have loaded it so
        exact, rough = (encoder(model, one)(tokens).last_hidden_state for one in (full, small))
    assert 0 < float((exact - rough).norm() / exact.norm()) < 0.02
    linears = [m for m in encoder(model, small).encoder().modules() if isinstance(m, Int8Linear)]
    assert linears and all(layer.weight.dtype is torch.int8 for layer in linears)


def test_an_encoder_stays_on_its_own_device(tmp_path: Path) -> None:
    model = tiny_cogvideox.save(tmp_path / "cogvideox")
    own = engine(text_encoder_device="cpu", prompt_cache=False)
    make(model, own, "a red ball moving to the left", width=32, height=32, num_frames=9)
    assert next(encoder(model, own).encoder().parameters()).device.type == "cpu"


@pytest.mark.gpu
def test_an_encoder_on_the_cpu_serves_a_model_on_the_gpu(tmp_path: Path) -> None:
    model = tiny_mochi.save_mochi(tmp_path / "mochi")
    apart = Engine(Placement(device="cuda", dtype="float32", text_encoder_device="cpu", prompt_cache=False))
    together = Engine(Placement(device="cuda", dtype="float32", prompt_cache=False))
    clips = [make(model, one, "a red ball", **MOCHI).array().astype(int) for one in (apart, together)]
    assert next(encoder(model, apart).encoder().parameters()).device.type == "cpu"
    assert np.abs(clips[0] - clips[1]).max() <= 2
