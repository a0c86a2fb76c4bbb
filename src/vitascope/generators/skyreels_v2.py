"""SkyReels-V2: text or picture to film-like video by a Wan-type transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.weights import Configs
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators._shifted import Shifted
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo

FOLDER = "diffusers.pipelines.skyreels_v2"
SOURCE = "https://github.com/SkyworkAI/SkyReels-V2/blob/abed76fec91103e4543c747eee45334137b3a558/README.md"

_540P = Profile(
    width=960,
    height=544,
    num_frames=97,
    fps=Fraction(24),
    num_inference_steps=50,
    guidance_scale=6.0,
    frame_step=4,
    frame_offset=1,
    max_frames=97,
    max_sequence_length=512,
)
_FROM_IMAGE = {"guidance_scale": 5.0, "kinds": (ImageToVideo.kind,)}
_720P = _540P.model_copy(update={"width": 1280, "height": 720, "num_frames": 121, "max_frames": 121})
_KNOWN = {
    "T2V-14B-540P": _540P,
    "T2V-14B-720P": _720P,
    "I2V-1.3B-540P": _540P.model_copy(update=_FROM_IMAGE),
    "I2V-14B-540P": _540P.model_copy(update=_FROM_IMAGE),
    "I2V-14B-720P": _720P.model_copy(update=_FROM_IMAGE),
}


def _published(variant: str, profile: Profile) -> KnownModel:
    return KnownModel(
        name=f"skyreels-v2-{variant.lower()}",
        repo=f"Skywork/SkyReels-V2-{variant}-Diffusers",
        card="skyreels-v2-1.3b" if "1.3B" in variant else "skyreels-v2",
        tasks=profile.kinds,
        note=f"{profile.width}x{profile.height}, {profile.num_frames} frames",
        source=SOURCE,
    )


class SkyReelsV2(OneAtATime, NegativePromptByDefault, Shifted):
    """SkyReels-V2: text or picture to video, 960x544, 97 frames, or 1280x720, 121 frames, at 24 a second.

    `flow_shift` is the authors' unless set: 8 from text, 5 from a picture; the published schedulers hold none.

    Source: Skywork AI, arXiv 2504.13074; https://github.com/SkyworkAI/SkyReels-V2 at abed76f, README.md (defaults)
    and generate_video.py (negative prompt), Skywork licence; run by diffusers' SkyReels-V2 pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = tuple(
        _published(variant, profile) for variant, profile in _KNOWN.items()
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        f"skyreels-v2-{variant.lower()}": profile for variant, profile in _KNOWN.items()
    }
    pipelines: ClassVar[tuple[str, ...]] = ("SkyReelsV2Pipeline", "SkyReelsV2ImageToVideoPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}.pipeline_skyreels_v2:SkyReelsV2Pipeline",
        ImageToVideo.kind: f"{FOLDER}.pipeline_skyreels_v2_i2v:SkyReelsV2ImageToVideoPipeline",
    }
    vae_in_float32: ClassVar[str] = "diffusers.models.autoencoders.autoencoder_kl_wan:AutoencoderKLWan"
    denoiser_class: ClassVar[str] = (
        "diffusers.models.transformers.transformer_skyreels_v2:SkyReelsV2Transformer3DModel"
    )

    model: str = "skyreels-v2-t2v-14b-540p"
    negative_prompt: str = (
        "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
        "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly "
        "drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy "
        "background, three legs, many people in the background, walking backwards"
    )
    flow_shift: float | None = Field(None, gt=0, le=100, description="None: 8 from text, 5 from a picture")

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile by the folder's pipeline, at the smaller size: no configuration tells which size it is."""
        return _KNOWN[
            "I2V-14B-540P" if configs.pipeline == "SkyReelsV2ImageToVideoPipeline" else "T2V-14B-540P"
        ].model_copy(update={"max_frames": _720P.max_frames})

    def shift(self) -> float | None:
        """The shift that was asked for, else the authors'."""
        return self.flow_shift or (5.0 if ImageToVideo.kind in self.profile().kinds else 8.0)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; a picture is given alone."""
        arguments = super().arguments(tasks, pipeline, context)
        if "image" in arguments:
            (arguments["image"],) = arguments["image"]
        return arguments
