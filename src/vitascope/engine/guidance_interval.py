"""Denoising steps on which the network is asked for the prompt alone, not for the negative prompt too.

Guidance matters while the clip is laid out. Outside of an interval of the steps the negative prompt's answer is taken
to be the prompt's ("none": no guidance) or to differ from it as it last did ("reuse"), and half the work is saved.

Source: none: Kynkäänniemi et al., arXiv 2404.07724, by shares of the steps instead of noise levels; and Castillo et
al., arXiv 2312.12487, whose LinearAG extrapolates the negative prompt's answer; here from its last one alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from vitascope.engine.block_cache import in_words
from vitascope.engine.step_plan import (
    PlaceInStep,
    answer,
    answered,
    batch_size,
    instead_of_forward,
)
from vitascope.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

    from vitascope.engine.denoising import Denoising
    from vitascope.engine.placement import Placement

# Both prompts in one batch, the negative one first; or one call each, the prompt's first.
TOGETHER = ("MochiTransformer3DModel", "CogVideoXTransformer3DModel", "LTXVideoTransformer3DModel")
IN_TURN = ("WanTransformer3DModel",)
NUM_KEPT = 8
DIFFERENCE = "the last difference of the two prompts' answers"


class GuidanceInterval(BaseModel):
    """From `start` to `stop`, as shares of the steps, both prompts are asked; outside, the prompt alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: float
    stop: float
    outside: Literal["none", "reuse"] = "none"

    def guided(self, num_steps: int) -> tuple[bool, ...]:
        """For each step whether both prompts are asked."""
        return tuple(
            round(self.start * num_steps) <= step < round(self.stop * num_steps) for step in range(num_steps)
        )


def decide(transformer: str, placement: Placement) -> GuidanceInterval | None:
    """The interval that a placement asks for. Raises: RequestError where it cannot be had."""
    asked, outside = placement.guidance_interval, placement.guidance_outside
    if asked is None:
        if outside is not None:
            raise RequestError(
                f"guidance_outside={outside!r} has no effect without guidance_interval; give that too",
                param="guidance_outside",
            )
        return None
    start, stop = asked
    if not 0 <= start < stop <= 1 or (start, stop) == (0, 1):
        raise RequestError(
            f"guidance_interval=[{start:g}, {stop:g}]: it takes from and to, within 0 to 1 and shorter than that, "
            "such as [0, 0.8]",
            param="guidance_interval",
        )
    if outside == "reuse" and start > 0:
        raise RequestError(
            f"guidance_outside='reuse' has no difference to reuse before {start:g}; let the interval begin at 0",
            param="guidance_outside",
        )
    if transformer not in (*TOGETHER, *IN_TURN):
        raise RequestError(
            f"guidance_interval has no effect on {in_words(transformer)}; leave it out",
            param="guidance_interval",
        )
    return GuidanceInterval(start=start, stop=stop, outside=outside or "none")


@contextmanager
def guided_within(pipeline: Any, denoiser: str, run: Denoising, interval: GuidanceInterval) -> Iterator[None]:
    """Ask for the prompt alone outside of `interval`, during one guided call of `pipeline`."""
    module = getattr(pipeline, denoiser)
    one = (
        _Together(module, run, interval)
        if type(module).__name__ in TOGETHER
        else _InTurn(module, run, interval)
    )
    with instead_of_forward(module, one):
        yield


class _Together:
    """Both prompts in one batch: outside of the interval its second half is computed."""

    def __init__(self, module: Any, run: Denoising, interval: GuidanceInterval) -> None:
        self._module, self._forward, self._run, self._interval = module, module.forward, run, interval
        self._within = False
        self._halves: list[tuple[weakref.ref[Tensor], Tensor]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import torch

        run, reuse = self._run, self._interval.outside == "reuse"
        if run.replaying or self._within:
            return self._forward(*args, **kwargs)
        if self._interval.guided(run.num_steps)[run.num_steps_done] or (reuse and DIFFERENCE not in run.kept):
            output = self._forward(*args, **kwargs)
            if reuse:
                negative, prompt = answered(output).chunk(2)
                run.kept[DIFFERENCE] = negative - prompt
            return output
        batch = batch_size(args, kwargs)
        args = tuple(self._second_half(value, batch) for value in args)
        halved = {name: self._second_half(value, batch) for name, value in kwargs.items()}
        self._within = True
        try:
            # Through the module: what looks at its arguments (text lengths, arriving weights) must see these.
            prompt = answered(self._module(*args, **halved))
        finally:
            self._within = False
        run.num_unguided_steps += 1
        negative = prompt + run.kept.get(DIFFERENCE, 0)
        both = torch.cat([negative, prompt])
        run.output_shape = tuple(both.shape)  # what the pipeline is given while steps are replayed
        return answer(both, kwargs)

    def _second_half(self, value: Any, batch: int) -> Any:
        """What stays the same from step to step keeps the same half: others remember it by identity."""
        import torch

        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] != batch:
            return value
        for whole, half in self._halves:
            if whole() is value:
                return half
        half = value[batch // 2 :]
        self._halves = [*self._halves[1 - NUM_KEPT :], (weakref.ref(value), half)]
        return half


class _InTurn:
    """One call for each prompt: outside of the interval the second is not made."""

    def __init__(self, module: Any, run: Denoising, interval: GuidanceInterval) -> None:
        self._forward, self._run, self._interval = module.forward, run, interval
        self._place = PlaceInStep()
        self._prompt: Tensor | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run, reuse = self._run, self._interval.outside == "reuse"
        call = self._place.of_call(run.num_steps_done)
        if run.replaying:
            return self._forward(*args, **kwargs)
        if call == 0:
            output = self._forward(*args, **kwargs)
            self._prompt = answered(output)
            return output
        assert self._prompt is not None, "the prompt is asked first"
        if self._interval.guided(run.num_steps)[run.num_steps_done] or (reuse and DIFFERENCE not in run.kept):
            output = self._forward(*args, **kwargs)
            if reuse:
                run.kept[DIFFERENCE] = answered(output) - self._prompt
            return output
        run.num_unguided_steps += 1
        negative = self._prompt + run.kept.get(DIFFERENCE, 0)
        return answer(negative, kwargs)
