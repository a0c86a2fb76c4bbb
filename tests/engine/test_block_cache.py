"""Blocks left out, and guidance within an interval: through the public door, of every family that can have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vitascope
from tests.generators import tiny_cogvideox, tiny_hunyuan, tiny_ltx, tiny_mochi, tiny_wan

SIZES = {
    "mochi": (32, 32, 7),
    "cogvideox": (32, 32, 9),
    "wan": (32, 32, 5),
    "ltx": (32, 32, 9),
    "hunyuan": (32, 32, 5),
}
SAVES = {
    "mochi": tiny_mochi.save_mochi,
    "cogvideox": tiny_cogvideox.save,
    "wan": tiny_wan.save_wan,
    "ltx": tiny_ltx.save_ltx,
    "hunyuan": tiny_hunyuan.save_hunyuan,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made: dict[str, Path] = {}

    def model(name: str) -> Path:
        if name not in made:
            made[name] = SAVES[name](tmp_path_factory.mktemp("models") / name)
            (made[name] / "vitascope.json").write_text('{"cache": {"mag_ratios": [1.0, 1.01, 0.99, 1.0]}}')
        return made[name]

    return model


def clip(models, family, steps=10, **switches):
    width, height, frames = SIZES[family]
    return vitascope.generate(
        "a red fox",
        model=str(models(family)),
        width=width,
        height=height,
        num_frames=frames,
        num_inference_steps=steps,
        device="cpu",
        **switches,
    )


def notes(made):
    return made.recipe.stages[-1].notes


@pytest.mark.parametrize("family", SAVES)
@pytest.mark.parametrize(
    "switches",
    [
        {"cache": "first-block", "cache_threshold": 9.0},
        {"cache": "mag", "cache_threshold": 9.0},
        {"cache": "taylor", "skip_interval": 3},
    ],
    ids=lambda switches: switches["cache"],
)
def test_blocks_are_left_out_of_the_middle_steps(models, family, switches):
    made = notes(clip(models, family, **switches))
    calls = 2 if family == "wan" else 1
    # Two first steps and two last ones of ten are computed, and of the others every third or fourth.
    assert made["num_cached_calls"] == calls * (4 if switches["cache"] == "taylor" else 5), made
    assert made["num_denoiser_calls"] == calls * 10 - made["num_cached_calls"]
    assert made["levers"]["cache"]["kind"] == switches["cache"]


@pytest.mark.parametrize(("kind", "saves"), [("first-block", 0), ("mag", 0)])
def test_a_tight_threshold_computes_everything_and_changes_nothing(models, kind, saves):
    made = clip(models, "mochi", cache=kind, cache_threshold=1e-9)
    assert notes(made)["num_cached_calls"] == saves
    assert np.array_equal(made.frames[:], clip(models, "mochi").frames[:])


@pytest.mark.parametrize("family", ["mochi", "cogvideox", "wan", "ltx"])
@pytest.mark.parametrize("outside", ["none", "reuse"])
def test_the_prompt_alone_is_asked_outside_of_the_interval(models, family, outside):
    guided = clip(models, family, guidance_scale=5.0)
    partly = clip(models, family, guidance_scale=5.0, guidance_interval=(0, 0.5), guidance_outside=outside)
    assert notes(partly)["num_unguided_steps"] == 5
    assert notes(partly)["num_denoiser_calls"] == (15 if family == "wan" else 10)
    assert not np.array_equal(partly.frames[:], guided.frames[:])


@pytest.mark.parametrize("family", ["mochi", "wan"])
def test_without_guidance_from_the_first_step_on_it_is_as_if_never_asked(models, family):
    # Steps 0 to 5 are unguided; of them alone the clip is the one without guidance.
    outside = clip(models, family, steps=4, guidance_scale=5.0, guidance_interval=(0.9, 1.0))
    alone = clip(models, family, steps=4, guidance_scale=1.0)
    assert np.abs(outside.frames[:].astype(int) - alone.frames[:]).max() <= 1
