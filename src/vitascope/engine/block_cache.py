"""Denoising steps on which the network's blocks are not computed, because they would do nearly what they did before.

What the blocks add to the video tokens changes little from step to step. diffusers' hooks leave it out: after the
first block ("first-block", if that one's share barely changed), before it ("mag", by ratios measured beforehand), or
extrapolated on the steps of a `SkipSchedule` ("taylor"). The layers before and after the blocks always run, with the
step's own timestep.

Source: first block: https://github.com/chengzeyi/ParaAttention; mag: Ma et al., arXiv 2506.09045; taylor: Liu et al.,
arXiv 2503.06923, of first order and of the last block alone; all by diffusers 0.42.1, hooks/. Ours: the first and last
steps are computed as in `SkipSchedule`, no more than three in a row are left out, and what the blocks add after the
first is continued in a straight line, not reused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.step_plan import Forecast, PlaceInStep, SkipSchedule, batch_size, instead_of_forward
from vitascope.errors import RequestError

if TYPE_CHECKING:
    from vitascope.engine.denoising import Denoising
    from vitascope.engine.placement import Placement

# Their blocks are known to diffusers' hooks, by what they return.
CACHED = (
    "MochiTransformer3DModel",
    "CogVideoXTransformer3DModel",
    "WanTransformer3DModel",
    "HunyuanVideoTransformer3DModel",
    "LTXVideoTransformer3DModel",
)
BLOCKS = ("transformer_blocks", "single_transformer_blocks", "blocks")
MOST_IN_A_ROW = 3
NEVER, ALWAYS = 10**9, -1


class CacheCalibration(BaseModel):
    """How much caching one model tolerates. `mag_ratios`: how much the blocks' share grows from step to step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_block: float = Field(0.05, gt=0)  # diffusers' own defaults
    mag: float = Field(0.06, gt=0)
    mag_ratios: tuple[float, ...] = ()


class BlockCache(BaseModel):
    """One way of leaving the blocks out. `threshold` None: the model's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["first-block", "mag", "taylor"]
    threshold: float | None = None
    schedule: SkipSchedule = SkipSchedule()

    def calibrated(self, calibration: CacheCalibration) -> float:
        """The threshold for a model."""
        own = calibration.mag if self.kind == "mag" else calibration.first_block
        return self.threshold or own

    def advice(self) -> str:
        """What would leave out more."""
        by = "a longer skip_interval" if self.kind == "taylor" else "a higher cache_threshold"
        return f"more steps or {by} would"


def decide(transformer: str, placement: Placement) -> BlockCache | None:
    """The cache that a placement asks for. Raises: RequestError where it cannot be had."""
    kind, threshold = placement.cache, placement.cache_threshold
    if kind == "none":
        if threshold is not None:
            raise RequestError(
                f"cache_threshold={threshold} has no effect without cache; add cache='first-block' or 'mag'",
                param="cache_threshold",
            )
        return None
    if transformer not in CACHED:
        raise RequestError(
            f"cache={kind!r} has no effect on {in_words(transformer)}; leave it out", param="cache"
        )
    if kind == "taylor":
        if threshold is not None:
            raise RequestError(
                "cache='taylor' goes by skip_interval, not by cache_threshold; leave that out",
                param="cache_threshold",
            )
        return BlockCache(kind=kind, schedule=SkipSchedule(interval=placement.skip_interval))
    if placement.skip_interval is not None:
        raise RequestError(f"choose cache={kind!r} or skip_interval, not both", param="cache")
    return BlockCache(kind=kind, threshold=threshold)


def in_words(transformer: str) -> str:
    """A denoiser's class, as an error names it."""
    return "a model without a transformer" if transformer == "NoneType" else transformer


def check_calibrated(placement: Placement, calibration: CacheCalibration, model: str) -> None:
    """Raises: RequestError where cache='mag' is asked of a model whose ratios were never measured."""
    if placement.cache == "mag" and not calibration.mag_ratios:
        raise RequestError(
            f"cache='mag' needs ratios measured on {model!r}; measure them with `python benchmarks/"
            "calibrate_caches.py`, or use cache='first-block'",
            param="cache",
        )


