"""Stable Video Diffusion: a picture becomes a clip; with ExVideo's extension a long one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine import weights
from vitascope.engine.placement import Placement
from vitascope.errors import UnsupportedTask
from vitascope.generators._given_media import fitted
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.settings import Settings
from vitascope.task import ImageToVideo, Task

TaskT = TypeVar("TaskT", bound=Task)

HUB = "stabilityai/stable-video-diffusion-img2vid"
EXVIDEO = "ECNU-CILab/ExVideo-SVD-128f-v1"
AUTHORS = (
    "https://github.com/Stability-AI/generative-models/blob/main/scripts/sampling/simple_video_sample.py"
)
KINDS = (ImageToVideo.kind,)

_SVD = Profile(
    width=1024,
    height=576,
    num_frames=14,
    fps=Fraction(7),
    num_inference_steps=25,
    guidance_scale=2.5,
    negative_prompt=False,
    size_multiple=64,
    min_frames=2,
    kinds=KINDS,
)
_SVD_XT = _SVD.model_copy(update={"num_frames": 25, "num_inference_steps": 30, "guidance_scale": 3.0})
_EXVIDEO = _SVD.model_copy(
    update={
        "width": 512,
        "height": 512,
        "num_frames": 128,
        "max_frames": 128,
        "fps": Fraction(30),
        "num_inference_steps": 50,
        "guidance_scale": 2.0,
    }
)
_FIRST_FRAME_GUIDANCE = {"svd": 1.0, "svd-xt": 1.5, "svd-xt-1.1": 1.5, "exvideo": 2.0}


def _published(name: str, repo: str, note: str, source: str = AUTHORS, card: str = "svd-xt") -> KnownModel:
    return KnownModel(name=name, repo=repo, card=card, tasks=KINDS, note=note, source=source)


class StableVideoDiffusion(OneAtATime):
    """Stable Video Diffusion, SVD-XT and ExVideo: a picture becomes a clip of 14, 25 or up to 128 frames.

    It reads no prompt. `motion_bucket_id` says how much moves, `noise_aug_strength` how freely the picture is
    followed; guidance rises from `min_guidance_scale` at the first frame to `guidance_scale` at the last.
    `extension` lays an ExVideo file over the model; `contrast` evens the frames' brightness before decoding,
    as ExVideo does. Clips are made one at a time: the VAE mixes neighbouring frames, and diffusers decodes a
    batch as if it were one clip.

    Source: Blattmann et al., arXiv 2311.15127; defaults of the authors' sampling script and configurations,
    https://github.com/Stability-AI/generative-models. ExVideo: arXiv 2406.14130; defaults of
    modelscope/DiffSynth-Studio at afd101f, examples/ExVideo.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (ImageToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        _published("svd", HUB, "1024x576, 14 frames"),
        _published("svd-xt", f"{HUB}-xt", "1024x576, 25 frames"),
        _published("svd-xt-1.1", f"{HUB}-xt-1-1", "1024x576, 25 frames"),
        _published(
            "exvideo",
            f"{HUB}-xt",
            f"SVD-XT with the extension {EXVIDEO}: 512x512, 128 frames",
            "https://arxiv.org/abs/2406.14130",
            "exvideo-svd",
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "svd": _SVD,
        "svd-xt": _SVD_XT,
        "svd-xt-1.1": _SVD_XT,
        "exvideo": _EXVIDEO,
    }
    pipelines: ClassVar[tuple[str, ...]] = ("StableVideoDiffusionPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        ImageToVideo.kind: "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion"
        ":StableVideoDiffusionPipeline"
    }
    denoiser: ClassVar[str] = "unet"
    takes_loras: ClassVar[bool] = False
    load_knobs: ClassVar[tuple[str, ...]] = ("model", "revision", "extension")

    model: str = "svd-xt"
    extension: str | None = Field(None, description="ExVideo: hub id, folder or file")
    min_guidance_scale: float | None = Field(None, ge=0, le=100)
    motion_bucket_id: int = Field(127, ge=0, le=255)
    noise_aug_strength: float = Field(0.02, ge=0, le=1)
    decode_chunk_size: int = Field(14, ge=1, description="frames decoded at a time; fewer take less memory")
    contrast: float | None = Field(None, gt=0, le=4, description="even the frames, then raise the contrast")

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:
        """SVD's defaults at the length that the model was made for; ExVideo's where it is one already."""
        unet = configs.component("unet")
        num_frames = unet.get("num_frames", _SVD_XT.num_frames)
        longest = num_frames if unet.get("_class_name") == "ExVideoUNet" else None
        halvings = (part.get("block_out_channels", (0,) * 4) for part in (unet, configs.component("vae")))
        multiple = 2 ** sum(len(widths) - 1 for widths in halvings)
        return _SVD_XT.model_copy(
            update={"num_frames": num_frames, "max_frames": longest, "size_multiple": multiple}
        )

    def profile(self) -> Profile:
        """The model's profile; with an `extension`, as long as that reaches."""
        profile = super().profile()
        if self.extension is None:
            return profile
        longest = self._num_positions(Path(self.extension)) or _EXVIDEO.num_frames
        return profile.model_copy(update={"num_frames": longest, "max_frames": longest})

    @staticmethod
    def _num_positions(extension: Path) -> int | None:
        if not extension.exists():
            return None
        from vitascope.models.exvideo import extension_length

        return extension_length(extension)

    def complete(self, task: TaskT) -> TaskT:
        """As for every family; with an ExVideo extension, sides must also be large enough for it."""
        completed = super().complete(task)
        profile = self.profile()
        if profile.max_frames is not None:
            self._check_sides(completed, 2 * profile.size_multiple)
        return completed

    def _check_sides(self, task: Task, smallest: int) -> None:
        """ExVideo's convolutions mirror the borders of a latent grid that must have two cells at its coarsest."""
        for side in ("width", "height"):
            if getattr(task, side) < smallest:
                raise UnsupportedTask(
                    f"{side}={getattr(task, side)}: ExVideo makes no side below {smallest}; "
                    f"nearest: {smallest}",
                    param=side,
                )

    def filled_in(self, profile: Profile) -> StableVideoDiffusion:
        """As for every family, with the first frame's guidance and ExVideo's own settings."""
        known = self.known_model(self.model)
        first = _FIRST_FRAME_GUIDANCE.get(known.name if known else "", 1.0)
        update: dict[str, Any] = {}
        if self.min_guidance_scale is None:
            update["min_guidance_scale"] = min(first, self.guidance_scale or profile.guidance_scale)
        if self.contrast is None and self._extension() is not None:
            update["contrast"] = 1.2
        filled = super().filled_in(profile)
        assert isinstance(filled, StableVideoDiffusion), "filled_in keeps the class"
        return filled.model_copy(update=update)

    def _extension(self) -> str | None:
        return self.extension or (EXVIDEO if self.model == "exvideo" else None)

    def parts(self) -> tuple[Part, ...]:
        """The model and, with one from the hub, its extension."""
        extension = self._extension()
        if extension is None or Path(extension).exists():
            return super().parts()
        from vitascope.models.exvideo import EXTENSION_FILE

        return (*super().parts(), Part(repo=extension, patterns=(EXTENSION_FILE,)))

    def components(self, folder: Path, placement: Placement) -> dict[str, Any]:
        """ExVideo's UNet in the place of SVD's, if there is an extension."""
        extension = self._extension()
        if extension is None:
            return {}
        import torch

        from vitascope.models.exvideo import EXTENSION_FILE, load_exvideo

        offline = Settings.from_environment().offline
        path = weights.local_files(extension, (EXTENSION_FILE,), offline=offline)
        dtype = getattr(torch, placement.dtype)
        return {"unet": load_exvideo(str(folder), str(path), dtype=dtype, variant=None)}

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """What SVD's pipeline is called with."""
        (first,) = tasks
        assert isinstance(first, ImageToVideo), "accepts says so"
        assert first.num_frames and first.fps, "complete() fills these in"
        trained = pipeline.unet.config["num_frames"]
        if first.num_frames > trained:
            context.warn(f"{self.model} was made for {trained} frames; {first.num_frames} may jitter")
        if first.prompt:
            context.warn(f"{self.model} reads no prompt: it follows the picture alone")
        arguments: dict[str, Any] = {
            "image": [fitted(first.image.pixels, first, context)],
            "width": first.width,
            "height": first.height,
            "num_frames": first.num_frames,
            "fps": round(first.fps),
            "num_inference_steps": self.num_inference_steps,
            "min_guidance_scale": self.min_guidance_scale,
            "max_guidance_scale": self.guidance_scale,
            "motion_bucket_id": self.motion_bucket_id,
            "noise_aug_strength": self.noise_aug_strength,
            "decode_chunk_size": self.decode_chunk_size,
            "output_type": "np",
        }
        if self.contrast is not None:
            arguments["callback_on_step_end"] = _steadied_at_the_end(self.contrast)
        return arguments


def _steadied_at_the_end(contrast: float) -> Callable[..., dict[str, Any]]:
    from vitascope.models.exvideo import steady_frames

    def callback(pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step < pipeline.num_timesteps - 1:
            return {}
        return {"latents": steady_frames(tensors["latents"], contrast)}

    return callback
