"""Allegro: text to video by a 2.8-billion-parameter transformer and a VAE that works in tiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from vitascope.context import Context
from vitascope.engine import weights
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.errors import UnsupportedTask
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._profile import Profile, nearest
from vitascope.generators.base import KnownModel
from vitascope.task import Task, TextToVideo

PROMPT = (
    "(masterpiece), (best quality), (ultra-detailed), (unwatermarked), {} emotional, harmonious, vignette, "
    "4k epic detailed, shot on kodak, 35mm photo, sharp focus, high budget, cinemascope, moody, epic, gorgeous"
)


class TiledProfile(Profile):
    """Limits of a VAE that decodes whole tiles alone: sides are one tile and whole strides beyond it.

    Units: pixels. Of `tile`, neighbouring tiles share 120 rows or 80 columns.
    Source: `AutoencoderKLAllegro` of diffusers 0.42.1.
    """

    tile: int = 320

    def _check_side(self, side: str, value: int, limit: int | None, model: str) -> None:
        step = math.lcm(self.tile - (120 if side == "height" else 80), self.size_multiple)
        near = nearest(value, step, self.tile, self.tile, limit)
        if value not in near:
            raise UnsupportedTask(
                f"{side}={value}: {model} makes {self.tile}, {self.tile + step}, {self.tile + 2 * step}...; "
                f"nearest: {' or '.join(map(str, near))}",
                param=side,
            )


_ALLEGRO = TiledProfile(
    width=1280,
    height=720,
    num_frames=88,
    fps=Fraction(15),
    num_inference_steps=100,
    guidance_scale=7.5,
    frame_step=16,
    frame_offset=8,
    min_frames=24,
    max_frames=88,
    max_width=1280,
    max_height=720,
    max_sequence_length=512,
)


class Allegro(NegativePromptByDefault):
    """Allegro: text to video, 1280x720, 88 frames at 15 a second.

    Its VAE decodes whole tiles only and leaves black what no tile covers, so lengths are 24 + 16k frames and
    sides 320 + 400k rows and 320 + 240k columns. `praise` puts the authors' words of quality around the prompt.

    Source: Rhymes AI, arXiv 2410.15458; https://github.com/rhymes-ai/Allegro at f395a54, single_inference.py
    (defaults, both prompts), Apache-2.0; run by diffusers' AllegroPipeline; the uncovered frames were seen in
    diffusers 0.42.1.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="allegro",
            repo="rhymes-ai/Allegro",
            card="allegro",
            tasks=(TextToVideo.kind,),
            note="1280x720, 88 frames",
            source="https://github.com/rhymes-ai/Allegro/blob/f395a54b015f7e3296c52f59a45b78acf9dd07f6/README.md",
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"allegro": _ALLEGRO}
    splits: ClassVar[tuple[str, ...]] = ("guidance",)
    pipelines: ClassVar[tuple[str, ...]] = ("AllegroPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: "diffusers.pipelines.allegro.pipeline_allegro:AllegroPipeline"
    }
    takes_loras: ClassVar[bool] = False
    vae_in_float32: ClassVar[str] = (
        "diffusers.models.autoencoders.autoencoder_kl_allegro:AutoencoderKLAllegro"
    )

    model: str = "allegro"
    negative_prompt: str = (
        "nsfw, lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, "
        "worst quality, low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
    )
    praise: bool = True

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:
        """Allegro's defaults at the native size and with the VAE's tile of this folder."""
        net = {
            "sample_height": 90,
            "sample_width": 160,
            "sample_frames": 22,
            **configs.component("transformer"),
        }
        native = {
            "height": 8 * net["sample_height"],
            "width": 8 * net["sample_width"],
            "num_frames": 4 * net["sample_frames"],
            "tile": configs.component("vae").get("sample_size", 320),
        }
        limits = {f"max_{side}": max(native[side], getattr(_ALLEGRO, side)) for side in ("width", "height")}
        return _ALLEGRO.model_copy(update={**native, **limits})

    def load(self, placement: Placement) -> LoadedPipeline:
        """As for every family; this VAE decodes with tiling alone, and several clips with slicing alone."""
        return super().load(placement.model_copy(update={"vae_tiling": True, "vae_slicing": True}))

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, with the authors' words around each prompt; the caption is not rewritten."""
        arguments = super().arguments(tasks, pipeline, context)
        if self.praise:
            arguments["prompt"] = [PROMPT.format(task.prompt.lower().strip()) for task in tasks]
        return {**arguments, "clean_caption": False}