class _FirstBlock:
    """diffusers' first-block cache, told at each call whether it may skip; the other blocks' share is extrapolated."""

    def __init__(self, module: Any, cache: BlockCache, calibration: CacheCalibration) -> None:
        from diffusers.hooks import FirstBlockCacheConfig
        from diffusers.hooks.first_block_cache import FBCHeadBlockHook

        self._schedule, self._threshold = cache.schedule, cache.calibrated(calibration)
        self._forecasts: dict[str, list[Forecast]] = {}
        module.enable_cache(FirstBlockCacheConfig(self._threshold))
        (self._head,) = hooks_of(module, FBCHeadBlockHook)

    def may_cache(self, step: int, num_steps: int, in_a_row: int) -> bool:
        return self._schedule.between_ends(step, num_steps) and in_a_row < MOST_IN_A_ROW

    def steer(self, allowed: bool, run: Denoising) -> None:
        self._head.threshold = self._threshold if allowed else ALWAYS
        if not allowed:
            return
        state = self._state()
        ahead = [forecast.at(run.timesteps[run.num_steps_done]) for forecast in self._own_forecasts()]
        if ahead and ahead[0] is not None:
            state.tail_block_residuals = (*ahead, None)[:2]

    def computed(self, run: Denoising) -> bool:
        state = self._state()
        if state.should_compute:
            kept = [residual for residual in state.tail_block_residuals if residual is not None]
            forecasts = self._own_forecasts() or [Forecast() for _ in kept]
            for forecast, residual in zip(forecasts, kept, strict=True):
                forecast.remember(run.timesteps[run.num_steps_done], residual)
            self._forecasts[self._head.state_manager.context.name] = forecasts
        return bool(state.should_compute)

    def _state(self) -> Any:
        return self._head.state_manager.get_state()

    def _own_forecasts(self) -> list[Forecast]:
        return self._forecasts.get(self._head.state_manager.context.name, [])


class _Mag:
    """diffusers' MagCache, told which step it is at: its own count of calls is wrong in a resumed run."""

    def __init__(self, module: Any, cache: BlockCache, calibration: CacheCalibration) -> None:
        from diffusers.hooks import MagCacheConfig
        from diffusers.hooks.mag_cache import MagCacheHeadHook

        self._schedule, self._ratios = cache.schedule, list(calibration.mag_ratios)
        self._config = MagCacheConfig(
            threshold=cache.calibrated(calibration),
            retention_ratio=0.0,
            num_inference_steps=len(self._ratios),
            mag_ratios=self._ratios,
        )
        module.enable_cache(self._config)
        (self._head,) = hooks_of(module, MagCacheHeadHook)

    def may_cache(self, step: int, num_steps: int, in_a_row: int) -> bool:
        return self._schedule.between_ends(step, num_steps) and in_a_row < MOST_IN_A_ROW

    def steer(self, allowed: bool, run: Denoising) -> None:
        if self._config.num_inference_steps != NEVER:
            self._config.mag_ratios = ratios_for(self._ratios, run.num_steps)
            self._config.num_inference_steps = NEVER  # else it forgets at the last step, by its own count
        self._config.max_skip_steps = MOST_IN_A_ROW if allowed else 0
        self._head.state_manager.get_state().step_index = run.num_steps_done

    def computed(self, _run: Denoising) -> bool:
        return bool(self._head.state_manager.get_state().should_compute)


