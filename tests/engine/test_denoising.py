"""Denoising that is watched: states saved, resumed to the bit, refused when foreign."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.generators import tiny_cogvideox as tiny
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine import denoising_state
from vitascope.engine.denoising import watched
from vitascope.engine.engine import Engine
from vitascope.engine.pipelines import import_class
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, JobCancelled
from vitascope.generators import for_model
from vitascope.task import TextToVideo

STEPS = 6


@pytest.fixture(scope="module")
def engine():
    return Engine(Placement(device="cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "5b", "5b")


@pytest.fixture
def run(engine, folder):
    def run(context, scheduler=None, seed=3, steps=STEPS, engine=engine):
        generator = for_model(str(folder), num_inference_steps=steps, scheduler=scheduler)
        task = generator.complete(TextToVideo(prompt="a red ball", seed=seed))
        return generator.generate([task], engine.modules(generator), context)[0]

    return run


def interrupted(run, store, after, every=1, **how):
    """Run until `after` steps are done, then stop; what is left is the saved state."""
    context = Context(
        checkpoints=store,
        checkpoint_every=every,
        on_progress=lambda told: context.cancel.set() if told.step == after else None,
    )
    with pytest.raises(JobCancelled):
        run(context, **how)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm", "dpm++", "sde-dpm++", "unipc"])
@pytest.mark.parametrize("stopped_in", [2, 3, 5])
def test_a_resumed_clip_is_equal_to_the_bit(run, tmp_path, scheduler, stopped_in):
    whole = run(Context(), scheduler)
    store = FolderCheckpoints(tmp_path)
    interrupted(run, store, stopped_in, scheduler=scheduler)
    heard = []
    resumed = run(Context(checkpoints=store, on_progress=heard.append), scheduler)
    assert np.array_equal(resumed.array(), whole.array())
    assert resumed.recipe.stages[0].notes["num_denoiser_calls"] == STEPS
    assert [told.step for told in heard if told.stage == "denoise"] == list(range(1, STEPS + 1))
    assert not list(tmp_path.iterdir()), "the state is forgotten when the clip is made"


@pytest.mark.parametrize("stopped_in", [7, 9])
@pytest.mark.parametrize(
    ("switches", "counted"),
    [
        ({"speed": "turbo"}, {"num_denoiser_calls": 11}),
        ({"skip_interval": 3}, {"num_denoiser_calls": 9}),
        (
            {"guidance_interval": (0, 0.4), "guidance_outside": "reuse"},
            {"num_denoiser_calls": 16, "num_unguided_steps": 10},
        ),
    ],
)
def test_what_levers_remember_is_part_of_the_state(run, tmp_path, switches, counted, stopped_in):
    levers = {"steps": 16, "engine": Engine(Placement(device="cpu", **switches))}
    whole = run(Context(), **levers)
    store = FolderCheckpoints(tmp_path)
    interrupted(run, store, stopped_in, **levers)
    resumed = run(Context(checkpoints=store), **levers)
    assert np.array_equal(resumed.array(), whole.array())
    notes = resumed.recipe.stages[0].notes
    assert notes["resumed_from_step"] in (stopped_in - 1, stopped_in)
    assert {name: notes[name] for name in counted} == counted


def test_only_the_remaining_calls_run(run, engine, folder, tmp_path):
    store = FolderCheckpoints(tmp_path)
    interrupted(run, store, 5)
    transformer = engine.modules(for_model(str(folder))).pipeline.transformer
    counted = []
    hook = transformer.transformer_blocks[0].register_forward_pre_hook(lambda *_: counted.append(1))
    try:
        run(Context(checkpoints=store))
    finally:
        hook.remove()
    assert len(counted) == STEPS - 5


def test_states_are_saved_as_often_as_asked_and_not_without_a_store(run, tmp_path):
    class Counting(FolderCheckpoints):
        saved = 0

        def save(self, name, data):
            type(self).saved += 1
            super().save(name, data)

    run(Context(checkpoints=Counting(tmp_path), checkpoint_every=2))
    assert Counting.saved == 3, "after steps 2 and 4, and after the last, before decoding"
    run(Context(checkpoint_every=1))


def test_a_state_of_another_request_is_not_taken(run, tmp_path):
    store = FolderCheckpoints(tmp_path)
    interrupted(run, store, 3)
    other = run(Context(), seed=4)
    assert np.array_equal(run(Context(checkpoints=store), seed=4).array(), other.array())


def test_a_foreign_or_damaged_state_is_refused(run, tmp_path):
    store = FolderCheckpoints(tmp_path)
    interrupted(run, store, 3)
    (saved,) = tmp_path.iterdir()
    data = saved.read_bytes()
    with pytest.raises(InvalidMedia, match="other inputs"):
        denoising_state.from_bytes(data, "another identity")
    saved.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidMedia, match="damaged"):
        run(Context(checkpoints=store))
    saved.write_bytes(b"no tensors")
    with pytest.raises(InvalidMedia, match="damaged"):
        run(Context(checkpoints=store))


def test_nothing_stays_wrapped(run, engine, folder):
    run(Context())
    pipeline = engine.modules(for_model(str(folder))).pipeline
    assert "forward" not in vars(pipeline.transformer)
    assert "step" not in vars(pipeline.scheduler)


def test_an_offloading_hook_is_put_back(run, engine, folder):
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    plain = run(Context())
    transformer = engine.modules(for_model(str(folder))).pipeline.transformer
    add_hook_to_module(transformer, ModelHook())
    hooked = vars(transformer)["forward"]
    try:
        assert np.array_equal(run(Context()).array(), plain.array())
        assert vars(transformer)["forward"] is hooked
    finally:
        remove_hook_from_module(transformer)
        vars(transformer).pop("forward", None)


class Loop:
    """A pipeline's loop in the other style: objects returned, a `unet`, a multistep or stochastic scheduler."""

    def __init__(self, scheduler):
        torch.manual_seed(0)
        self.scheduler = scheduler
        self.unet = Denoiser()

    def __call__(self, generator):
        latents = torch.randn(1, 4, generator=generator)
        self.scheduler.set_timesteps(STEPS)
        latents = latents * getattr(self.scheduler, "init_noise_sigma", 1.0)
        scaled = getattr(self.scheduler, "scale_model_input", lambda latents, _: latents)
        known = inspect.signature(self.scheduler.step).parameters  # as diffusers' pipelines look
        extra = {"generator": generator} if "generator" in known else {}
        for t in self.scheduler.timesteps:
            predicted = self.unet(scaled(latents, t)).sample
            latents = self.scheduler.step(predicted, t, latents, **extra).prev_sample
        return latents


