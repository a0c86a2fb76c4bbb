"""HunyuanVideo: text or picture to video by a 13-billion-parameter transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.weights import Configs
from vitascope.errors import UnsupportedTask
from vitascope.generators._profile import Profile
from vitascope.generators._shifted import Shifted
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo

TaskT = TypeVar("TaskT", bound=Task)

FOLDER = "diffusers.pipelines.hunyuan_video"

_TEXT = Profile(
    width=1280,
    height=720,
    num_frames=129,
    fps=Fraction(24),
    num_inference_steps=50,
    guidance_scale=6.0,
    frame_step=4,
    frame_offset=1,
    max_frames=129,
    max_sequence_length=256,
)
_IMAGE = _TEXT.model_copy(update={"kinds": (ImageToVideo.kind,)})


def _published(name: str, repo: str, kind: str, card: str) -> KnownModel:
    return KnownModel(
        name=name,
        repo=f"hunyuanvideo-community/{repo}",
        card=card,
        tasks=(kind,),
        note="1280x720, 129 frames",
        source=f"https://github.com/Tencent/{repo}",
    )


class HunyuanVideo(Shifted):
    """HunyuanVideo 1.0: text or picture to video, 1280x720, 129 frames at 24 a second.

    The model is distilled: `guidance_scale` is told to it and costs nothing. A negative prompt is read only with
    `true_cfg_scale` above 1, which runs the transformer twice a step. `flow_shift` is 7 for calm clips; for
    picture to video the authors advise 17 for lively ones.

    Source: Tencent, arXiv 2412.03603; https://github.com/Tencent/HunyuanVideo at fa14b00 and
    https://github.com/Tencent-Hunyuan/HunyuanVideo-I2V at 1481c1d, README.md (defaults); run by diffusers'
    HunyuanVideo pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        _published("hunyuan-video", "HunyuanVideo", TextToVideo.kind, "hunyuanvideo"),
        _published("hunyuan-video-i2v", "HunyuanVideo-I2V", ImageToVideo.kind, "hunyuanvideo-i2v"),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"hunyuan-video": _TEXT, "hunyuan-video-i2v": _IMAGE}
    splits: ClassVar[tuple[str, ...]] = ("tokens",)  # guidance is told to it, not run
    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanVideoPipeline", "HunyuanVideoImageToVideoPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_hunyuan_video:HunyuanVideoPipeline",
        ImageToVideo.kind: f"{FOLDER}.pipeline_hunyuan_video_image2video:HunyuanVideoImageToVideoPipeline",
    }
    denoiser_class: ClassVar[str] = (
        "diffusers.models.transformers.transformer_hunyuan_video:HunyuanVideoTransformer3DModel"
    )

    model: str = "hunyuan-video"
    true_cfg_scale: float = Field(1.0, ge=1, le=100)
    flow_shift: float | None = Field(None, gt=0, le=100, description="None: the model's own, 7")

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile for text or for a picture, by the folder's pipeline."""
        return _IMAGE if configs.pipeline == "HunyuanVideoImageToVideoPipeline" else _TEXT

    def complete(self, task: TaskT) -> TaskT:
        """As for every family. Raises: UnsupportedTask, also for a negative prompt that nothing would read."""
        if task.negative_prompt and self.true_cfg_scale <= 1:
            raise UnsupportedTask(
                f"{self.model} reads a negative prompt only with true_cfg_scale above 1 (6.0 say); set it, or leave "
                "the negative prompt out",
                param="negative_prompt",
            )
        return super().complete(task)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; asks for the latent frame more that one kind of checkpoint throws away.

        The I2V checkpoint with 33 channels (`latent_concat`) repeats the picture as a first latent frame, and
        diffusers cuts its four frames off the clip.
        """
        arguments = super().arguments(tasks, pipeline, context)
        if pipeline.transformer.config["image_condition_type"] == "latent_concat":
            arguments["num_frames"] += pipeline.vae_scale_factor_temporal
        if self.true_cfg_scale <= 1:
            del arguments["negative_prompt"]
        return {**arguments, "true_cfg_scale": self.true_cfg_scale}
