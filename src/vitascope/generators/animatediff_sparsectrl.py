"""AnimateDiff with SparseCtrl: a picture or scribble is one frame of the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.errors import UnsupportedTask
from vitascope.generators._components import component, parts_of
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators.animatediff import FOLDER, AnimateDiff
from vitascope.generators.base import KnownModel, Part
from vitascope.task import ImageToVideo, Task

TaskT = TypeVar("TaskT", bound=Task)

KINDS = (ImageToVideo.kind,)
CONTROLNET_CLASS = "diffusers.models.controlnets.controlnet_sparsectrl:SparseControlNetModel"


class SparseCtrl(OneAtATime, AnimateDiff):
    """AnimateDiff with SparseCtrl: a photograph or scribble, shown at one frame, guides the whole clip.

    `controlnet` decides what the picture is taken for: a scribble (white lines on black) or, with
    "guoyww/animatediff-sparsectrl-rgb", a photograph. `frame_index` is where it stands in the clip.

    Source: Guo et al., arXiv 2311.16933; https://github.com/guoyww/AnimateDiff at e92bd56,
    configs/prompts/3_sparsectrl (defaults), Apache-2.0; run by diffusers' AnimateDiffSparseControlNetPipeline.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (ImageToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        AnimateDiff.models[0].model_copy(update={"name": "animatediff-sparsectrl", "tasks": KINDS}),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "animatediff-sparsectrl": AnimateDiff.profiles["animatediff"].model_copy(
            update={"kinds": KINDS, "guidance_scale": 8.5}
        )
    }
    pipeline_for: ClassVar[Mapping[str, str]] = {
        ImageToVideo.kind: f"{FOLDER}.pipeline_animatediff_sparsectrl:AnimateDiffSparseControlNetPipeline"
    }
    load_knobs: ClassVar[tuple[str, ...]] = (*AnimateDiff.load_knobs, "controlnet")

    model: str = "animatediff-sparsectrl"
    controlnet: str = "guoyww/animatediff-sparsectrl-scribble"
    controlnet_conditioning_scale: float = Field(1.0, ge=0, le=10)
    frame_index: int = Field(0, ge=0)

    def complete(self, task: TaskT) -> TaskT:
        """As for every family. Raises: UnsupportedTask, also for a frame beyond the clip, or FreeNoise."""
        completed = super().complete(task)
        if self.frame_index >= (completed.num_frames or 0):
            raise UnsupportedTask(
                f"frame_index={self.frame_index} of a clip of {completed.num_frames} frames; "
                f"nearest: {(completed.num_frames or 1) - 1}",
                param="frame_index",
            )
        if self.free_noise:
            raise UnsupportedTask(f"{self.name} has no free_noise; leave it off", param="free_noise")
        return completed

    def parts(self) -> tuple[Part, ...]:
        """As for AnimateDiff, and the ControlNet."""
        return super().parts() + parts_of(self.controlnet)

    def components(self, folder: Path, placement: Placement) -> dict[str, Any]:
        """The motion adapter and the control net."""
        control = component(CONTROLNET_CLASS, self.controlnet, placement)
        return {**super().components(folder, placement), "controlnet": control}

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for AnimateDiff, with the picture as a condition."""
        arguments = super().arguments(tasks, pipeline, context)
        return {
            **{name: value for name, value in arguments.items() if name != "image"},
            "conditioning_frames": arguments["image"],
            "controlnet_frame_indices": [self.frame_index],
            "controlnet_conditioning_scale": self.controlnet_conditioning_scale,
        }
