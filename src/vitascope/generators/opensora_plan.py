"""Open-Sora-Plan 1.2 and 1.3: text, or a picture, to video, by our own port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from vitascope.context import Context
from vitascope.engine import memory, pipelines, weights
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.errors import UnsupportedTask
from vitascope.generators._components import ANY_FORM, located, parts_of
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.task import ImageToVideo, Task, TextToVideo

TaskT = TypeVar("TaskT", bound=Task)

PIPELINE = "vitascope.models.opensora_plan.pipeline:OpenSoraPlanPipeline"
README = "https://github.com/PKU-YuanGroup/Open-Sora-Plan/blob/main/README.md"
FROM_TEXT, FROM_IMAGE = (TextToVideo.kind,), (ImageToVideo.kind,)
UPSTREAM_CLASSES = ("OpenSoraT2V", "OpenSoraInpaint", "OpenSoraT2V_v1_3", "OpenSoraInpaint_v1_3")
# 1.3 was trained on clips of any shape with at most so many pixels a frame.
MAX_AREA = 640 * 640

_V1_2 = Profile(
    width=640,
    height=480,
    num_frames=29,
    fps=Fraction(24),
    num_inference_steps=100,
    guidance_scale=7.5,
    frame_step=4,
    frame_offset=1,
    max_frames=29,
    max_width=640,
    max_height=480,
    max_sequence_length=512,
)
_LONG = {"num_frames": 93, "max_frames": 93}
_720P = {"width": 1280, "height": 720, "max_width": 1280, "max_height": 720}
_V1_3 = _V1_2.model_copy(
    update={
        **_LONG,
        "height": 352,
        "fps": Fraction(18),
        "size_multiple": 32,
        "max_width": 1152,
        "max_height": 1152,
    }
)


def _published(name: str, kinds: tuple[str, ...], note: str) -> KnownModel:
    return KnownModel(
        name=f"open-sora-plan-{name}",
        repo=f"LanguageBind/Open-Sora-Plan-v{name[:3]}.0",
        card=f"open-sora-plan-{name[:3]}.0",
        tasks=kinds,
        note=f"{note}; mT5-XXL comes from its own repository",
        source=README,
    )


class OpenSoraPlan(DiffusersGenerator):
    """Open-Sora-Plan 1.2 and 1.3: text to video, and a picture to the first frame of a video.

    1.2 comes in fixed sizes, 480p and 720p; 1.3 in any shape up to 640x640 pixels. Prompts in English or Chinese.

    Source: arXiv 2412.00131; defaults of scripts/text_condition/gpu/sample_t2v.sh at v1.2.0 and
    sample_t2v_v1_3.sh at v1.3.1, sizes of README.md, all in github.com/PKU-YuanGroup/Open-Sora-Plan, MIT.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo)
    # The first of a repository is what its hub id alone means.
    models: ClassVar[tuple[KnownModel, ...]] = (
        _published("1.3", FROM_TEXT, "any shape of up to 640x640 pixels, up to 93 frames"),
        _published("1.3-i2v", FROM_IMAGE, "as 1.3, from a picture"),
        _published("1.2-29x480p", FROM_TEXT, "640x480, 29 frames"),
        _published("1.2-93x480p", FROM_TEXT, "640x480, 93 frames; may show watermarks"),
        _published("1.2-29x720p", FROM_TEXT, "1280x720, 29 frames; may show watermarks"),
        _published("1.2-93x720p", FROM_TEXT, "1280x720, 93 frames"),
        _published("1.2-93x480p-i2v", FROM_IMAGE, "640x480, 93 frames, from a picture"),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "open-sora-plan-1.3": _V1_3,
        "open-sora-plan-1.3-i2v": _V1_3.model_copy(update={"kinds": FROM_IMAGE}),
        "open-sora-plan-1.2-29x480p": _V1_2,
        "open-sora-plan-1.2-93x480p": _V1_2.model_copy(update=_LONG),
        "open-sora-plan-1.2-29x720p": _V1_2.model_copy(update=_720P),
        "open-sora-plan-1.2-93x720p": _V1_2.model_copy(update=_LONG | _720P),
        "open-sora-plan-1.2-93x480p-i2v": _V1_2.model_copy(update={**_LONG, "kinds": FROM_IMAGE}),
    }
    pipelines: ClassVar[tuple[str, ...]] = ("OpenSoraPlanPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = dict.fromkeys(FROM_TEXT + FROM_IMAGE, PIPELINE)
    schedulers: ClassVar[Mapping[str, str]] = {
        "euler-ancestral": "diffusers.schedulers.scheduling_euler_ancestral_discrete:EulerAncestralDiscreteScheduler",
        "ddim": "diffusers.schedulers.scheduling_ddim:DDIMScheduler",
        "dpm++": "diffusers.schedulers.scheduling_dpmsolver_multistep:DPMSolverMultistepScheduler",
    }
    load_knobs: ClassVar[tuple[str, ...]] = ("model", "revision", "vae", "text_encoder")

    model: str = Field("open-sora-plan-1.3", description="short name, hub id or local folder")
    vae: str | None = Field(
        None, description="hub id or folder of a published autoencoder, if none lies beside the denoiser"
    )
    text_encoder: str = Field("google/mt5-xxl", description="hub id or folder of the mT5 encoder")
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="against over-exposure, see arXiv 2305.08891"
    )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder holds a denoiser as the authors published it."""
        return (
            path.is_dir() and weights.read_json(path / "config.json").get("_class_name") in UPSTREAM_CLASSES
        )

    @property
    def _published_folder(self) -> Path | None:
        """A local folder with a denoiser as the authors published it, if `model` is one."""
        if self.known_model(self.model):
            return None
        source = self.source()
        return Path(source.name) if source.kind == "folder" and self.recognises(Path(source.name)) else None

    def profile(self) -> Profile:
        """Defaults and limits of a published model, or what a folder's configuration says of it."""
        folder = self._published_folder
        return _profile_of_config(weights.read_json(folder / "config.json")) if folder else super().profile()

    @classmethod
    def profile_of(cls, configs: weights.Configs) -> Profile:
        """Defaults and limits of a model in diffusers layout."""
        return _profile_of_config(configs.component("transformer"))

    def complete(self, task: TaskT) -> TaskT:
        """As for every family; 1.3 limits a frame's pixels besides its sides."""
        task = super().complete(task)
        if (
            self.profile().size_multiple == _V1_3.size_multiple
            and (task.width or 0) * (task.height or 0) > MAX_AREA
        ):
            raise UnsupportedTask(
                f"size {task.width}x{task.height}: {self.model} makes up to {MAX_AREA} pixels a frame, such as "
                "640x640 or 832x480",
                param="width",
            )
        return task

    def parts(self) -> tuple[Part, ...]:
        """The denoiser's and the autoencoder's folders of the repository, and the text encoder."""
        known, folder = self.known_model(self.model), self._published_folder
        if known is None and folder is None:
            return super().parts()
        own = (Part(repo=self.source().name, patterns=_patterns(known.name)),) if known else ()
        others = (self.text_encoder, *((self.vae,) if self.vae else ()))
        return own + parts_of(*others, patterns=ANY_FORM)

    def load(self, placement: Placement) -> LoadedPipeline:
        """The pipeline, on its device. Raises: WeightsMissing, InvalidMedia, OutOfMemory, NoNetwork, DiskFull."""
        known, folder = self.known_model(self.model), self._published_folder
        if known is None and folder is None:
            return super().load(placement)
        import torch
        from transformers import MT5EncoderModel

        from vitascope.engine.text_encoders import LazyTextEncoder
        from vitascope.models.opensora_plan.loading import load_pipeline, resolve

        variant = _folder_in_repository(known.name) if known else ""
        source = folder or located(self.source().name, _patterns(known.name) if known else ANY_FORM)
        folder_of_encoder = located(self.text_encoder)
        with memory.exhaustion_explained(placement, f"loading {self.model}"):
            pipeline = load_pipeline(
                source,
                variant,
                vae=located(self.vae) if self.vae else None,
                text_encoder=folder_of_encoder,
                encoder=LazyTextEncoder(folder_of_encoder, MT5EncoderModel, placement),
                dtype=getattr(torch, placement.dtype),
            )
            pipeline, levers = pipelines.accelerated(pipeline, placement)
        return LoadedPipeline(pipeline, placement, weights.fingerprint(resolve(source, variant)), levers)

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family; a picture is given as the first frame."""
        arguments = super().arguments(tasks, pipeline, context)
        arguments["guidance_rescale"] = self.guidance_rescale
        if pictures := arguments.pop("image", None):
            arguments["given_frames"] = _as_first_frames(pictures)
        return arguments


def _folder_in_repository(name: str) -> str:
    """Where in its release's repository a published denoiser lies."""
    release, *rest = name.removeprefix("open-sora-plan-").split("-")
    return "_".join(["any93x640x640", *rest] if release == "1.3" else rest)


