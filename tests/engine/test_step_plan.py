"""Skipped steps are extrapolated in a straight line; the first and last ones are computed, and attend exactly."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vitascope.context import Context
from vitascope.engine import attention, denoising
from vitascope.engine.step_plan import SkipSchedule, careful_ends, num_careful, skipping


class Straight(torch.nn.Module):
    """A denoiser whose answer is a straight line in the timestep, and which counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, hidden_states, timestep, return_dict=True):
        self.calls += 1
        output = hidden_states * 0 + 3.0 * timestep + 1.0
        return SimpleNamespace(sample=output) if return_dict else (output,)


class Scheduler:
    def __init__(self, timesteps):
        self.timesteps = torch.tensor(timesteps)

    def step(self, output, timestep, latents):
        return (latents,)


def run(timesteps, schedule, return_dict=False, calls_per_step=1):
    denoiser = Straight()
    pipeline = SimpleNamespace(transformer=denoiser, scheduler=Scheduler(timesteps))
    outputs = []
    with (
        denoising.watched(pipeline, Context(), "identity") as watched,
        skipping(pipeline, "transformer", watched, schedule),
    ):
        for timestep in pipeline.scheduler.timesteps:
            for _ in range(calls_per_step):
                output = pipeline.transformer(torch.zeros(2), timestep=timestep, return_dict=return_dict)
                outputs.append(output.sample if return_dict else output[0])
            pipeline.scheduler.step(outputs[-1], timestep, torch.zeros(2))
    assert "forward" not in vars(denoiser)
    return denoiser.calls, outputs, watched


def test_the_turbo_schedule_asks_at_these_steps():
    turbo = SkipSchedule()
    computed = turbo.computed(50)
    assert sum(computed) == 23 and all(computed[:8]) and all(computed[-2:])
    assert sum(turbo.computed(16)) == 11  # every third would ruin a clip of so few steps
    assert all(turbo.computed(16)[:4])
    assert all(turbo.computed(15))
    assert all(SkipSchedule(interval=1).computed(20))


def test_a_straight_line_is_foretold_exactly():
    timesteps = [1000.0, 900.0, 750.0, 600.0, 420.0, 300.0, 200.0, 100.0, 50.0, 10.0]
    for return_dict in (False, True):
        calls, outputs, watched = run(timesteps, SkipSchedule(interval=3), return_dict)
        assert calls == watched.num_denoiser_calls == sum(SkipSchedule(interval=3).computed(10)) < 10
        for timestep, output in zip(timesteps, outputs, strict=True):
            torch.testing.assert_close(output, torch.full((2,), 3.0 * timestep + 1.0))


def test_two_calls_a_step_are_kept_apart():
    calls, outputs, _ = run([100.0 * (10 - i) for i in range(10)], SkipSchedule(interval=2), calls_per_step=2)
    assert calls == 2 * sum(SkipSchedule(interval=2).computed(10))
    assert len(outputs) == 20


@pytest.mark.parametrize(("num_steps", "exact"), [(8, [0, 1, 6, 7]), (3, [0, 1, 2])])
def test_the_first_and_last_steps_attend_exactly(monkeypatch, num_steps, exact):
    monkeypatch.setitem(attention.KERNELS, "int8", lambda query, key, value, out: out.zero_())
    query, key, value = torch.randn(3, 1, 5, 2, 8)
    run = SimpleNamespace(num_steps_done=0, num_steps=num_steps)
    module = SimpleNamespace(forward=lambda: attention.attend(query, key, value, "int8"))
    attended = []
    with careful_ends(SimpleNamespace(transformer=module), "transformer", run):
        for run.num_steps_done in range(num_steps):
            attended.append(bool(module.forward().any()))
    assert [step for step, any_ in enumerate(attended) if any_] == exact
    assert num_careful(num_steps) == len(exact)
    assert not module.forward().any()
