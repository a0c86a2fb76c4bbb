"""LTX-Video: text or picture to video, fast, by a strongly compressing VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo

SOURCE = "https://github.com/Lightricks/LTX-Video/blob/5260738e171955b66c0827f9af7e84d68fd1d919/README.md"
KINDS = (TextToVideo.kind, ImageToVideo.kind)

_LTX = Profile(
    width=768,
    height=512,
    num_frames=121,
    fps=Fraction(25),
    num_inference_steps=40,
    guidance_scale=3.0,
    size_multiple=32,
    frame_step=8,
    frame_offset=1,
    min_frames=9,
    max_frames=257,
    max_sequence_length=128,
    kinds=KINDS,
)


def _published(name: str, repo: str, note: str) -> KnownModel:
    return KnownModel(
        name=name,
        repo=repo,
        card="ltx-video-2b",
        tasks=KINDS,
        note=note,
        source=SOURCE,
    )


class LTXVideo(NegativePromptByDefault):
    """LTX-Video 2B: text or picture to video, up to 257 frames; sides in steps of 32, 8k+1 frames.

    From 0.9.1 on the VAE takes part in denoising: `decode_timestep` and `decode_noise_scale` say how much noise
    it removes; they are not read by 0.9.0.

    Source: Lightricks, arXiv 2501.00103; https://github.com/Lightricks/LTX-Video at 5260738,
    configs/ltxv-2b-0.9*.yaml (steps, guidance) and ltx_video/inference.py (negative prompt), Apache-2.0; size,
    length and rate as it was sampled for VBench; run by diffusers' LTX pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        _published("ltx-video", "Lightricks/LTX-Video", "0.9.0, 768x512, 121 frames"),
        _published("ltx-video-0.9.1", "a-r-r-o-w/LTX-Video-0.9.1-diffusers", "768x512, 121 frames"),
        _published("ltx-video-0.9.5", "Lightricks/LTX-Video-0.9.5", "768x512, 121 frames"),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {known.name: _LTX for known in models}
    splits: ClassVar[tuple[str, ...]] = ("guidance", "tokens")
    pipelines: ClassVar[tuple[str, ...]] = (
        "LTXPipeline",
        "LTXImageToVideoPipeline",
        "LTXConditionPipeline",
    )
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: "diffusers.pipelines.ltx.pipeline_ltx:LTXPipeline",
        ImageToVideo.kind: "diffusers.pipelines.ltx.pipeline_ltx_image2video:LTXImageToVideoPipeline",
    }
    denoiser_class: ClassVar[str] = "diffusers.models.transformers.transformer_ltx:LTXVideoTransformer3DModel"

    model: str = "ltx-video"
    negative_prompt: str = "worst quality, inconsistent motion, blurry, jittery, distorted"
    guidance_rescale: float = Field(0.0, ge=0, le=1)
    decode_timestep: float = Field(0.05, ge=0, le=1)
    decode_noise_scale: float = Field(0.025, ge=0, le=1)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, and the frame rate, which LTX-Video is told."""
        assert tasks[0].fps, "complete() fills this in"
        return {
            **super().arguments(tasks, pipeline, context),
            "frame_rate": float(tasks[0].fps),
            "guidance_rescale": self.guidance_rescale,
            "decode_timestep": self.decode_timestep,
            "decode_noise_scale": self.decode_noise_scale,
        }
