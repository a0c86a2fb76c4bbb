"""SANA-Video: text or picture to video by linear attention, two billion parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators._shifted import Shifted
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo

FOLDER = "diffusers.pipelines.sana_video"
KINDS = (TextToVideo.kind, ImageToVideo.kind)

_480P = Profile(
    width=832,
    height=480,
    num_frames=81,
    fps=Fraction(16),
    num_inference_steps=50,
    guidance_scale=6.0,
    size_multiple=32,
    frame_step=4,
    frame_offset=1,
    min_frames=5,
    max_frames=81,
    max_sequence_length=300,
    kinds=KINDS,
)


class SanaVideo(OneAtATime, NegativePromptByDefault, Shifted):
    """SANA-Video 2B: text or picture to video, 832x480, 81 frames at 16 a second.

    `motion_score` says in the prompt how much moves, as its training captions did; None says nothing. The authors'
    instruction to their language model stands before every prompt. `flow_shift` is the model's own unless set.

    Source: NVIDIA, arXiv 2509.24695; https://github.com/NVlabs/Sana at 3b5c0be, docs/sana_video.md (defaults,
    negative prompt, motion score 30), Apache-2.0; run by diffusers' SANA-Video pipelines, which would choose the
    nearest of their own sizes and scale: here the size asked for is made.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="sana-video-2b-480p",
            repo="Efficient-Large-Model/SANA-Video_2B_480p_diffusers",
            card="sana-video",
            tasks=KINDS,
            note="832x480, 81 frames",
            source="https://github.com/NVlabs/Sana/blob/3b5c0bef0dfb032d3cce3f7f7238034e355215ce/docs/sana_video.md",
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"sana-video-2b-480p": _480P}
    splits: ClassVar[tuple[str, ...]] = ("guidance",)
    pipelines: ClassVar[tuple[str, ...]] = ("SanaVideoPipeline", "SanaImageToVideoPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_sana_video:SanaVideoPipeline",
        ImageToVideo.kind: f"{FOLDER}.pipeline_sana_video_i2v:SanaImageToVideoPipeline",
    }
    vae_in_float32: ClassVar[str] = "diffusers.models.autoencoders.autoencoder_kl_wan:AutoencoderKLWan"
    denoiser_class: ClassVar[str] = (
        "diffusers.models.transformers.transformer_sana_video:SanaVideoTransformer3DModel"
    )

    model: str = "sana-video-2b-480p"
    negative_prompt: str = (
        "A chaotic sequence with misshapen, deformed limbs in heavy motion blur, sudden disappearance, jump cuts, "
        "jerky movements, rapid shot changes, frames out of sync, inconsistent character shapes, temporal artifacts, "
        "jitter, and ghosting effects, creating a disorienting visual experience."
    )
    motion_score: int | None = Field(30, ge=0, le=100, description="how much moves; None: not said")

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, under the names that these pipelines use."""
        arguments = super().arguments(tasks, pipeline, context)
        arguments["frames"] = arguments.pop("num_frames")
        if "image" in arguments:
            (arguments["image"],) = arguments["image"]
        if self.motion_score is not None:
            arguments["prompt"] = [
                f"{prompt} motion score: {self.motion_score}." for prompt in arguments["prompt"]
            ]
        return {**arguments, "use_resolution_binning": False}
