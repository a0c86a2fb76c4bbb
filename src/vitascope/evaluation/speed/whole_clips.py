"""Whole clips of `vitascope bench`: prompt to MP4, every step of it, unbroken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitascope.context import Context, Progress
from vitascope.engine import memory
from vitascope.engine.memory import GIB
from vitascope.engine.pipelines import LoadedPipeline, accelerated, import_class
from vitascope.engine.step_plan import CAREFUL_FIRST, CAREFUL_LAST
from vitascope.evaluation.speed import random_models
from vitascope.evaluation.speed.bench import Bench
from vitascope.evaluation.speed.records import Timing
from vitascope.evaluation.speed.report import clip_estimate

IN_TURN = ("turbo", "exact", "balanced")  # the shortest first, then what everyone gets who asks for nothing
WARM_UP_STEPS = CAREFUL_FIRST + CAREFUL_LAST + 1  # the middle one alone runs what the ends leave out
LOADING_S, TEXT_S, MARGIN = 60.0, 2.0, 1.01


class WholeClips:
    """Clips by the modules that `bench` timed, whose graphs are compiled, or by new ones where it timed none."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        # Within a memory limit a clip has modules of its own, that come and go as it says.
        self._timed = {} if bench.placement.memory_gib is not None else bench.accelerated
        self._ready: dict[str, LoadedPipeline] = {}

    def time(self, speeds: Sequence[str], folder: Path) -> None:
        """One clip at each speed, as long as there is time for the next; its file is written in `folder`, not kept."""
        for speed in speeds:
            expected = self._expected(speed)
            told = f"whole clip of {speed}, which takes about {expected:.0f} s"
            if not self._bench.left_out(expected, told):
                with self._bench.taking(f"clip of {speed}"):
                    self._time(speed, folder)

    def _expected(self, speed: str) -> float:
        result, like = self._bench.result, _like(speed)
        clip = clip_estimate(speed, result, finish_s=0.0)
        step = result.timings.get(like, Timing()).step_s
        if clip is None or step is None:
            return LOADING_S
        warm = like in self._ready or like in self._timed
        return MARGIN * clip + TEXT_S + (0.0 if warm else LOADING_S + WARM_UP_STEPS * step)

    def _time(self, speed: str, folder: Path) -> None:
        bench, meter = self._bench, self._bench.meter
        timing = bench.result.timings.setdefault(speed, Timing())
        with bench.kept(speed):
            modules = self._modules(speed, timing)
            timing.levers = modules.levers.described()
            others = meter.forget_peak() - _gib(modules.pipeline)
            begun = time.perf_counter()
            clip = self._make(modules, bench.num_steps, timing)
            with TemporaryDirectory(dir=folder) as passing:  # noise: a large file that nobody wants
                clip.save(Path(passing) / "clip.mp4")
                timing.clip_s = time.perf_counter() - begun
            timing.num_denoiser_calls = clip.recipe.stages[-1].notes.get("num_denoiser_calls")
            peak = meter.peak()
            timing.clip_peak_gib = None if peak is None else peak - others
            if bench.placement.memory_gib is not None:
                timing.clip_device_gib = meter.device_gib()

    def _modules(self, speed: str, timing: Timing) -> LoadedPipeline:
        """A pipeline at this speed, its graphs compiled; turbo's is balanced's."""
        bench, like = self._bench, _like(speed)
        placement = bench.placement.model_copy(update={"speed": like})
        if like not in self._ready:
            self._ready.clear()
            self._ready[like] = self._timed_before(like) or self._new(like)
            if like not in self._timed:  # a clip of few steps first, so that compiling is told apart
                timing.first_clip_s, _ = bench.meter.timed(
                    lambda: self._make(self._ready[like], WARM_UP_STEPS)
                )
        ready = self._ready[like]
        placement = placement.model_copy(update={"speed": speed})
        levers = ready.levers.model_copy(update={"skip": bench.levers(ready.pipeline, speed).skip})
        return LoadedPipeline(ready.pipeline, placement, ready.fingerprint, levers)

    def _timed_before(self, speed: str) -> LoadedPipeline | None:
        """The modules whose steps and decodes were timed, as a pipeline."""
        bench = self._bench
        if speed not in self._timed:
            return None
        parts = {**bench.parts, "transformer": self._timed[speed], "vae": bench.our_vae()}
        pipeline = import_class(bench.model.pipeline)(**parts)
        pipeline.set_progress_bar_config(disable=True)
        placement = bench.placement.model_copy(update={"speed": speed})
        return LoadedPipeline(pipeline, placement, "random weights", bench.levers(pipeline, speed))

    def _new(self, speed: str) -> LoadedPipeline:
        placement = self._bench.placement.model_copy(update={"speed": speed})
        pipeline = import_class(self._bench.model.pipeline)(**self._parts())
        pipeline, chosen = accelerated(pipeline, placement)
        return LoadedPipeline(pipeline, placement, "random weights", chosen)

    def _parts(self) -> dict[str, Any]:
        """Parts that may be changed: on the same weights, or under a memory limit the weights themselves, at home."""
        bench = self._bench
        if bench.placement.memory_gib is None:
            shared = {
                name: random_models.sharing_weights(bench.parts[name]) for name in ("transformer", "vae")
            }
            return {**bench.parts, **shared}
        if not bench.parts:
            memory.uncap(bench.placement)
        parts = bench.give_parts()
        for part in parts.values():
            if hasattr(part, "parameters"):
                part.to("cpu")
        bench.meter.forget_peak()
        return parts

    def _make(self, modules: LoadedPipeline, num_steps: int, timing: Timing | None = None) -> Any:
        passed: list[float] = []

        def listen(progress: Progress) -> None:
            if progress.stage != "denoise":
                return
            passed.append(time.perf_counter())
            if timing is not None:
                timing.clip_steps_s = [round(later - earlier, 4) for earlier, later in pairwise(passed)]
                self._bench.keep()

        context = Context(on_progress=listen)
        (clip,) = self._bench.model.item(num_steps).generate([self._bench.task], modules, context)
        return clip


def _like(speed: str) -> str:
    return "balanced" if speed == "turbo" else speed


def _gib(pipeline: Any) -> float:
    """What a pipeline's own weights take on its device."""
    modules = [part for part in pipeline.components.values() if hasattr(part, "parameters")]
    tensors = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.is_cuda
    }
    return sum(tensors.values()) / GIB
