"""The levers that are pulled for one call of a pipeline: which steps, which blocks and which prompts are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from vitascope.engine.block_cache import CacheCalibration, caching
from vitascope.engine.denoisers import denoiser_names
from vitascope.engine.guidance_interval import guided_within
from vitascope.engine.levers import Levers
from vitascope.engine.step_plan import FEWEST_FIRST, careful_ends, skipping
from vitascope.errors import RequestError

if TYPE_CHECKING:
    from vitascope.engine.denoising import Denoising


def check(levers: Levers, skip_interval: int | None, num_steps: int, guidance_scale: float | None) -> None:
    """See that what was asked for by name leaves something out of `num_steps`; a speed word may leave out nothing.

    Which steps first-block and mag leave out is not known before. Raises: RequestError.
    """
    steps = "1 step" if num_steps == 1 else f"{num_steps} steps"
    if levers.guidance and (guidance_scale or 0) <= 1:
        raise RequestError(
            f"guidance_interval has no effect at guidance_scale={guidance_scale or 0:g}; leave it out",
            param="guidance_interval",
        )
    if levers.guidance and all(levers.guidance.guided(num_steps)):
        start, stop = levers.guidance.start, levers.guidance.stop
        raise RequestError(
            f"guidance_interval=[{start:g}, {stop:g}] leaves the negative prompt out of none of {steps}; make it "
            "shorter, or leave it out",
            param="guidance_interval",
        )
    if levers.skip and skip_interval and all(levers.skip.computed(num_steps)):
        raise RequestError(
            f"skip_interval={skip_interval} skips none of {steps}, of which the first {FEWEST_FIRST} and the last "
            f"{levers.skip.last} are always computed; ask for more steps, or leave it out",
            param="skip_interval",
        )
    cache = levers.cache
    if cache and cache.kind == "taylor" and all(cache.schedule.computed(num_steps)):
        raise RequestError(
            f"cache='taylor' leaves nothing out of {steps}; {cache.advice()}, or leave it out", param="cache"
        )


@contextmanager
def pulled(
    levers: Levers, pipeline: Any, denoiser: str, run: Denoising, calibration: CacheCalibration
) -> Iterator[None]:
    """Follow `levers` during one watched call of `pipeline`; says when one of them left nothing out."""
    with ExitStack() as stack:
        if levers.approximate_attention:
            for name in denoiser_names(pipeline, denoiser):
                stack.enter_context(careful_ends(pipeline, name, run))
        if levers.skip:
            stack.enter_context(skipping(pipeline, denoiser, run, levers.skip))
        if levers.cache:
            stack.enter_context(caching(run, levers.cache, calibration))
        if levers.guidance:
            stack.enter_context(guided_within(pipeline, denoiser, run, levers.guidance))
        yield
    count = "1 step is" if run.num_steps == 1 else f"{run.num_steps} steps are"
    if levers.skip and all(levers.skip.computed(run.num_steps)):
        run.context.warn(f"{count} too few to skip any")
    if levers.guidance and all(levers.guidance.guided(run.num_steps)):
        run.context.warn(f"{count} too few for guidance_interval to leave the negative prompt out")
    if levers.cache and not run.num_cached_calls:
        run.context.warn(
            f"cache={levers.cache.kind!r} left nothing out of {run.num_steps} steps; {levers.cache.advice()}"
        )


def noted(levers: Levers, run: Denoising, calibration: CacheCalibration) -> dict[str, Any]:
    """What of a call a recipe says beside the levers themselves."""
    notes: dict[str, Any] = {}
    if levers.cache:
        notes["num_cached_calls"] = run.num_cached_calls
        if levers.cache.kind != "taylor":
            notes["cache_threshold"] = levers.cache.calibrated(calibration)
    if levers.guidance:
        notes["num_unguided_steps"] = run.num_unguided_steps
    if spread := getattr(run.denoisers[0], "_vitascope_spread", None):
        notes["layout"] = spread.layout.described()
    if described := levers.described():
        notes["levers"] = described
    return notes
