"""Wan 2.1 and 2.2: text, picture or clip to video, from 1.3 to 14 billion parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.block_cache import CacheCalibration
from vitascope.engine.weights import Configs
from vitascope.errors import InvalidMedia
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators._shifted import Shifted
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

FOLDER = "diffusers.pipelines.wan"
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，"
    "残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)
FROM_TEXT, FROM_IMAGE = (TextToVideo.kind, VideoToVideo.kind), (ImageToVideo.kind,)

_SMALL = Profile(
    width=832,
    height=480,
    num_frames=81,
    fps=Fraction(16),
    num_inference_steps=50,
    guidance_scale=5.0,
    frame_step=4,
    frame_offset=1,
    max_frames=81,
    max_sequence_length=512,
    kinds=FROM_TEXT,
)
_LARGE = _SMALL.model_copy(update={"width": 1280, "height": 720})
_IMAGE = _SMALL.model_copy(update={"num_inference_steps": 40, "kinds": FROM_IMAGE})
_LARGE_IMAGE = _IMAGE.model_copy(update={"width": 1280, "height": 720})
_EXPERTS = _LARGE.model_copy(
    update={"num_inference_steps": 40, "guidance_scale": 4.0, "kinds": (TextToVideo.kind,)}
)
_IMAGE_EXPERTS = _EXPERTS.model_copy(update={"guidance_scale": 3.5, "kinds": FROM_IMAGE})
_BOTH = _LARGE.model_copy(
    update={
        "height": 704,
        "size_multiple": 32,
        "num_frames": 121,
        "max_frames": 121,
        "fps": Fraction(24),
        "kinds": (TextToVideo.kind, ImageToVideo.kind),
    }
)
CARDS = {
    "wan2.1-t2v-1.3b": "wan2.1-t2v-1.3b",
    "wan2.1-t2v-14b": "wan2.1-t2v-14b",
    "wan2.1-i2v-14b-480p": "wan2.1-i2v-14b",
    "wan2.1-i2v-14b-720p": "wan2.1-i2v-14b",
    "wan2.2-t2v-14b": "wan2.2-t2v-a14b",
    "wan2.2-i2v-14b": "wan2.2-i2v-a14b",
    "wan2.2-ti2v-5b": "wan2.2-ti2v-5b",
}
_LOW_NOISE_GUIDANCE = {"wan2.2-t2v-14b": 3.0, "wan2.2-i2v-14b": 3.5}

# Mag: the authors' measurements, mean of both prompts (https://github.com/Zehong-Ma/MagCache at 1a66b6d,
# MagCache4Wan2.1, Apache-2.0) with their threshold; first block: https://github.com/testdummyvt/diffsynth-wan-cache, by
# eye. None of it was run on real weights here.
# fmt: off
_CACHES = {
    "wan2.1-t2v-1.3b": CacheCalibration(first_block=0.035, mag=0.12, mag_ratios=(
        1.0, 1.0173, 1.0029, 0.9993, 0.9972, 0.9966, 0.9958, 0.9942, 0.9958, 0.9957, 0.9951, 0.9953, 0.9955, 0.9954,
        0.9954, 0.9949, 0.9952, 0.9948, 0.9948, 0.9941, 0.9942, 0.9939, 0.9939, 0.9935, 0.9931, 0.9927, 0.9923, 0.9917,
        0.9914, 0.9907, 0.99, 0.9894, 0.9885, 0.9876, 0.9864, 0.985, 0.9836, 0.982, 0.9798, 0.9772, 0.9741, 0.97,
        0.9654, 0.9593, 0.9509, 0.9402, 0.9241, 0.9025, 0.8684, 0.8189,
    )),
    "wan2.1-t2v-14b": CacheCalibration(first_block=0.06, mag=0.12, mag_ratios=(
        1.0, 1.0276, 1.0014, 0.9991, 0.9977, 0.9966, 0.9948, 0.9946, 0.9966, 0.9943, 0.9954, 0.9947, 0.9944, 0.9952,
        0.9938, 0.994, 0.9952, 0.9941, 0.9943, 0.9934, 0.9942, 0.9927, 0.9931, 0.9921, 0.9922, 0.9922, 0.9916, 0.9914,
        0.9898, 0.99, 0.9887, 0.9877, 0.9877, 0.9857, 0.985, 0.9838, 0.9818, 0.9804, 0.9768, 0.9754, 0.9718, 0.9671,
        0.9635, 0.9563, 0.9493, 0.9396, 0.9251, 0.9069, 0.8795, 0.8615,
    )),
}
# fmt: on


def _published(name: str, repo: str, profile: Profile) -> KnownModel:
    return KnownModel(
        name=name,
        repo=f"Wan-AI/{repo}-Diffusers",
        card=CARDS[name],
        tasks=profile.kinds,
        note=f"{profile.width}x{profile.height}, {profile.num_frames} frames",
        source=f"https://github.com/Wan-Video/{repo.partition('-')[0]}",
    )


_KNOWN = {
    "wan2.1-t2v-1.3b": ("Wan2.1-T2V-1.3B", _SMALL),
    "wan2.1-t2v-14b": ("Wan2.1-T2V-14B", _LARGE),
    "wan2.1-i2v-14b-480p": ("Wan2.1-I2V-14B-480P", _IMAGE),
    "wan2.1-i2v-14b-720p": ("Wan2.1-I2V-14B-720P", _LARGE_IMAGE),
    "wan2.2-t2v-14b": ("Wan2.2-T2V-A14B", _EXPERTS),
    "wan2.2-i2v-14b": ("Wan2.2-I2V-A14B", _IMAGE_EXPERTS),
    "wan2.2-ti2v-5b": ("Wan2.2-TI2V-5B", _BOTH),
}


class Wan(OneAtATime, NegativePromptByDefault, Shifted):
    """Wan 2.1 and 2.2: text, picture or clip to video, 832x480 or 1280x720, 81 frames at 16 a second.

    The 14B models of 2.2 are two experts: `guidance_scale` guides the one for high noise,
    `low_noise_guidance_scale` the other. `flow_shift` is the model's own (3 to 12) unless set.

    Source: Wan team, arXiv 2503.20314; https://github.com/Wan-Video/Wan2.1 at 9737cba (generate.py) and
    https://github.com/Wan-Video/Wan2.2 at 42bf4cf (wan/configs): defaults and negative prompts, Apache-2.0; run
    by diffusers' Wan pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo, VideoToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = tuple(
        _published(name, repo, profile) for name, (repo, profile) in _KNOWN.items()
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        name: profile.model_copy(update={"cache": _CACHES.get(name, profile.cache)})
        for name, (_, profile) in _KNOWN.items()
    }
    splits: ClassVar[tuple[str, ...]] = ("tokens",)  # it asks for the two prompts one after the other
    pipelines: ClassVar[tuple[str, ...]] = (
        "WanPipeline",
        "WanImageToVideoPipeline",
        "WanVideoToVideoPipeline",
    )
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_wan:WanPipeline",
        ImageToVideo.kind: f"{FOLDER}.pipeline_wan_i2v:WanImageToVideoPipeline",
        VideoToVideo.kind: f"{FOLDER}.pipeline_wan_video2video:WanVideoToVideoPipeline",
    }
    vae_in_float32: ClassVar[str] = "diffusers.models.autoencoders.autoencoder_kl_wan:AutoencoderKLWan"
    denoiser_class: ClassVar[str] = "diffusers.models.transformers.transformer_wan:WanTransformer3DModel"

    model: str = "wan2.1-t2v-1.3b"
    negative_prompt: str = NEGATIVE_PROMPT
    low_noise_guidance_scale: float | None = Field(None, ge=0, le=100, description="Wan 2.2 14B alone")

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile by the folder's pipeline, its number of experts and its VAE."""
        from_image = configs.pipeline == "WanImageToVideoPipeline"
        if configs.index.get("expand_timesteps"):
            return _BOTH
        if configs.index.get("boundary_ratio") is not None:
            return _IMAGE_EXPERTS if from_image else _EXPERTS
        return _IMAGE if from_image else _SMALL

    def lender(self, file: Path) -> DiffusersGenerator:
        """As for every family. Raises: InvalidMedia, also for a lender with two experts, of which a file holds one."""
        lender = super().lender(file)
        if lender.profile() in (_EXPERTS, _IMAGE_EXPERTS):
            raise InvalidMedia(
                f"{str(file)!r} holds one denoiser and {lender.model!r} has two; give a folder with both",
                param="base",
            )
        return lender

    def default_negative_prompt(self, task: Task) -> str:
        """The authors' own; for Wan 2.1 from a picture they put "camera shake" before it."""
        shakes = isinstance(task, ImageToVideo) and self.model.startswith("wan2.1")
        return (
            f"镜头晃动，{self.negative_prompt}" if shakes and self.negative_prompt else self.negative_prompt
        )

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, with the second expert's guidance."""
        arguments = super().arguments(tasks, pipeline, context)
        if "image" in arguments:
            (arguments["image"],) = arguments["image"]
        if pipeline.config.get("boundary_ratio") is not None:
            known = self.known_model(self.model)
            own = _LOW_NOISE_GUIDANCE.get(known.name if known else "", self.guidance_scale)
            arguments["guidance_scale_2"] = (
                own if self.low_noise_guidance_scale is None else self.low_noise_guidance_scale
            )
        return arguments
