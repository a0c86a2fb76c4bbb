"""Wan 2.1 VACE: a Wan with a second stream of layers that reads a clip of edges, depth or poses, or a first frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.weights import Configs
from vitascope.generators._control import control_frames
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel
from vitascope.generators.wan import FOLDER, Wan
from vitascope.media.control_maps import ControlMap
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

KINDS = (VideoToVideo.kind, ImageToVideo.kind, TextToVideo.kind)
LAYERS_OF_1_3B = 30

_SMALL = Wan.profiles["wan2.1-t2v-1.3b"].model_copy(update={"kinds": KINDS})
_LARGE = Wan.profiles["wan2.1-t2v-14b"].model_copy(update={"kinds": KINDS})


def _published(size: str, profile: Profile) -> KnownModel:
    return KnownModel(
        name=f"wan2.1-vace-{size.lower()}",
        repo=f"Wan-AI/Wan2.1-VACE-{size}-diffusers",
        card="wan2.1-vace",
        tasks=KINDS,
        note=f"edges, depth, poses or a first frame: {profile.width}x{profile.height}, 81 frames",
        source="https://github.com/ali-vilab/VACE",
    )


class WanVACE(Wan):
    """Wan 2.1 VACE: a clip follows the edges, depth or poses of another, or begins with a picture.

    A task's clip is the control: a finished map (`control` "given"), or footage of which `control` draws one; its
    `strength` is not read, all is drawn anew. A task's picture is kept as the first frame; the others are given as
    grey. `conditioning_scale` weighs what is given; without anything given it is a Wan.

    Source: ali-vilab, arXiv 2503.07598; https://github.com/Wan-Video/Wan2.1 at 9737cba, generate.py (defaults,
    flow_shift 16) and wan/vace.py, Apache-2.0; the grey of unknown frames as in diffusers 0.42.1, whose
    WanVACEPipeline runs it.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (VideoToVideo, ImageToVideo, TextToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (_published("1.3B", _SMALL), _published("14B", _LARGE))
    profiles: ClassVar[Mapping[str, Profile]] = {"wan2.1-vace-1.3b": _SMALL, "wan2.1-vace-14b": _LARGE}
    splits: ClassVar[tuple[str, ...]] = ()
    pipelines: ClassVar[tuple[str, ...]] = ("WanVACEPipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = dict.fromkeys(
        KINDS, f"{FOLDER}.pipeline_wan_vace:WanVACEPipeline"
    )
    denoiser_class: ClassVar[str] = (
        "diffusers.models.transformers.transformer_wan_vace:WanVACETransformer3DModel"
    )
    singly: ClassVar[tuple[type[Task], ...]] = accepts

    model: str = "wan2.1-vace-1.3b"
    control: ControlMap = Field("given", description="what to draw of the task's clip")
    conditioning_scale: float = Field(1.0, ge=0, le=10, description="weight of what is given")
    flow_shift: float | None = Field(16.0, gt=0, le=100, description="None: the scheduler's own")

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile by the depth of the folder's transformer."""
        return _LARGE if configs.component("transformer").get("num_layers", 0) > LAYERS_OF_1_3B else _SMALL

    def prompt_style(self) -> str:
        """Wan's: it has the same text encoder and was trained on the same captions."""
        return "wan"

    def default_negative_prompt(self, task: Task) -> str:  # noqa: ARG002
        """The authors' own, the same for all tasks."""
        return self.negative_prompt

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for Wan; what is given goes to the second stream, with a mask of what is to be drawn."""
        from PIL import Image

        if "strength" in tasks[0].model_fields_set:
            context.warn(f"{self.name} does not read strength")
        arguments = super().arguments(tasks, pipeline, context)
        arguments.pop("strength", None)
        for name in ("prompt", "negative_prompt"):
            (arguments[name],) = arguments[name]
        arguments["num_frames"] = length = tasks[0].num_frames or 0
        if "video" in arguments:
            arguments["video"] = control_frames(arguments["video"], self.control)
        if picture := arguments.pop("image", None):
            unknown, known = Image.new("RGB", picture.size, (128,) * 3), Image.new("L", picture.size, 0)
            arguments["video"] = [picture, *[unknown] * (length - 1)]
            arguments["mask"] = [known, *[Image.new("L", picture.size, 255)] * (length - 1)]
        return {**arguments, "conditioning_scale": self.conditioning_scale}
