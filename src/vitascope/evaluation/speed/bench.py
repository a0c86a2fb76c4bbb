"""Ours against diffusers as it is, in one run: alternating blocks of steps, a VAE decode each, whole clips."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitascope.clip import Clip
from vitascope.context import Context, Progress
from vitascope.engine import levers as levers_of
from vitascope.engine import memory, streaming_vae
from vitascope.engine.levers import Levers
from vitascope.engine.pipelines import LoadedPipeline, accelerated, environment, import_class
from vitascope.engine.placement import Placement
from vitascope.engine.step_plan import CAREFUL_FIRST, CAREFUL_LAST
from vitascope.engine.subject import Gpu, Subject
from vitascope.errors import ResourceError
from vitascope.evaluation.speed import other_nets, random_models
from vitascope.evaluation.speed.flops import floor_seconds, step_flops
from vitascope.evaluation.speed.random_models import BenchModel
from vitascope.evaluation.speed.step_inputs import StepInputs, draw

GIB = 2**30
AS_IS = "diffusers"
WARM_UP_STEPS = CAREFUL_FIRST + CAREFUL_LAST + 1  # the middle one alone runs what the ends leave out
PLANS = ("exact", "balanced")  # turbo's steps are balanced's, fewer of them


class Timing(BaseModel):
    """One way of running a model. Units: seconds, GiB."""

    model_config = ConfigDict(extra="forbid")

    levers: dict[str, Any] = Field(default_factory=dict)
    first_step_s: float | None = None
    steps_s: list[float] = Field(default_factory=list)
    step_peak_gib: float | None = None
    relative_error: float | None = None
    decode_first_s: float | None = None
    decodes_s: list[float] = Field(default_factory=list)
    decode_peak_gib: float | None = None
    decode_alone_gib: float | None = None  # with the VAE's weights, without the other models' on the card
    decode_relative_error: float | None = None
    finish_s: float | None = None  # from latents to a finished MP4
    clip_s: float | None = None
    clip_steps_s: list[float] = Field(default_factory=list)  # from step to step as the loop passed them
    clip_peak_gib: float | None = None
    clip_device_gib: float | None = None  # as the card sees it: with what torch reserves and CUDA's own
    first_clip_s: float | None = None
    num_denoiser_calls: int | None = None
    failed: str | None = None

    @property
    def step_s(self) -> float | None:
        """The median step."""
        return statistics.median(self.steps_s) if self.steps_s else None

    @property
    def decode_s(self) -> float | None:
        """The median decode."""
        return statistics.median(self.decodes_s) if self.decodes_s else None


class BenchResult(BaseModel):
    """All that one run measured, and where."""

    model_config = ConfigDict(extra="forbid")

    model: str
    weights: str = "random"
    task: dict[str, Any]
    num_steps: int
    environment: dict[str, str]
    date: str
    floor_step_s: float | None = None
    step_pflop: float | None = None
    timings: dict[str, Timing] = Field(default_factory=dict)


class Bench:
    """One model on one GPU. `on_result` is handed the result after each piece, to keep what was measured."""

    def __init__(
        self,
        model: BenchModel,
        placement: Placement,
        num_steps: int,
        on_result: Callable[[BenchResult], None],
        deadline: float | None = None,
        tiny: bool = False,
    ) -> None:
        import torch

        self._model, self._tiny, self._num_steps = model, tiny, num_steps
        self._placement, self._deadline, self._told = placement, deadline, on_result
        self._cuda = placement.device.startswith("cuda")
        if not self._cuda and not tiny:
            raise ResourceError(
                f"timing {model.name} needs a CUDA GPU, not {placement.device}; --tiny runs anywhere"
            )
        self.task = model.item(num_steps).complete(model.task(tiny))
        dtype = getattr(torch, placement.dtype)
        self._draw = partial(random_models.components, model, placement.device, dtype, tiny)
        self._parts = self._draw()
        self._ready: dict[str, LoadedPipeline] = {}
        self.result = BenchResult(
            model=model.name,
            task=self.task.described(),
            num_steps=num_steps,
            environment=environment(placement),
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def time_parts(self, rounds: int = 3) -> None:
        """The steps in alternating blocks, then the decodes."""
        import torch

        with torch.inference_mode():
            self._time_steps(rounds)
            self._time_decodes(2)

    def _time_steps(self, rounds: int) -> None:
        inputs = self._step_inputs()
        runs: dict[str, Any] = {AS_IS: self._parts["transformer"]}
        for speed in PLANS:
            with self._kept(speed):
                runs[speed] = self._transformer(speed)
        reference = None
        for round_ in range(rounds):
            for name, module in runs.items():
                timing = self.result.timings.setdefault(name, Timing())
                if self._too_late(20) or timing.failed:
                    continue
                step = partial(_call, module, inputs)
                with self._kept(name):
                    if round_ == 0:
                        self._forget_peak()
                        timing.first_step_s, (output,) = self._timed(step)
                        reference = output if reference is None else reference
                        timing.relative_error = _relative_error(output, reference)
                        del output
                    for _ in range(1 if name == AS_IS else 2):
                        seconds, _ = self._timed(step)
                        timing.steps_s.append(seconds)
                    timing.step_peak_gib = self._peak()
        runs.clear()

    def _transformer(self, speed: str) -> Any:
        module = random_models.sharing_weights(self._parts["transformer"])
        stand_in = SimpleNamespace(transformer=module, vae=None, components={"transformer": module})
        chosen = self._levers(stand_in, speed)
        levers_of.shrink(stand_in, chosen, self._placement.device)
        levers_of.pull(stand_in, chosen, self._placement.device)
        self.result.timings.setdefault(speed, Timing()).levers = chosen.described()
        return module

    def _levers(self, pipeline: Any, speed: str) -> Levers:
        placement = self._placement.model_copy(update={"speed": speed})
        return levers_of.decide(Subject.of(pipeline), placement, Gpu.here(placement.device))

    def _step_inputs(self) -> StepInputs:
        transformer, text = self._parts["transformer"], self._parts.get("text_encoder")
        device, vae = self._placement.device, self._parts["vae"]
        undrawn = other_nets.TINY_WIDTH if self._tiny else self._model.text_width
        width = undrawn if text is None else text.config.d_model
        inputs = draw(
            transformer, random_models.latent_shape(vae, self.task), self._model.text_length, width, device
        )
        flops = inputs.num_calls * step_flops(
            transformer, inputs.num_video, inputs.valid_text, inputs.padded_text
        )
        self.result.step_pflop = flops / 1e15
        gpu = self.result.environment.get("gpu", "")
        self.result.floor_step_s = floor_seconds(flops, gpu) if self._cuda else None
        return inputs

    def _time_decodes(self, repeats: int) -> None:
        import torch

        vae, task = self._parts["vae"], self.task
        shape = random_models.latent_shape(vae, task)
        generator = torch.Generator(self._placement.device).manual_seed(2)
        latents = torch.randn(1, *shape, generator=generator, device=self._placement.device, dtype=vae.dtype)
        ours = random_models.sharing_weights(vae)
        with self._kept(AS_IS):
            if self._model.tiled_as_is:
                vae.enable_tiling()  # untiled, diffusers needs more than an 80 GB card
            self._decode_with(AS_IS, vae, latents, repeats, None)
            vae.use_tiling = False
        with self._kept("exact"):
            stand_in = SimpleNamespace(
                transformer=self._parts["transformer"], vae=ours, components={"vae": ours}
            )
            chosen = self._levers(stand_in, "exact")
            if chosen.vae == "stream":
                streaming_vae.install(ours, compiled=chosen.compile)
            self._decode_with("exact", ours, latents, repeats, self._parts["vae"])

    def _decode_with(self, name: str, vae: Any, latents: Any, repeats: int, reference: Any) -> None:
        timing = self.result.timings.setdefault(name, Timing())
        if self._too_late(60):
            return
        others = self._forget_peak() - sum(p.numel() * p.element_size() for p in vae.parameters()) / GIB
        timing.decode_first_s, pixels = self._timed(lambda: vae.decode(latents, return_dict=False)[0])
        del pixels
        for _ in range(repeats):
            seconds, pixels = self._timed(lambda: vae.decode(latents, return_dict=False)[0])
            del pixels
            timing.decodes_s.append(seconds)
        timing.decode_peak_gib = self._peak()
        timing.decode_alone_gib = timing.decode_peak_gib - others if timing.decode_peak_gib else None
        timing.finish_s, _ = self._timed(lambda: self._finish(vae, latents))
        if reference is not None:  # against one shot, on a corner that fits
            corner = latents[:, :, :4, :30, :40]
            expected = reference.decode(corner, return_dict=False)[0]
            timing.decode_relative_error = _relative_error(vae.decode(corner, return_dict=False)[0], expected)

    def _finish(self, vae: Any, latents: Any) -> None:
        """Latents into an MP4: diffusers hands out all frames as floats, a streaming VAE bytes as they come."""
        from diffusers.video_processor import VideoProcessor

        frames: Any
        if getattr(vae, "_vitascope_arriving", ()) is None:
            with streaming_vae.arriving(vae) as clips:
                vae.decode(latents)
            frames = clips[0]
        else:
            video = VideoProcessor().postprocess_video(
                vae.decode(latents, return_dict=False)[0], output_type="np"
            )
            frames = (video[0] * 255).round().astype("uint8")
        with TemporaryDirectory() as folder:
            Clip(frames, fps=self.task.fps or Fraction(8)).save(Path(folder) / "clip.mp4")

    def time_clip(self, speed: str, folder: Path) -> None:
        """One whole clip, prompt to MP4, every step of it."""
        name = f"{speed}, whole clip"
        timing = self.result.timings.setdefault(name, Timing())
        with self._kept(name):
            modules = self._modules(speed, timing)
            timing.levers = modules.levers.described()
            self._forget_peak()
            begun = time.perf_counter()
            clip = self._make(modules, self._num_steps, timing.clip_steps_s)
            clip.save(folder / f"{self._model.name}-{speed}.mp4")
            timing.clip_s = time.perf_counter() - begun
            timing.clip_peak_gib, timing.clip_device_gib = self._peak(), self._device_gib()
            timing.num_denoiser_calls = clip.recipe.stages[-1].notes.get("num_denoiser_calls")

    def _modules(self, speed: str, timing: Timing) -> LoadedPipeline:
        """A pipeline at this speed, its graphs compiled; turbo's is balanced's."""
        like = "balanced" if speed == "turbo" else speed
        placement = self._placement.model_copy(update={"speed": like})
        if like not in self._ready:
            self._ready.clear()
            pipeline = import_class(self._model.pipeline)(**self._parts_for_clip())
            pipeline, chosen = accelerated(pipeline, placement)
            self._ready[like] = LoadedPipeline(pipeline, placement, "random weights", chosen)
            # A clip of few steps first, so that compiling is told apart.
            timing.first_clip_s, _ = self._timed(lambda: self._make(self._ready[like], WARM_UP_STEPS))
        ready = self._ready[like]
        placement = placement.model_copy(update={"speed": speed})
        skip = levers_of.decide(Subject.of(ready.pipeline), placement, Gpu.here(placement.device)).skip
        levers = ready.levers.model_copy(update={"skip": skip})
        return LoadedPipeline(ready.pipeline, placement, ready.fingerprint, levers)

    def _parts_for_clip(self) -> dict[str, Any]:
        """Parts that may be changed: on the same weights, or under a memory limit the weights themselves, at home."""
        if self._placement.memory_gib is None:
            shared = {
                name: random_models.sharing_weights(self._parts[name]) for name in ("transformer", "vae")
            }
            return {**self._parts, **shared}
        if not self._parts:
            memory.uncap(self._placement)
            self._parts = self._draw()
        parts, self._parts = self._parts, {}
        for part in parts.values():
            if hasattr(part, "parameters"):
                part.to("cpu")
        self._forget_peak()
        return parts

    def _make(self, modules: LoadedPipeline, num_steps: int, steps_s: list[float] | None = None) -> Any:
        passed: list[float] = []

        def listen(progress: Progress) -> None:
            if progress.stage == "denoise" and steps_s is not None:
                passed.append(time.perf_counter())
                if len(passed) > 1:
                    steps_s.append(round(passed[-1] - passed[-2], 4))
                self._told(self.result)

        context = Context(on_progress=listen)
        (clip,) = self._model.item(num_steps).generate([self.task], modules, context)
        return clip

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        import torch

        if self._cuda:
            torch.cuda.synchronize()
        begun = time.perf_counter()
        output = work()
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begun, output

    def _forget_peak(self) -> float:
        """Begin to look for the most memory anew; what is taken now. Units: GiB."""
        import torch

        if not self._cuda:
            return 0.0
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / GIB

    def _peak(self) -> float | None:
        import torch

        return torch.cuda.max_memory_allocated() / GIB if self._cuda else None

    def _device_gib(self) -> float | None:
        import torch

        if not self._cuda:
            return None
        free, total = torch.cuda.mem_get_info()
        return (total - free - torch.cuda.memory_reserved() + torch.cuda.max_memory_reserved()) / GIB

    def _too_late(self, needed_s: float) -> bool:
        return self._deadline is not None and time.time() + needed_s > self._deadline

    def _kept(self, name: str) -> Any:
        return _Kept(self, name)


class _Kept:
    """Keeps what was measured when one way of running fails, and goes on with the next."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench, self._name = bench, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        result = self._bench.result
        if isinstance(error, Exception):
            timing = result.timings.setdefault(self._name, Timing())
            timing.failed = f"{type(error).__name__}: {error}"[:2000]
        self._bench._told(result)
        return isinstance(error, Exception)


def _call(module: Any, inputs: StepInputs) -> Any:
    """One step: the network, asked as often as the pipeline asks it."""
    for _ in range(inputs.num_calls):
        output = module(**inputs.arguments, return_dict=False)
    return output


def _relative_error(output: Any, expected: Any) -> float:
    return float((output.float() - expected.float()).norm() / expected.float().norm())