def _patterns(name: str) -> tuple[str, ...]:
    """The files of a published denoiser and of the autoencoder beside it."""
    return (f"{_folder_in_repository(name)}/*", "vae/*")


def _profile_of_config(transformer: Mapping[str, Any]) -> Profile:
    """Defaults and limits of a denoiser by its own configuration, upstream's or ours."""
    named = str(transformer.get("_class_name", ""))
    in_channels = transformer.get("in_channels", 0)
    from_image = "Inpaint" in named or in_channels > (transformer.get("out_channels") or in_channels)
    kinds = FROM_IMAGE if from_image else FROM_TEXT
    if named.endswith("v1_3") or transformer.get("sparse_stride", 1) > 1:
        return _V1_3.model_copy(update={"kinds": kinds})
    rows, columns = transformer.get("sample_size") or (
        transformer["sample_height"],
        transformer["sample_width"],
    )
    latent_frames = transformer.get("sample_size_t") or transformer["sample_frames"]
    trained = {"width": 8 * columns, "height": 8 * rows, "frames": 4 * (latent_frames - 1) + 1}
    limits = {f"max_{name}": value for name, value in trained.items()}
    trained["num_frames"] = trained.pop("frames")
    return _V1_2.model_copy(update={"kinds": kinds, **trained, **limits})


def _as_first_frames(pictures: Sequence[Any]) -> Any:
    """PIL pictures as a tensor. Shape: B 3 1 H W. Range: -1..1."""
    import torch

    pixels = np.stack([np.asarray(picture, np.float32) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, None] / 127.5 - 1