class _Taylor:
    """diffusers' TaylorSeer on the last block, the others left out, on the steps that a schedule skips."""

    def __init__(self, module: Any, cache: BlockCache, calibration: CacheCalibration) -> None:  # noqa: ARG002
        from diffusers.hooks import TaylorSeerCacheConfig
        from diffusers.hooks.taylorseer_cache import TaylorSeerCacheHook

        *others, last = (re.escape(name) for name in block_names(module))
        self._schedule, self._allowed = cache.schedule, False
        config = TaylorSeerCacheConfig(
            cache_interval=NEVER,
            taylor_factors_dtype=module.dtype,
            skip_predict_identifiers=others,
            cache_identifiers=[last],
        )
        module.enable_cache(config)
        self._all = hooks_of(module, TaylorSeerCacheHook)

    def may_cache(self, step: int, num_steps: int, _in_a_row: int) -> bool:
        return not self._schedule.computed(num_steps)[step]

    def steer(self, allowed: bool, _run: Denoising) -> None:
        factors = self._all[-1].state_manager.get_state().taylor_factors
        self._allowed = allowed and len(factors.get(0, ())) > 1
        for hook in self._all:
            hook.disable_cache_before_step = ALWAYS if self._allowed else NEVER

    def computed(self, _run: Denoising) -> bool:
        return not self._allowed


_HOOKS: dict[str, Any] = {"first-block": _FirstBlock, "mag": _Mag, "taylor": _Taylor}


def block_names(module: Any) -> list[str]:
    """The blocks of a transformer, in the order they run."""
    return [f"{name}.{index}" for name in BLOCKS for index in range(len(getattr(module, name, ())))]


def ratios_for(ratios: Sequence[float], num_steps: int) -> list[float]:
    """Ratios between neighbouring steps, measured with one number of steps, for another.

    Fewer steps are longer ones: each takes the product of those it spans. (diffusers takes the nearest ratio.)
    """
    if len(ratios) == num_steps:
        return list(ratios)
    grown = np.cumsum(np.log(ratios))
    at = np.linspace(0, len(ratios) - 1, num_steps)
    return [
        float(ratio)
        for ratio in np.exp(np.diff(np.interp(at, np.arange(len(ratios)), grown), prepend=grown[0]))
    ]


def hooks_of(module: Any, kind: type) -> list[Any]:
    """diffusers' hooks of one kind on a transformer's blocks, in the order they run."""
    found = [part._diffusers_hook for part in module.modules() if hasattr(part, "_diffusers_hook")]
    return [hook for registry in found for hook in registry.hooks.values() if isinstance(hook, kind)]


@contextmanager
def caching(run: Denoising, cache: BlockCache, calibration: CacheCalibration) -> Iterator[None]:
    """Leave blocks out during one watched call; `run.num_cached_calls` counts how often.

    The cache is no part of a saved denoising state: a resumed run computes blocks until it has filled it again.
    """
    with ExitStack() as stack:
        for module in run.denoisers:
            stack.enter_context(_caching(module, run, cache, calibration))
        yield


@contextmanager
def _caching(module: Any, run: Denoising, cache: BlockCache, calibration: CacheCalibration) -> Iterator[None]:
    forward = module.forward
    place = PlaceInStep()
    in_a_row: dict[str, int] = {}
    if len(block_names(module)) < 2:
        raise RequestError(f"cache={cache.kind!r} needs a transformer of two blocks or more", param="cache")
    hooks = _HOOKS[cache.kind](module, cache, calibration)
    try:

        def cached(*args: Any, **kwargs: Any) -> Any:
            step, num_steps = run.num_steps_done, run.num_steps
            # Each prompt that is asked for by itself, and each batch size, has a memory of its own.
            called = f"call {place.of_call(step)} of {batch_size(args, kwargs)}"
            if run.replaying:
                return forward(*args, **kwargs)
            allowed = hooks.may_cache(step, num_steps, in_a_row.get(called, 0))
            with module.cache_context(called):
                hooks.steer(allowed, run)
                output = forward(*args, **kwargs)
                spared = not hooks.computed(run)
            in_a_row[called] = in_a_row.get(called, 0) + 1 if spared else 0
            if spared:
                run.num_cached_calls += 1
                run.num_denoiser_calls -= 1  # only the first block ran, or none
            return output

        with instead_of_forward(module, cached):
            yield
    finally:
        module._reset_stateful_cache()
        module.disable_cache()
