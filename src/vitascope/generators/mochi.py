"""Mochi 1: text to video by a 10-billion-parameter transformer."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

from vitascope.engine.block_cache import CacheCalibration
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel
from vitascope.task import Task, TextToVideo

_MOCHI = Profile(
    width=848,
    height=480,
    num_frames=163,
    fps=Fraction(30),
    num_inference_steps=64,
    min_inference_steps=2,
    guidance_scale=6.0,
    size_multiple=16,
    frame_step=6,
    frame_offset=1,
    max_frames=163,
    max_sequence_length=256,
    cache=CacheCalibration(first_block=0.06),  # ParaAttention's; not run on real weights here
)


class Mochi(DiffusersGenerator):
    """Mochi 1 preview: text to video, 848x480, up to 163 frames at 30 a second.

    Clips have 6k+1 frames: the VAE packs six into one after the first, and diffusers rounds other numbers down
    without a word (84 asked gives 79). The noise schedule is the authors' linear-quadratic one, which has at least
    two steps.

    Source: Genmo, https://github.com/genmoai/mochi at 0c86aeb, demos/cli.py (defaults), Apache-2.0; run by
    diffusers' MochiPipeline.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="mochi-1",
            repo="genmo/mochi-1-preview",
            card="mochi-1",
            tasks=(TextToVideo.kind,),
            note="848x480, 163 frames",
            source="https://github.com/genmoai/mochi/blob/0c86aebf386e6622deadfb47ff1996878cefc0ac/README.md",
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"mochi-1": _MOCHI}
    splits: ClassVar[tuple[str, ...]] = ("guidance", "tokens")
    pipelines: ClassVar[tuple[str, ...]] = ("MochiPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: "diffusers.pipelines.mochi.pipeline_mochi:MochiPipeline"
    }
    denoiser_class: ClassVar[str] = "diffusers.models.transformers.transformer_mochi:MochiTransformer3DModel"

    model: str = "mochi-1"
