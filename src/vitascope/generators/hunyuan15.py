"""HunyuanVideo 1.5: text or picture to video by an 8.3-billion-parameter transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.weights import Configs
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators._shifted import Shifted
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo

FOLDER = "diffusers.pipelines.hunyuan_video1_5"
SOURCE = "https://github.com/Tencent-Hunyuan/HunyuanVideo-1.5/blob/03719ce0e13dfb527b3dbc9b6b47c047692478a5/README.md"

_480P = Profile(
    width=848,
    height=480,
    num_frames=121,
    fps=Fraction(24),
    num_inference_steps=50,
    guidance_scale=6.0,
    frame_step=4,
    frame_offset=1,
    max_frames=121,
    max_sequence_length=1000,
)
_FROM_IMAGE = {"kinds": (ImageToVideo.kind,)}
_720P = _480P.model_copy(update={"width": 1280, "height": 720})
_DISTILLED = {"guidance_scale": 1.0}
_KNOWN = {
    "480p_t2v": _480P,
    "480p_i2v": _480P.model_copy(update=_FROM_IMAGE),
    "720p_t2v": _720P,
    "720p_i2v": _720P.model_copy(update=_FROM_IMAGE),
    "480p_t2v_distilled": _480P.model_copy(update=_DISTILLED),
    "480p_i2v_distilled": _480P.model_copy(update=_DISTILLED | _FROM_IMAGE),
    "720p_i2v_distilled": _720P.model_copy(update=_DISTILLED | _FROM_IMAGE),
}
TARGET_OF_720P = 960  # in the transformer's configuration: the side of a square of as many pixels


def _short(variant: str) -> str:
    return f"hunyuan-video-1.5-{variant.replace('_', '-')}"


def _published(variant: str, profile: Profile) -> KnownModel:
    distilled = "; distilled, twice as fast" if variant.endswith("distilled") else ""
    return KnownModel(
        name=_short(variant),
        repo=f"hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-{variant}",
        card="hunyuanvideo-1.5",
        tasks=profile.kinds,
        note=f"{profile.width}x{profile.height}, 121 frames{distilled}",
        source=SOURCE,
    )


class HunyuanVideo15(OneAtATime, Shifted):
    """HunyuanVideo 1.5: text or picture to video, 848x480 or 1280x720, 121 frames at 24 a second.

    Words in quotation marks are read letter by letter too, so that they can be written in the picture. The
    distilled models run at guidance 1 and 50 steps. `flow_shift` is the model's own (5 at 480p, 7 or 9 at 720p)
    unless set.

    Source: Tencent, arXiv 2511.18870; https://github.com/Tencent-Hunyuan/HunyuanVideo-1.5 at 03719ce, README.md
    (defaults); run by diffusers' HunyuanVideo 1.5 pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = tuple(
        _published(variant, profile) for variant, profile in _KNOWN.items()
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        _short(variant): profile for variant, profile in _KNOWN.items()
    }
    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_hunyuan_video1_5:HunyuanVideo15Pipeline",
        ImageToVideo.kind: f"{FOLDER}.pipeline_hunyuan_video1_5_image2video"
        ":HunyuanVideo15ImageToVideoPipeline",
    }

    singly: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)  # diffusers' VAE masks one clip

    model: str = "hunyuan-video-1.5-480p-t2v"
    flow_shift: float | None = Field(None, gt=0, le=100, description="None: the model's own, 5 to 9")

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile by the folder's pipeline, the size that its transformer was trained for, and its guidance."""
        large = configs.component("transformer").get("target_size", 0) >= TARGET_OF_720P
        from_image = configs.pipeline == "HunyuanVideo15ImageToVideoPipeline"
        guidance = configs.component("guider").get("guidance_scale", _480P.guidance_scale)
        return (_720P if large else _480P).model_copy(
            update={"guidance_scale": guidance, **(_FROM_IMAGE if from_image else {})}
        )

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; guidance and the limit of tokens are the pipeline's own state here."""
        arguments = super().arguments(tasks, pipeline, context)
        pipeline.guider.guidance_scale = arguments.pop("guidance_scale")
        pipeline.tokenizer_max_length = arguments.pop("max_sequence_length")
        if "image" in arguments:
            (arguments["image"],) = arguments["image"]
            (arguments["prompt"],), (arguments["negative_prompt"],) = (
                arguments["prompt"],
                arguments["negative_prompt"],
            )
            del arguments["width"], arguments["height"]
            # diffusers would choose a size by the picture's shape; the picture has the task's size already.
            pipeline.video_processor.calculate_default_height_width = _as_given
        return arguments


def _as_given(height: int, width: int, target_size: int) -> tuple[int, int]:  # noqa: ARG001
    return height, width