class Denoiser(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 4)

    def forward(self, x):
        return SimpleNamespace(sample=super().forward(x))


@pytest.mark.parametrize(
    "where",
    [
        "scheduling_euler_ancestral_discrete:EulerAncestralDiscreteScheduler",
        "scheduling_heun_discrete:HeunDiscreteScheduler",
        "scheduling_flow_match_euler_discrete:FlowMatchEulerDiscreteScheduler",
        "scheduling_lcm:LCMScheduler",
    ],
)
def test_loops_of_other_families_resume_too(tmp_path, where):
    cls = import_class(f"diffusers.schedulers.{where}")
    store = FolderCheckpoints(tmp_path)

    def clip(context):
        loop, generator = Loop(cls()), torch.Generator().manual_seed(1)
        with watched(loop, context, "same", [generator]) as seen, torch.inference_mode():
            return loop(generator), seen.num_denoiser_calls, seen.resumed_from

    whole, calls, _ = clip(Context())
    context = Context(
        checkpoints=store,
        checkpoint_every=1,
        on_progress=lambda told: context.cancel.set() if told.step == 4 else None,
    )
    with pytest.raises(JobCancelled):
        clip(context)
    again, calls_again, resumed_from = clip(Context(checkpoints=store))
    assert torch.equal(whole, again)
    assert (calls_again, resumed_from) == (calls, 4)


def test_a_scheduler_with_unknown_belongings_runs_on_without_states(run, tmp_path, monkeypatch):
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    original = CogVideoXDDIMScheduler.step

    def step(self, *args, generator=None, **kwargs):
        self.belongings = object()
        return original(self, *args, generator=generator, **kwargs)

    monkeypatch.setattr(CogVideoXDDIMScheduler, "step", step)
    context = Context(checkpoints=FolderCheckpoints(tmp_path), checkpoint_every=1)
    run(context)
    assert any("belongings" in line for line in context.warnings)
    assert not list(tmp_path.iterdir())
