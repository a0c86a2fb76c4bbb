"""Blocks left out on steps much like the last: through the public door, with every family that can have them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import vitascope
from tests.engine.test_lora import trained
from tests.generators import tiny_cogvideox, tiny_hunyuan, tiny_ltx, tiny_mochi, tiny_wan
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine import denoising
from vitascope.engine.block_cache import ratios_for
from vitascope.engine.cache_calibration import measuring
from vitascope.errors import RequestError, RunError

SIZES = {"mochi": (32, 32, 7), "cogvideox": (32, 32, 9), "wan": (32, 32, 5), "ltx": (32, 32, 9)}
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

    def model(name: str) -> str:
        if name not in made:
            made[name] = SAVES[name](tmp_path_factory.mktemp("models") / name)
            (made[name] / "vitascope.json").write_text('{"cache": {"mag_ratios": [1.0, 1.02, 0.97, 1.01]}}')
        return str(made[name])

    return model


def clip(model, family, steps=10, device="cpu", **options):
    width, height, frames = SIZES.get(family, (32, 32, 5))
    size = {"width": width, "height": height, "num_frames": frames, "num_inference_steps": steps}
    return vitascope.generate("a red fox", model=model, device=device, **size, **options)


def notes(made):
    return made.recipe.stages[-1].notes


@pytest.mark.parametrize("family", SAVES)
@pytest.mark.parametrize(
    ("switches", "cached"),
    [
        ({"cache": "first-block", "cache_threshold": 9.0}, 3),
        ({"cache": "mag", "cache_threshold": 9.0}, 3),
        ({"cache": "taylor", "skip_interval": 3}, 3),
    ],
    ids=["first-block", "mag", "taylor"],
)
def test_blocks_are_left_out_of_the_middle_steps(models, family, switches, cached):
    # Of ten steps the first four and the last two are computed; of the others one in four, or one in three.
    made = notes(clip(models(family), family, **switches))
    calls = 2 if family == "wan" else 1  # a call for each prompt, each with a memory of its own
    assert made["num_cached_calls"] == calls * cached
    assert made["num_denoiser_calls"] == calls * (10 - cached)
    assert made["levers"]["cache"]["kind"] == switches["cache"]


@pytest.mark.gpu
@pytest.mark.parametrize(
    "switches",
    [
        {"cache": "first-block", "cache_threshold": 9.0},
        {"cache": "mag", "cache_threshold": 9.0},
        {"cache": "taylor", "skip_interval": 3},
        {"skip_interval": 3},
        {"guidance_interval": (0.0, 0.5)},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", SAVES)
def test_a_gpu_leaves_out_what_a_cpu_does_compiled_or_not(models, family, switches, monkeypatch):
    if family == "hunyuan" and "guidance_interval" in switches:
        pytest.skip("its guidance is no second prompt")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    plain = clip(models(family), family, **switches)
    for how in ({}, {"compile": True}, {"offload": "model"}):
        made = clip(models(family), family, device="cuda", dtype="float32", **how, **switches)
        for what in ("num_denoiser_calls", "num_cached_calls", "num_unguided_steps"):
            assert notes(made).get(what) == notes(plain).get(what)
        apart = np.abs(made.frames[:] - plain.frames[:].astype(float))
        assert apart.mean() < 0.2 and apart.max() <= 6


@pytest.mark.parametrize("kind", ["first-block", "mag"])
def test_a_tight_threshold_computes_everything_and_changes_nothing(models, kind):
    context = Context()
    made = clip(models("mochi"), "mochi", cache=kind, cache_threshold=1e-9, context=context)
    assert "left nothing out of 10 steps" in " ".join(context.warnings)
    assert notes(made)["num_cached_calls"] == 0
    assert np.array_equal(made.frames[:], clip(models("mochi"), "mochi").frames[:])


def test_the_first_block_decides_by_its_change(models):
    counts = [
        notes(clip(models("cogvideox"), "cogvideox", cache="first-block", cache_threshold=threshold))
        for threshold in (1e-4, 0.05, 9.0)
    ]
    cached = [made["num_cached_calls"] for made in counts]
    assert [made["cache_threshold"] for made in counts] == [1e-4, 0.05, 9.0]
    assert cached[0] < cached[-1] and cached == sorted(cached)


def test_turbo_leaves_out_blocks_instead_of_steps_where_that_is_asked(models):
    said = notes(clip(models("mochi"), "mochi", steps=16, speed="turbo", cache="taylor"))
    assert "skip" not in said["levers"]
    assert said["num_cached_calls"] == 5


def test_an_adapter_changes_what_a_cache_continues(models, tmp_path):
    model = models("cogvideox")
    style = trained(tmp_path)
    switches = {"cache": "first-block", "cache_threshold": 9.0, "guidance_interval": (0, 0.5)}
    plain = clip(model, "cogvideox", **switches)
    styled = clip(model, "cogvideox", loras=(str(style),), **switches)
    again = clip(model, "cogvideox", **switches)
    assert notes(styled)["num_cached_calls"] == notes(plain)["num_cached_calls"] > 0
    assert not np.array_equal(styled.array(), plain.array())
    assert np.array_equal(again.array(), plain.array())


def test_blocks_that_visit_may_be_left_out(models):
    from vitascope.engine import offload
    from vitascope.engine.engine import Engine
    from vitascope.engine.placement import Placement
    from vitascope.generators import for_model
    from vitascope.task import TextToVideo

    generator = for_model(models("mochi"), num_inference_steps=8)
    task = generator.complete(TextToVideo.of(prompt="a fox", width=32, height=32, num_frames=7))
    clips = []
    for visiting in (False, True):
        engine = Engine(Placement(device="cpu", cache="first-block", cache_threshold=9.0, speed="exact"))
        pipeline = engine.modules(generator).pipeline
        if visiting:
            parts = {name: part for name, part in pipeline.components.items() if hasattr(part, "parameters")}
            offload.take_turns(parts, "cpu", list(pipeline.transformer.transformer_blocks))
        clips += engine.generate(generator, [task], Context())
    assert notes(clips[1])["num_cached_calls"] == notes(clips[0])["num_cached_calls"] > 0
    assert np.array_equal(clips[0].array(), clips[1].array())


def test_a_batch_leaves_out_blocks_together(models):
    from vitascope.engine.engine import Engine
    from vitascope.engine.placement import Placement
    from vitascope.generators import for_model
    from vitascope.task import TextToVideo

    generator = for_model(models("mochi"), num_inference_steps=10)
    placement = Placement(device="cpu", cache="first-block", cache_threshold=9.0, guidance_interval=(0, 0.5))
    tasks = [
        generator.complete(TextToVideo.of(prompt=prompt, width=32, height=32, num_frames=7, seed=seed))
        for seed, prompt in enumerate(("a fox", "a ship"))
    ]
    first, second = Engine(placement).generate(generator, tasks, Context())
    assert notes(first)["num_cached_calls"] > 0
    assert not np.array_equal(first.array(), second.array())


@pytest.mark.parametrize(
    "switches",
    [
        {"cache": "first-block", "cache_threshold": 9.0},
        {"cache": "mag", "cache_threshold": 9.0},
        {"cache": "taylor"},
    ],
    ids=["first-block", "mag", "taylor"],
)
def test_an_interrupted_run_goes_on_and_computes_until_it_knows_enough(models, tmp_path, switches):
    store = FolderCheckpoints(tmp_path)

    def fall(progress):
        if progress.stage == "denoise" and progress.step == 6:
            raise ValueError("the power went")

    options = {"steps": 16, "skip_interval": 3} if switches["cache"] == "taylor" else {"steps": 16}
    with pytest.raises(RunError, match="the power went"):
        broken = Context(checkpoints=store, checkpoint_every=2, on_progress=fall)
        clip(models("mochi"), "mochi", context=broken, **options, **switches)
    again = Context(checkpoints=store, checkpoint_every=2)
    made = notes(clip(models("mochi"), "mochi", context=again, **options, **switches))
    assert made["resumed_from_step"] in (4, 6)
    assert made["num_cached_calls"] > 0


@pytest.mark.parametrize(
    ("family", "switches", "said"),
    [
        ("mochi", {"cache_threshold": 0.1}, "no effect without cache"),
        ("mochi", {"cache": "taylor", "cache_threshold": 0.1}, "goes by skip_interval"),
        ("mochi", {"cache": "first-block", "skip_interval": 2}, "not both"),
        ("mochi", {"cache": "first-block", "gpus": 2}, "one GPU"),
        ("mochi", {"cache": "first-block", "cache_threshold": -1.0}, "cache_threshold"),
        ("mochi", {"cache": "second-block"}, "first-block"),
    ],
)
def test_what_cannot_be_had_is_refused(models, family, switches, said):
    with pytest.raises(RequestError, match=said):
        clip(models(family), family, steps=2, **switches)


def test_mag_needs_ratios_that_were_measured(tmp_path):
    model = str(tiny_mochi.save_mochi(tmp_path / "mochi"))
    with pytest.raises(RequestError, match="ratios measured"):
        clip(model, "mochi", steps=2, cache="mag")


def test_ratios_for_fewer_steps_are_products():
    measured = [1.0, *[0.9 + 0.002 * step for step in range(49)]]
    assert ratios_for(measured, 50) == measured
    fewer = ratios_for(measured, 16)
    assert len(fewer) == 16 and fewer[0] == 1.0
    assert math.prod(fewer) == pytest.approx(math.prod(measured))
    assert max(fewer[1:]) < min(fewer[1:]) + 0.3 and max(fewer[1:]) < 0.99


def test_ratios_are_measured_and_the_clip_is_as_without(models, capfd):
    import torch
    from diffusers import MochiPipeline

    pipeline = MochiPipeline.from_pretrained(models("mochi"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    size = {"width": 32, "height": 32, "num_frames": 7, "num_inference_steps": 5, "output_type": "latent"}

    def make():
        return pipeline("a fox", generator=torch.Generator().manual_seed(0), **size).frames

    with denoising.watched(pipeline, Context(), "identity") as run, measuring(run) as ratios:
        latents = make()
    assert torch.equal(latents, make())
    mean = ratios.mean()
    assert len(mean) == 5 and mean[0] == 1.0 and all(0.1 < ratio < 10 for ratio in mean)
    assert "MagCache" not in capfd.readouterr().out
