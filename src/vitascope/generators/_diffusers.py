"""The one adapter from diffusers' pipelines to `Generator`; families subclass it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.engine import (
    block_cache,
    denoising,
    lora,
    memory,
    pipelines,
    quantized_folders,
    step_levers,
    weights,
)
from vitascope.engine.failures import failures_explained
from vitascope.engine.folder_configs import unread
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.engine.preview import Previews
from vitascope.engine.single_file import load_denoiser
from vitascope.errors import InvalidMedia, UnknownName, UnsupportedTask
from vitascope.generators._batch import one_batch, with_place
from vitascope.generators._components import check_named, float32_vae
from vitascope.generators._cut_prompts import warn_of_cut_prompts
from vitascope.generators._given_media import content, fitted
from vitascope.generators._profile import Profile
from vitascope.generators.base import Generator, Part
from vitascope.recipe import Recipe
from vitascope.settings import Settings
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

TaskT = TypeVar("TaskT", bound=Task)
DECODING = {"vae_tiling", "vae_slicing", "vae_streaming"}


class DiffusersGenerator(Generator):
    """A family of models that diffusers runs.

    A family says, as class variables: `models` and a `Profile` for each of them, `pipelines` that it
    recognises, `pipeline_for` each kind of task; and overrides, where it differs: `profile_of` (defaults read
    from a model's own configuration), `arguments` (what its pipelines are called with).
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo,)
    profiles: ClassVar[Mapping[str, Profile]] = {}  # by the short name of a known model
    pipeline_for: ClassVar[Mapping[str, str]] = {}  # kind of task -> "module:Class"
    schedulers: ClassVar[Mapping[str, str]] = {}  # name -> "module:Class", besides the model's own
    denoiser: ClassVar[str] = "transformer"  # the component that LoRA changes and a single file holds
    denoiser_class: ClassVar[str] = ""  # "module:Class", for single files; empty = the family takes none
    takes_loras: ClassVar[bool] = True  # False where diffusers has no LoRA loading for the denoiser
    # "module:Class" of a VAE that must decode in float32; empty = it follows the placement's dtype
    vae_in_float32: ClassVar[str] = ""
    load_knobs: ClassVar[tuple[str, ...]] = ("model", "revision", "base")  # they decide what is loaded

    model: str = Field("", description="short name, hub id, local folder or single file")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    base: str | None = Field(None, description="for a single file: the model that lends all other parts")
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    guidance_scale: float | None = Field(None, ge=0, le=100)
    scheduler: str | None = None
    loras: tuple[str, ...] = Field((), description="LoRA files with weights: FILE or FILE:0.8")
    max_sequence_length: int | None = Field(
        None, ge=1, le=4096, description="tokens of the prompt that are read"
    )

    def source(self) -> weights.Source:
        """Where this record's weights come from. Raises: UnknownName, NotFound, DependencyMissing."""
        known = self.known_model(self.model)
        if known is not None:
            if known.repo is None:
                return weights.embedded(known.name)
            return weights.Source("hub", known.repo, self.revision or known.revision)
        source = weights.find_source(self.model, self.revision)
        if source is None:
            names = [name for known in self.models for name in (known.name, known.repo) if name]
            raise UnknownName(f"{self.name} model", self.model, names, param="model")
        return source

    def profile(self) -> Profile:
        """Defaults and limits of this record's model; of a local folder, read from its configuration files.

        Raises: as `source`, InvalidMedia for a folder of another family, NoNetwork for an unknown hub id.
        """
        known = self.known_model(self.model)
        if known is not None and known.name in self.profiles:
            return self.profiles[known.name]
        source = self.source()
        if source.kind == "file":
            return self.lender(Path(source.name)).profile()
        configs = weights.read_configs(source, offline=Settings.from_environment().offline)
        weights.check_family(configs, self.pipelines, self.model)
        return self.profile_of(configs).overridden(configs.vitascope, self.model)

    def parts(self) -> tuple[Part, ...]:
        """The repository of the model, or of the one that lends a single file its other parts."""
        source = self.source()
        if source.kind == "file":
            return self.lender(Path(source.name)).parts()
        return (Part(repo=source.name, revision=source.revision),) if source.kind == "hub" else ()

    def lender(self, file: Path) -> DiffusersGenerator:
        """For a single file: this record with the model that lends its other parts.

        Raises: InvalidMedia if the family takes no single files, or the lender cannot be told from the file.
        """
        lender = self.base or (self.lender_of(file) if self.denoiser_class else None)
        if lender is None or not self.denoiser_class:
            how = (
                "give base, the model that lends its other parts" if self.denoiser_class else "give a folder"
            )
            raise InvalidMedia(f"{self.name} cannot run the single file {str(file)!r}; {how}", param="model")
        return self.model_copy(update={"model": lender, "base": None})

    @classmethod
    def lender_of(cls, file: Path) -> str | None:  # noqa: ARG003
        """The known model whose other parts fit the denoiser in `file`; None if it cannot be told."""
        return None

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:  # noqa: ARG003
        """The profile of a model that is not known by name, from its own configuration files.

        A family's first profile unless it knows better.
        """
        return next(iter(cls.profiles.values()))

    def check_kind(self, task: Task) -> None:
        """Raises: UnsupportedTask for a kind of task that the family, or this model of it, does not make."""
        super().check_kind(task)
        self.profile().check_kind(task, self.model)

    def complete(self, task: TaskT) -> TaskT:
        """The task with this model's defaults filled in, checked against its limits.

        Raises: UnsupportedTask with the nearest valid value, also for LoRA files where the family takes none;
        UnknownName (scheduler), NotFound (LoRA).
        """
        self.check_kind(task)
        if self.loras and not self.takes_loras:
            raise UnsupportedTask(f"{self.model} takes no LoRA files: leave loras out", param="loras")
        if self.scheduler is not None and self.scheduler not in self.schedulers:
            raise UnknownName(f"scheduler of {self.name}", self.scheduler, self.schedulers, param="scheduler")
        self._lora_files()
        self.check_base_and_revision()
        profile = self.profile()
        filled = profile.complete(task, self.model)
        if self._num_steps(profile) < profile.min_inference_steps:
            raise UnsupportedTask(
                f"num_inference_steps={self.num_inference_steps}: {self.model} takes at least "
                f"{profile.min_inference_steps}",
                param="num_inference_steps",
            )
        if isinstance(task, VideoToVideo) and int(self._num_steps(profile) * task.strength) < 1:
            steps = self._num_steps(profile)
            raise UnsupportedTask(
                f"strength={task.strength} of {steps} steps leaves none; at least {1 / steps:.3g}",
                param="strength",
            )
        return task.model_copy(update=filled)

    def check_base_and_revision(self) -> None:
        """Raises: RequestError for a `base` or `revision` that nothing would be read from."""
        check_named(self.source, self.model, self.base, self.revision)

    def filled_in(self, profile: Profile) -> DiffusersGenerator:
        """This record with the model's own values where a knob is open: what a recipe must say."""
        update: dict[str, Any] = {
            "num_inference_steps": self._num_steps(profile),
            "guidance_scale": profile.guidance_scale if self.guidance_scale is None else self.guidance_scale,
            "scheduler": self.scheduler or profile.scheduler,
            "max_sequence_length": self.max_sequence_length or profile.max_sequence_length,
        }
        return self.model_copy(update=update)

    def batches_guidance(self) -> bool:
        """Whether there is guidance, and the pipeline runs both prompts in one batch."""
        return "guidance" in self.splits and (self.filled_in(self.profile()).guidance_scale or 0) > 1

    def _num_steps(self, profile: Profile) -> int:
        return self.num_inference_steps or profile.num_inference_steps

    def _lora_files(self) -> list[lora.LoraFile]:
        return [lora.LoraFile.parse(text) for text in self.loras]

    def contents(self) -> list[str]:
        """As for every generator, and of LoRA files. Raises: NotFound for one that is not there."""
        return [*super().contents(), *(file.sha256 for file in self._lora_files())]

    def modules_key(self) -> Hashable:
        """The knobs that decide which modules are loaded."""
        return tuple(getattr(self, knob) for knob in self.load_knobs)

    def load(self, placement: Placement) -> LoadedPipeline:
        """The pipeline, on its device.

        Raises: WeightsMissing, InvalidMedia, OutOfMemory, NoNetwork, DiskFull.
        """
        from vitascope.engine.text_encoders import lazily

        source, offline = self.source(), Settings.from_environment().offline
        where = self.pipeline_of(self.profile().kinds[0])
        block_cache.check_calibrated(placement, self.profile().cache, self.model)
        if (known := self.known_model(self.model)) is not None:
            pipelines.check_switches(known.name, placement)
        file = Path(source.name) if source.kind == "file" else None
        lent = (self.denoiser,) if file else ()
        lender = self.lender(file).source() if file else source
        folder = weights.local_path(lender, offline=offline, without=lent)
        weights.check_folder(folder, self.pipelines, without=lent)
        quantized_folders.check_readable(folder, placement.device, without=lent)
        sizes = memory.component_gib(folder, placement.dtype)
        if file:
            sizes[self.denoiser] = memory.file_gib(file, placement.dtype)
        memory.check_room(memory.on_main_device(sizes, placement), placement)
        with memory.exhaustion_explained(placement, f"loading {self.model}"):
            parts = self.components(folder, placement)
            parts |= lazily(folder, placement, parts.__contains__)
            if file:
                cls = pipelines.import_class(self.denoiser_class)
                parts[self.denoiser] = load_denoiser(cls, file, folder / self.denoiser, placement.dtype)
            pipeline = pipelines.read(where, folder, placement, **parts)
            warnings = unread(pipeline, folder)
            pipeline, levers = pipelines.accelerated(pipeline, placement)
        marks = [weights.fingerprint(path) for path in (file, folder) if path]
        return LoadedPipeline(pipeline, placement, "+".join(marks), levers, warnings)

    def pipeline_of(self, kind: str) -> str:
        """The class "module:Class" that makes this kind of task with this record's model."""
        return self.pipeline_for[kind]

    def decode_preview(self, pipeline: Any, latents: Any) -> Pixels | None:  # noqa: ARG002
        """A few frames out of latents of one clip, cheaply; None where a family cannot. Shape: (T, H, W, 3)."""
        return None

    def components(self, folder: Path, placement: Placement) -> dict[str, Any]:
        """Components that are loaded here, not by the pipeline: a VAE that needs float32."""
        return float32_vae(self.vae_in_float32, folder, placement) if self.vae_in_float32 else {}

    def generate(self, tasks: Sequence[Task], modules: LoadedPipeline, context: Context) -> list[Clip]:
        """One clip for each completed task; all of one kind, size and length.

        Raises: UnsupportedTask for tasks that are no batch, OutOfMemory, JobCancelled, RunError.
        """
        import torch

        from vitascope.engine import streaming_vae
        from vitascope.engine.prompt_cache import remembered

        first = one_batch(tasks)
        knobs = self.filled_in(self.profile())
        placement = modules.placement
        pipeline = modules.as_class(self.pipeline_of(first.kind))
        pipeline.scheduler = self.new_scheduler(modules, knobs.scheduler)
        generators = [torch.Generator("cpu").manual_seed(task.seed) for task in tasks]
        files = self._lora_files()
        if files:
            modules.levers.check_adapters()
        for warning in (*modules.warnings, *memory.unenforced(placement)):
            context.warn(warning)
        num_steps = knobs.num_inference_steps or 1
        step_levers.check(modules.levers, placement.skip_interval, num_steps, knobs.guidance_scale)
        for fallback in modules.levers.fallbacks:
            context.warn(f"speed={placement.speed!r}: {fallback}; that part runs exact")
        identity = self._identity(knobs, tasks, modules, files)
        with ExitStack() as stack:
            stack.enter_context(failures_explained(self.name))
            stack.enter_context(memory.exhaustion_explained(placement, f"running {self.model}"))
            report = stack.enter_context(lora.applied(pipeline, self.denoiser, files, context))
            previews = Previews.where(placement, partial(self.decode_preview, pipeline), context)
            run = stack.enter_context(denoising.watched(pipeline, context, identity, generators, previews))
            calibration = self.profile().cache
            stack.enter_context(step_levers.pulled(modules.levers, pipeline, self.denoiser, run, calibration))
            stack.enter_context(torch.inference_mode())
            stack.enter_context(remembered(pipeline, placement))
            arguments = knobs.arguments(tasks, pipeline, context)
            # One generator for one clip: FreeNoise takes no list.
            drawn = generators if len(generators) > 1 else generators[0]
            if modules.levers.vae == "stream":
                frames: Any = stack.enter_context(streaming_vae.arriving(pipeline.vae))
                pipeline(**{**arguments, "output_type": "pt"}, generator=drawn)
                assert first.num_frames, "complete() fills this in"
                for arrived in frames:
                    arrived.keep_last(first.num_frames)
            else:
                frames = self.frames_of(pipeline(**arguments, generator=drawn))
        context.progress("decode", 1, 1)
        notes = self._notes(modules, pipeline, run)
        if report:
            notes["loras"] = report
        return [
            self._clip(task, pixels, knobs, modules, with_place(notes, index, len(tasks)))
            for index, (task, pixels) in enumerate(zip(tasks, frames, strict=True))
        ]

    def _notes(self, modules: LoadedPipeline, pipeline: Any, run: denoising.Denoising) -> dict[str, Any]:
        """What the recipe says of the run besides the knobs."""
        notes: dict[str, Any] = {
            "weights": modules.fingerprint,
            "scheduler": type(pipeline.scheduler).__name__,
            "num_denoiser_calls": run.num_denoiser_calls,
        }
        notes |= step_levers.noted(modules.levers, run, self.profile().cache)
        if run.resumed_from:
            notes["resumed_from_step"] = run.resumed_from
        return notes

    def new_scheduler(self, modules: LoadedPipeline, name: str | None) -> Any:
        """A fresh scheduler for one request: the one called `name`, or the model's own."""
        return modules.new_scheduler(self.schedulers[name] if name else None)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """What the pipeline is called with; all knobs are filled in. A family adds its own, or leaves out.

        As diffusers' pipelines want it, `video` is a list of frames for one task, a list of such for several.
        """
        first = tasks[0]
        tokenizer = getattr(pipeline, "tokenizer", None)
        if self.max_sequence_length is not None and tokenizer is not None:
            warn_of_cut_prompts(tasks, tokenizer, self.max_sequence_length, self.model, context)
        if (self.guidance_scale or 0) <= 1 and any(task.negative_prompt for task in tasks):
            context.warn(f"at guidance_scale={self.guidance_scale} the negative prompt is not read")
        arguments: dict[str, Any] = {
            "prompt": [task.prompt for task in tasks],
            "negative_prompt": [task.negative_prompt for task in tasks],
            "width": first.width,
            "height": first.height,
            "num_frames": first.num_frames,
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "output_type": "np",
        }
        if self.max_sequence_length is not None:
            arguments["max_sequence_length"] = self.max_sequence_length
        if isinstance(first, ImageToVideo):
            arguments["image"] = [
                fitted(task.image.pixels, task, context) for task in tasks if isinstance(task, ImageToVideo)
            ]
        if isinstance(first, VideoToVideo):
            clips = [
                [fitted(frame, task, context) for frame in task.video.frames[0 : task.num_frames or 0]]
                for task in tasks
                if isinstance(task, VideoToVideo)
            ]
            arguments["video"] = clips if len(clips) > 1 else clips[0]
            arguments["strength"] = first.strength
            del arguments["num_frames"]
        return arguments

    def frames_of(self, output: Any) -> Pixels:
        """The pipeline's output as pixels. Shape: (B, T, H, W, 3) uint8."""
        frames = output.frames if hasattr(output, "frames") else output[0]
        return (np.asarray(frames) * 255).round().clip(0, 255).astype(np.uint8)

    def _identity(
        self,
        knobs: DiffusersGenerator,
        tasks: Sequence[Task],
        modules: LoadedPipeline,
        files: list[lora.LoraFile],
    ) -> str:
        """A hash of everything that decides the clips, for the saved denoising state."""
        said = {
            "generator": self.name,
            "knobs": knobs.model_dump(mode="json", exclude={"loras"}),
            "loras": [(file.sha256, file.weight) for file in files],
            "tasks": [content(task) for task in tasks],
            "weights": modules.fingerprint,
            # how it is decoded may change, after memory ran out, for latents that were kept
            "placement": modules.placement.model_dump(mode="json", exclude=DECODING),
            "environment": pipelines.environment(modules.placement),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _clip(
        self,
        task: Task,
        pixels: Pixels,
        knobs: DiffusersGenerator,
        modules: LoadedPipeline,
        notes: dict[str, Any],
    ) -> Clip:
        assert task.fps is not None, "complete() fills this in"
        recipe = Recipe(
            placement=modules.placement.model_dump(mode="json"),
            environment=pipelines.environment(modules.placement),
        )
        return Clip(pixels, task.fps, recipe=recipe.then(knobs.stage(task, **notes)))
