"""Measuring on a model what its block caches must know: how its blocks' share changes from step to step.

Source: the ratio of Ma et al., arXiv 2506.09045 (MagCache), as diffusers 0.42.1 measures it, hooks/mag_cache.py; the
relative change of the first block's share is what first-block caching holds against its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vitascope.engine.block_cache import NEVER, hooks_of
from vitascope.engine.step_plan import PlaceInStep, instead_of_forward

if TYPE_CHECKING:
    from vitascope.engine.denoising import Denoising


@dataclass
class Ratios:
    """What was measured during one clip: for each call within a step, a ratio for each step."""

    by_call: dict[int, list[float]] = field(default_factory=dict)

    def mean(self) -> tuple[float, ...]:
        """Over the calls of each step, to five places."""
        return tuple(round(sum(step) / len(step), 5) for step in zip(*self.by_call.values(), strict=True))


@contextmanager
def measuring(run: Denoising) -> Iterator[Ratios]:
    """Measure during one watched call of a pipeline with one denoiser; every block of every step is computed."""
    from diffusers.hooks import MagCacheConfig
    from diffusers.hooks.mag_cache import MagCacheHeadHook

    (module,) = run.denoisers
    forward, place, measured = module.forward, PlaceInStep(), Ratios()
    module.enable_cache(MagCacheConfig(calibrate=True, num_inference_steps=NEVER))
    (head,) = hooks_of(module, MagCacheHeadHook)

    def measured_forward(*args: Any, **kwargs: Any) -> Any:
        call = place.of_call(run.num_steps_done)
        with module.cache_context(f"call {call}"):
            output = forward(*args, **kwargs)
            # The list is diffusers' own, which it lets go when the pipeline ends.
            measured.by_call[call] = head.state_manager.get_state().calibration_ratios
        return output

    try:
        with instead_of_forward(module, measured_forward):
            yield measured
    finally:
        module._reset_stateful_cache()
        module.disable_cache()
