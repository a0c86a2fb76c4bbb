"""Open-Sora 1.2: text, picture or clip to video of any shape, by our own port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vitascope.context import Context
from vitascope.engine import memory, pipelines, weights
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.engine.tensor_files import safetensors_header
from vitascope.errors import InvalidMedia, RequestError
from vitascope.generators._components import ANY_FORM, located, parts_of
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.models.families import STDIT3, family_of
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

PIPELINE = "vitascope.models.opensora.pipeline:OpenSoraPipeline"
KINDS = (TextToVideo.kind, ImageToVideo.kind, VideoToVideo.kind)
README = "https://github.com/hpcaitech/Open-Sora/blob/v1.2.0/README.md"

# The authors' preset is 426 wide, of which their VAE decodes 424.
_PUBLISHED = Profile(
    width=424,
    height=240,
    num_frames=51,
    fps=Fraction(24),
    num_inference_steps=30,
    guidance_scale=7.0,
    size_multiple=8,
    min_frames=17,
    max_frames=816,
    max_sequence_length=300,
    kinds=KINDS,
)


class OpenSora(DiffusersGenerator):
    """Open-Sora 1.2: text, picture or clip to video, 144p to 720p in any shape, 17 frames and more.

    A picture becomes the first frame; a clip is made over as far as `strength` says. Prompts are in English.

    Source: arXiv 2412.20404; github.com/hpcaitech/Open-Sora v1.2.0, Apache-2.0: defaults of
    configs/opensora-v1-2/inference/sample.py, lengths up to the longest of opensora/datasets/aspect.py.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo, VideoToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="open-sora-1.2",
            repo="hpcai-tech/OpenSora-STDiT-v3",
            card="open-sora-1.2",
            tasks=KINDS,
            note="any shape, 17 frames and more; English only; its VAE and T5-XXL are downloaded beside it",
            source=README,
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"open-sora-1.2": _PUBLISHED}
    pipelines: ClassVar[tuple[str, ...]] = ("OpenSoraPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = dict.fromkeys(KINDS, PIPELINE)
    load_knobs: ClassVar[tuple[str, ...]] = ("model", "revision", "vae", "text_encoder")

    model: str = Field("open-sora-1.2", description="short name, hub id, local folder or single file")
    vae: str = Field(
        "hpcai-tech/OpenSora-VAE-v1.2", description="hub id, folder or file of the published VAE"
    )
    text_encoder: str = Field("DeepFloyd/t5-v1_1-xxl", description="hub id or folder of the T5 encoder")
    aesthetic_score: float | None = Field(6.5, ge=0, le=10, description="how pretty; about 4 to 7")
    motion_score: float | None = Field(None, ge=0, le=100, description="how lively; about 0 to 10")
    camera_motion: str | None = Field(None, max_length=100, description='such as "pan right" or "zoom in"')

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder or file holds a published STDiT3."""
        if path.is_dir():
            return weights.read_json(path / "config.json").get("model_type") == "STDiT3"
        try:
            return path.suffix == ".safetensors" and family_of(safetensors_header(path)) == STDIT3
        except InvalidMedia:
            return False

    @property
    def _published_form(self) -> bool:
        """Whether the weights come as the authors gave them, each network by itself."""
        source = self.source()
        return bool(self.known_model(self.model)) or (
            source.kind != "hub" and weights.pipeline_of(Path(source.name)) is None
        )

    def profile(self) -> Profile:
        """The published model's defaults and limits, or those of a folder in diffusers layout.

        Raises: RequestError for a revision of the published model, whose parts come from three repositories.
        """
        if self._published_form and self.revision is not None:
            raise RequestError(
                f"revision={self.revision!r}: {self.model} comes from several repositories; download the one that "
                "you mean and give its folder",
                param="revision",
            )
        return _PUBLISHED if self._published_form else super().profile()

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:
        """The published profile, with the folder's own limit on the length of a prompt."""
        length = configs.component("transformer").get("caption_length", _PUBLISHED.max_sequence_length)
        return _PUBLISHED.model_copy(update={"max_sequence_length": length})

    def parts(self) -> tuple[Part, ...]:
        """The denoiser, its autoencoder and the text encoder, of which local ones take nothing."""
        if not self._published_form:
            return super().parts()
        return parts_of(self.source().name, self.vae, self.text_encoder, patterns=ANY_FORM)

    def load(self, placement: Placement) -> LoadedPipeline:
        """The pipeline, on its device. Raises: WeightsMissing, InvalidMedia, OutOfMemory, NoNetwork."""
        if not self._published_form:
            return super().load(placement)
        import torch
        from transformers import T5EncoderModel

        from vitascope.engine.text_encoders import LazyTextEncoder
        from vitascope.models.opensora import loading
        from vitascope.models.opensora.pipeline import OpenSoraPipeline
        from vitascope.models.opensora.scheduler import OpenSoraScheduler

        path = loading.resolve(located(self.source().name))
        dtype = getattr(torch, placement.dtype)
        with memory.exhaustion_explained(placement, f"loading {self.model}"):
            # One after the other: a wrong denoiser is refused before anything is fetched for it.
            transformer = loading.load_stdit3(path, dtype)
            vae = loading.load_vae(located(self.vae), dtype)
            folder = located(self.text_encoder)
            tokenizer = loading.load_tokenizer(folder)
            text_encoder: Any = LazyTextEncoder(folder, T5EncoderModel, placement)
            pipeline = OpenSoraPipeline(tokenizer, text_encoder, vae, transformer, OpenSoraScheduler())
            pipeline, levers = pipelines.accelerated(pipeline, placement)
        return LoadedPipeline(pipeline, placement, weights.fingerprint(path), levers)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; pictures and clips become references at the front of the video."""
        from vitascope.models.opensora.prompt import holds_chinese

        first = tasks[0]
        for task in tasks:
            if holds_chinese(task.prompt):
                context.warn(f"{self.model} reads English only; left out all Chinese of {task.prompt[:80]!r}")
        arguments = super().arguments(tasks, pipeline, context)
        pictures, clips = arguments.pop("image", None), arguments.pop("video", None)
        if pictures:
            clips = [[picture] for picture in pictures]
        elif clips and len(tasks) == 1:
            clips = [clips]
        arguments.pop("strength", None)
        arguments["num_frames"] = first.num_frames
        arguments["fps"] = [float(task.fps or _PUBLISHED.fps) for task in tasks]
        for knob in ("aesthetic_score", "motion_score", "camera_motion"):
            arguments[knob] = getattr(self, knob)
        if clips:
            length = pipeline.vae.num_latent_frames(len(clips[0]))
            ratio = first.strength if isinstance(first, VideoToVideo) else 0.0
            arguments["references"] = [_as_pixels(clips)]
            arguments["mask_strategy"] = f"0,0,0,0,{length},{ratio}"
        return arguments


def _as_pixels(clips: Sequence[Sequence[Any]]) -> Any:
    """PIL frames as a tensor. Shape: B C T H W. Range: -1..1."""
    import torch

    pixels = np.stack([[np.asarray(frame, np.float32) for frame in clip] for clip in clips])
    return torch.from_numpy(pixels).permute(0, 4, 1, 2, 3) / 127.5 - 1
