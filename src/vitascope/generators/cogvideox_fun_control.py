"""CogVideoX-Fun Control: a DiT that reads a clip of edges, depth or poses beside the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.weights import Configs
from vitascope.generators._control import control_frames
from vitascope.generators._negative_prompt import NegativePromptByDefault
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel
from vitascope.generators.cogvideox import FOLDER, CogVideoX
from vitascope.media.control_maps import ControlMap
from vitascope.task import Task, VideoToVideo

KINDS = (VideoToVideo.kind,)
SOURCE = "https://github.com/aigc-apps/VideoX-Fun/blob/28e60b11823d6902a3cc2022f48dd47c1203b62b/examples/cogvideox_fun/predict_v2v_control.py"

_CONTROL = CogVideoX.profiles["cogvideox-5b"].model_copy(update={"width": 384, "height": 672, "kinds": KINDS})


def _published(size: str, what: str, note: str) -> KnownModel:
    return KnownModel(
        name=f"cogvideox-fun-{size}-{what.lower()}",
        repo=f"alibaba-pai/CogVideoX-Fun-V1.1-{size}-{what}",
        card=f"cogvideox-{size}",
        licence="of Alibaba PAI; read the model card",
        tasks=KINDS,
        note=f"{note}: 384x672, 49 frames",
        source=SOURCE,
    )


class CogVideoXFunControl(OneAtATime, NegativePromptByDefault, CogVideoX):
    """CogVideoX-Fun Control: a clip follows the edges, depth or poses of another, encoded by the model's own VAE.

    The task's clip is the control: a finished map (`control` "given"), or footage of which `control` draws one.
    The task's `strength` is not read: all is drawn anew.

    Source: Alibaba PAI, https://github.com/aigc-apps/VideoX-Fun at 28e60b1, predict_v2v_control.py (defaults,
    negative prompt), Apache-2.0; run by diffusers' CogVideoXFunControlPipeline.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (VideoToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        _published("5b", "Control", "edges, depth or poses"),
        _published("2b", "Control", "edges, depth or poses"),
        _published("5b", "Pose", "poses"),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {known.name: _CONTROL for known in models}
    # The authors' own folders name the plain pipeline; by name alone such a folder is a CogVideoX.
    pipelines: ClassVar[tuple[str, ...]] = ("CogVideoXFunControlPipeline", "CogVideoXPipeline")
    pipeline_for: ClassVar[Mapping[str, str]] = {
        VideoToVideo.kind: f"{FOLDER}.pipeline_cogvideox_fun_control:CogVideoXFunControlPipeline"
    }
    singly: ClassVar[tuple[type[Task], ...]] = (VideoToVideo,)

    model: str = Field("cogvideox-fun-5b-control", description="short name, hub id or local folder")
    control: ControlMap = Field("given", description="what to draw of the task's clip")
    negative_prompt: str = (
        "The video is not of a high quality, it has a low resolution. Watermark present in each frame. The "
        "background is solid. Strange body and strange trajectory. Distortion."
    )

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """As for CogVideoX; its wider input is a control clip, not a picture."""
        return (
            super()
            .profile_of(configs)
            .model_copy(update={"kinds": KINDS, "only_native_size": False, "only_native_length": False})
        )

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for CogVideoX, with the clip as a condition."""
        if "strength" in tasks[0].model_fields_set:
            context.warn(f"{self.name} does not read strength")
        arguments = super().arguments(tasks, pipeline, context)
        del arguments["strength"]
        arguments["control_video"] = control_frames(arguments.pop("video"), self.control)
        return arguments
