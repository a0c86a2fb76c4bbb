"""AnimateDiff: an image model of the Stable Diffusion 1.5 kind, set in motion by an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine import weights
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.generators._components import component, parts_of
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.task import Task, TextToVideo, VideoToVideo

FOLDER = "diffusers.pipelines.animatediff"
MOTION_ADAPTER = "guoyww/animatediff-motion-adapter-v1-5-3"
ADAPTER_CLASS = "diffusers.models.unets.unet_motion_model:MotionAdapter"
SOURCE = "https://github.com/guoyww/AnimateDiff"
# How the motion modules were trained, whatever the image model's own schedule: inference-v3.yaml.
NOISE_SCHEDULE = {
    "beta_schedule": "linear",
    "clip_sample": False,
    "steps_offset": 1,
    "timestep_spacing": "linspace",
}

_V3 = Profile(
    width=512,
    height=512,
    num_frames=16,
    fps=Fraction(8),
    num_inference_steps=25,
    guidance_scale=8.0,
    scheduler="ddim",
    size_multiple=8,
    min_frames=2,
    max_frames=32,
    max_sequence_length=77,
    kinds=(TextToVideo.kind, VideoToVideo.kind),
)


class AnimateDiff(DiffusersGenerator):
    """AnimateDiff: text or clip to video by a Stable Diffusion 1.5 model and a motion adapter, 16 frames.

    `model` is an AnimateDiff folder or any Stable Diffusion 1.5 model, `motion_adapter` what moves it (the
    folder's own, else v3). A clip is at most as long as the adapter's position table (32 frames); with
    `free_noise` it may be longer, made in windows of `context_length` frames.

    Source: Guo et al., arXiv 2307.04725; https://github.com/guoyww/AnimateDiff at e92bd56, configs/ (defaults,
    noise schedule), Apache-2.0; FreeNoise: Qiu et al., arXiv 2310.15169; run by diffusers' AnimateDiff pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, VideoToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="animatediff",
            repo="SG161222/Realistic_Vision_V5.1_noVAE",
            card="animatediff",
            licence="CreativeML OpenRAIL-M (image model), Apache-2.0 (adapter)",
            tasks=_V3.kinds,
            note=f"Realistic Vision 5.1 with {MOTION_ADAPTER}: 512x512, 16 frames",
            source=SOURCE,
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"animatediff": _V3}
    pipelines: ClassVar[tuple[str, ...]] = ("AnimateDiffPipeline", "StableDiffusionPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_animatediff:AnimateDiffPipeline",
        VideoToVideo.kind: f"{FOLDER}.pipeline_animatediff_video2video:AnimateDiffVideoToVideoPipeline",
    }
    schedulers: ClassVar[Mapping[str, str]] = {
        "ddim": "diffusers.schedulers.scheduling_ddim:DDIMScheduler",
        "euler": "diffusers.schedulers.scheduling_euler_discrete:EulerDiscreteScheduler",
        "dpm++": "diffusers.schedulers.scheduling_dpmsolver_multistep:DPMSolverMultistepScheduler",
        "lcm": "diffusers.schedulers.scheduling_lcm:LCMScheduler",
    }
    denoiser: ClassVar[str] = "unet"
    # FreeNoise swaps the temporal layers, and diffusers cannot always swap them back: such a model is kept apart.
    load_knobs: ClassVar[tuple[str, ...]] = (
        "model",
        "revision",
        "motion_adapter",
        "free_noise",
        "context_length",
        "context_stride",
    )

    model: str = "animatediff"
    motion_adapter: str | None = Field(None, description="hub id or folder; None: the model's own, else v3")
    free_noise: bool = False
    context_length: int = Field(16, ge=2, le=32)
    context_stride: int = Field(4, ge=1, le=32)

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:
        """At the image model's native size; a folder with an adapter keeps its own scheduler and length."""
        vae = configs.component("vae")
        pixels = 2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1)
        side = pixels * configs.component("unet").get("sample_size", 64)
        adapter = configs.component("motion_adapter")
        own = {"max_frames": adapter["motion_max_seq_length"], "scheduler": None} if adapter else {}
        published = next(iter(cls.profiles.values()))
        return published.model_copy(update={"width": side, "height": side, **own})

    def profile(self) -> Profile:
        """The model's profile; as long as the chosen adapter reaches, or of any length with `free_noise`."""
        profile = super().profile()
        if self.free_noise:
            return profile.model_copy(update={"max_frames": None})
        if self.motion_adapter is not None and Path(self.motion_adapter).is_dir():
            config = weights.read_json(Path(self.motion_adapter) / "config.json")
            return profile.model_copy(update={"max_frames": config.get("motion_max_seq_length")})
        return profile

    def parts(self) -> tuple[Part, ...]:
        """The image model and its motion adapter, unless that is the folder's own."""
        source = self.source()
        own = source.kind != "hub" and weights.pipeline_of(Path(source.name)) == "AnimateDiffPipeline"
        adapter = self.motion_adapter or (None if own else MOTION_ADAPTER)
        return super().parts() + (parts_of(adapter) if adapter else ())

    def components(self, folder: Path, placement: Placement) -> dict[str, Any]:
        """The motion adapter, where it is not the folder's own."""
        own = weights.pipeline_of(folder) == "AnimateDiffPipeline"
        if own and self.motion_adapter is None:
            return {}
        adapter = component(ADAPTER_CLASS, self.motion_adapter or MOTION_ADAPTER, placement)
        return {"motion_adapter": adapter}

    def new_scheduler(self, modules: LoadedPipeline, name: str | None) -> Any:
        """A fresh scheduler with the noise schedule of the motion modules; the folder's own if unnamed."""
        if name is None:
            return super().new_scheduler(modules, name)
        return modules.new_scheduler(self.schedulers[name], NOISE_SCHEDULE)

    def load(self, placement: Placement) -> LoadedPipeline:
        """As for every family; an adapter given by name also takes the place of one that the UNet has inside."""
        modules = super().load(placement)
        modules.pipeline.unet.load_motion_modules(modules.pipeline.motion_adapter)
        return modules

    def generate(self, tasks: Sequence[Task], modules: LoadedPipeline, context: Context) -> list[Clip]:
        """As for every family; with `free_noise` the temporal layers work in windows, and clips come singly."""
        if not self.free_noise:
            return super().generate(tasks, modules, context)
        pipeline = modules.as_class(self.pipeline_for[tasks[0].kind])
        pipeline.enable_free_noise(self.context_length, self.context_stride)
        clips = []
        for task in tasks:
            clips += super().generate([task], modules, context)
        return clips

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; CLIP always reads 77 tokens."""
        arguments = super().arguments(tasks, pipeline, context)
        del arguments["max_sequence_length"]
        if self.free_noise:
            (arguments["prompt"],), (arguments["negative_prompt"],) = (
                arguments["prompt"],
                arguments["negative_prompt"],
            )
        return arguments
