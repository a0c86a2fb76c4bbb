"""Which denoising steps run the network, which are extrapolated, and which stay exact.

Neighbouring steps of a diffusion sampler get nearly the same answer. On a skipped step the answer is continued
in a straight line from the last two computed ones, along the scheduler's timesteps.

Source: the schedule is our own; forecasting instead of reuse as in TaylorSeer, arXiv 2503.06923, here of first
order and of the network's output as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

    from vitascope.engine.denoising import Denoising


# Of 16 steps the third is still so far from the second that extrapolating it costs more than all later ones do.
FEWEST_FIRST = 4


class SkipSchedule(BaseModel):
    """Every `interval`-th step is computed, and all of the first and last ones, where the clip is decided.

    Without `interval` the number of steps decides it, as calibrated on Sprout (docs/en/speed.md): every third of
    50 steps, every second of 16 or 30, of which every third changes the picture more; nothing that its checkers see.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval: int | None = Field(None, ge=1, le=10)
    first: float = Field(0.15, ge=0, le=1, description="share of steps at the start that are all computed")
    last: int = Field(2, ge=1)

    def computed(self, num_steps: int) -> tuple[bool, ...]:
        """For each step whether the network is asked."""
        start = self._start(num_steps)
        interval = self.interval or _calibrated_interval(num_steps)
        return tuple(
            not self.between_ends(step, num_steps) or (step - start) % interval == interval - 1
            for step in range(num_steps)
        )

    def between_ends(self, step: int, num_steps: int) -> bool:
        """Whether a step is neither one of the first nor one of the last, which are always computed."""
        return self._start(num_steps) <= step < num_steps - self.last

    def _start(self, num_steps: int) -> int:
        return max(FEWEST_FIRST, round(self.first * num_steps))


def _calibrated_interval(num_steps: int) -> int:
    if num_steps < 16:
        return 1
    return 3 if num_steps >= 50 else 2


@dataclass
class Forecast:
    """The last two computed tensors of one place in the loop, and the straight line through them."""

    timesteps: list[float] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def remember(self, timestep: float, output: Tensor) -> None:
        """Keep what was computed at a timestep."""
        self.timesteps = [*self.timesteps[-1:], timestep]
        self.outputs = [*self.outputs[-1:], output]

    def at(self, timestep: float) -> Tensor | None:
        """What the line says at a timestep; None before two are known."""
        import torch

        if len(self.outputs) < 2 or self.timesteps[0] == self.timesteps[1]:
            return None
        share = (timestep - self.timesteps[1]) / (self.timesteps[1] - self.timesteps[0])
        return torch.lerp(self.outputs[0], self.outputs[1], 1 + share)


@contextmanager
def skipping(pipeline: Any, denoiser: str, run: Denoising, schedule: SkipSchedule) -> Iterator[None]:
    """Extrapolate the steps that `schedule` skips during one call of `pipeline`, from answers in `run.kept`."""
    forward = getattr(pipeline, denoiser).forward
    place = PlaceInStep()

    def skipped(*args: Any, **kwargs: Any) -> Any:
        step = run.num_steps_done
        call = place.of_call(step)
        if run.replaying:
            return forward(*args, **kwargs)
        run.context.check_cancelled()
        timesteps = run.timesteps
        # Where guidance ends the batch halves: those answers are another line.
        line = f"answers to call {call} of {batch_size(args, kwargs)}"
        forecast = Forecast(**run.kept.get(line, {}))
        if not schedule.computed(len(timesteps))[step]:
            extrapolated = forecast.at(timesteps[step])
            if extrapolated is not None:
                return answer(extrapolated, kwargs)
        output = forward(*args, **kwargs)
        forecast.remember(timesteps[step], answered(output))
        run.kept[line] = vars(forecast)
        return output

    with instead_of_forward(getattr(pipeline, denoiser), skipped):
        yield


# The first steps lay the clip out and the last ones draw its details: there 8-bit attention gives way to bf16.
CAREFUL_FIRST, CAREFUL_LAST = 2, 2


def num_careful(num_steps: int) -> int:
    """How many of the computed steps `careful_ends` keeps exact."""
    return min(num_steps, CAREFUL_FIRST + CAREFUL_LAST)


@contextmanager
def careful_ends(pipeline: Any, denoiser: str, run: Denoising) -> Iterator[None]:
    """The first and last steps of one call of `pipeline` attend exactly, whichever kernel was chosen."""
    from vitascope.engine.attention import exactly

    forward = getattr(pipeline, denoiser).forward

    def careful(*args: Any, **kwargs: Any) -> Any:
        step = run.num_steps_done
        if CAREFUL_FIRST <= step < run.num_steps - CAREFUL_LAST:
            return forward(*args, **kwargs)
        with exactly():
            return forward(*args, **kwargs)

    with instead_of_forward(getattr(pipeline, denoiser), careful):
        yield


@dataclass
class PlaceInStep:
    """Which call of its denoising step a denoiser's call is: some pipelines ask for each prompt by itself."""

    _step: int = -1
    _call: int = 0

    def of_call(self, step: int) -> int:
        """The number of this call, from 0."""
        self._call = self._call + 1 if step == self._step else 0
        self._step = step
        return self._call


@contextmanager
def instead_of_forward(module: Any, forward: Any) -> Iterator[None]:
    """Let `module` run `forward` in the place of its own."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def batch_size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many samples a denoiser's call has."""
    latents = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
    return int(latents.shape[0])


def answered(output: Any) -> Tensor:
    """The tensor in what a denoiser returned."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output.sample
    return tensor


def answer(tensor: Tensor, kwargs: dict[str, Any]) -> Any:
    """What a denoiser called with `kwargs` returns."""
    return _Sample(tensor) if kwargs.get("return_dict", True) else (tensor,)


@dataclass
class _Sample:
    sample: Tensor
