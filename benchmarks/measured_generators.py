"""Mochi and CogVideoX-5B at their real sizes with random weights, as generators that fleets can run too.

Every run measures itself, and says so in a warning that starts with MEASURED.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from vitascope.engine import pipelines
from vitascope.engine.arriving_frames import ArrivingFrames
from vitascope.engine.pipelines import LoadedPipeline, import_class
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import SkipSchedule
from vitascope.evaluation.speed import random_models
from vitascope.evaluation.speed.random_models import PROMPT  # noqa: F401  what the scripts ask for
from vitascope.generators.cogvideox import CogVideoX
from vitascope.generators.mochi import Mochi

MEASURED = "MEASURED "
TINY = bool(os.environ.get("TINY_MODELS"))  # to try the scripts on a CPU


def built(name: str, placement: Placement) -> LoadedPipeline:
    """A pipeline with random weights, placed and accelerated as a generator's `load` does."""
    model, started = random_models.find(name), time.perf_counter()
    parts = random_models.components(model, placement.device, getattr(torch, placement.dtype), TINY)
    if placement.memory_gib:  # drawn on the card, which may then be used no more than that
        for part in parts.values():
            if isinstance(part, torch.nn.Module):
                part.to("cpu")
        torch.cuda.empty_cache()
    pipeline, levers = pipelines.accelerated(import_class(model.pipeline)(**parts), placement)
    loaded = LoadedPipeline(pipeline, placement, "random", levers)
    loaded.load_s = time.perf_counter() - started  # type: ignore[attr-defined]
    return loaded


def measured(generate: Any, tasks: Sequence[Any], modules: Any, context: Any) -> list[Any]:
    """Run, and say how long each part took and how much memory it had."""
    with Meter(modules.pipeline) as meter:
        clips: list[Any] = generate(tasks, modules, context)
    context.warn(MEASURED + json.dumps(meter.said(modules)))
    return clips


class Meter:
    """Times the parts of one call of a pipeline: text, each denoising step, decode (which may be left out)."""

    def __init__(self, pipeline: Any, decoding: bool = True) -> None:
        self.pipeline, self.decoding = pipeline, decoding
        self.on_gpu = (
            pipeline._execution_device.type == "cuda"
        )  # where weights come to, if they live elsewhere
        self.calls: list[Any] = []
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self.reserved = 0.0

    def __enter__(self) -> Meter:
        self.peak()
        self.reserved = 0.0
        self.began = self.now()
        transformer = self.pipeline.transformer
        self.hooks = [
            transformer.register_forward_pre_hook(self._note_call, prepend=True),
            transformer.register_forward_pre_hook(self._note_arrival),
        ]
        self.decode = self.pipeline.vae.decode
        self.pipeline.vae.decode = self._decode
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        del self.pipeline.vae.decode
        self.seconds["total"] = self.now() - self.began

    def now(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> float:
        """The peak since the last one. Units: GiB."""
        if not self.on_gpu:
            return 0.0
        peak = torch.cuda.max_memory_allocated() / 2**30
        self.reserved = max(self.reserved, torch.cuda.max_memory_reserved() / 2**30)
        torch.cuda.reset_peak_memory_stats()
        return peak

    def context(self) -> float:
        """What the card holds beside torch's memory, other processes' included. Units: GiB."""
        if not self.on_gpu:
            return 0.0
        free, total = torch.cuda.mem_get_info()
        return (total - free - torch.cuda.memory_reserved()) / 2**30

    def _note_call(self, *_: Any) -> None:
        if not self.calls:
            self.seconds["text"] = self.now() - self.began
            self.peaks["text"] = self.peak()
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.calls.append(event)
        else:
            self.calls.append(time.perf_counter())

    def _note_arrival(self, *_: Any) -> None:
        """The text encoder may have left the card for the transformer by now."""
        if len(self.calls) == 1:
            self.peak()

    def _decode(self, latents: Any, *args: Any, **kwargs: Any) -> Any:
        ended = self.now()
        if self.on_gpu:
            last = torch.cuda.Event(enable_timing=True)
            last.record()
            last.synchronize()
            marks = [*self.calls, last]
            self.steps = [a.elapsed_time(b) / 1e3 for a, b in pairwise(marks)]
        else:
            marks = [*self.calls, ended]
            self.steps = [b - a for a, b in pairwise(marks)]
        self.seconds["denoise"] = ended - self.began - self.seconds["text"]
        self.peaks["denoise"] = self.peak()
        self.latents = latents.detach().float()
        if (visit := getattr(self.pipeline.vae, "_hf_hook", None)) is not None:
            visit.pre_forward(self.pipeline.vae)  # what leaves the card for the VAE is no part of decoding
            self.peak()
        if not self.decoding:
            return self._nothing(latents)
        output = self.decode(latents, *args, **kwargs)
        self.seconds["decode"] = self.now() - ended
        self.peaks["decode"] = self.peak()
        return output

    def _nothing(self, latents: Any) -> Any:
        """A clip of one black frame, where only the steps are of interest."""
        black = latents.new_zeros(latents.shape[0], 3, 1, 8, 8)
        arriving = getattr(self.pipeline.vae, "_vitascope_arriving", None)
        if arriving is not None:
            for clip in black.split(1):
                frames = ArrivingFrames()
                frames.add(clip)
                arriving.append(frames)
        return (black,)

    def said(self, modules: Any) -> dict[str, Any]:
        """All of it; the peak of the fullest rank."""
        peaks = [self.peaks]
        if torch.distributed.is_initialized():
            peaks = [{}] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(peaks, self.peaks)
        spread = getattr(modules.pipeline.transformer, "_vitascope_spread", None)
        return {
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "steps_s": [round(step, 4) for step in self.steps],
            "peak_gib": {name: round(max(peak[name] for peak in peaks), 3) for name in peaks[0]},
            "reserved_gib": round(self.reserved, 2),
            "context_gib": round(self.context(), 2),
            "levers": modules.levers.described(),
            "layout": spread.layout.described() if spread else "one device",
            "load_s": round(modules.load_s, 1),
            "device": torch.cuda.get_device_name() if self.on_gpu else "cpu",
        }


class RandomMochi(Mochi):
    """Mochi 1 preview's sizes. `skipping`: turbo's schedule, on a placement whose other levers are turbo's."""

    skipping: bool = False
    shared_decoding: bool = True

    def load(self, placement: Placement) -> LoadedPipeline:
        """Random weights on the device."""
        return built("mochi", placement)

    def generate(self, tasks: Any, modules: Any, context: Any) -> list[Any]:
        """As Mochi, measured."""
        skip = SkipSchedule() if self.skipping else None
        modules.levers = modules.levers.model_copy(update={"skip": skip})
        if not self.shared_decoding:
            modules.pipeline.vae._vitascope_stream.share = lambda _: None
        return measured(super().generate, tasks, modules, context)


class RandomCogVideoX(CogVideoX):
    """CogVideoX-5B's sizes."""

    model: str = "cogvideox-5b"

    def load(self, placement: Placement) -> LoadedPipeline:
        """Random weights on the device."""
        return built("cogvideox-5b", placement)

    def generate(self, tasks: Any, modules: Any, context: Any) -> list[Any]:
        """As CogVideoX, measured."""
        return measured(super().generate, tasks, modules, context)


FAMILIES: dict[str, Any] = {"mochi-1": RandomMochi, "cogvideox-5b": RandomCogVideoX}
