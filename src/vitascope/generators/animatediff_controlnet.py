"""AnimateDiff with ControlNet: each frame follows the frame of an edge, depth or pose clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.generators._components import component, parts_of
from vitascope.generators._control import control_frames
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators.animatediff import FOLDER, AnimateDiff
from vitascope.generators.base import KnownModel, Part
from vitascope.media.control_maps import ControlMap
from vitascope.task import Task, VideoToVideo

KINDS = (VideoToVideo.kind,)
CONTROLNET_CLASS = "diffusers.models.controlnets.controlnet:ControlNetModel"


class AnimateDiffControlNet(OneAtATime, AnimateDiff):
    """AnimateDiff with ControlNet: a clip of edges, depth or poses is followed frame by frame.

    `controlnet` is any ControlNet of Stable Diffusion 1.5; the task's clip is its control map ("given"), or
    footage of which `control` draws one. The task's
    `strength` is not read: all is drawn anew, and `controlnet_conditioning_scale` says how closely.

    Source: Zhang et al., arXiv 2302.05543 (ControlNet); Guo et al., arXiv 2307.04725; run by diffusers'
    AnimateDiffControlNetPipeline.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (VideoToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = (
        AnimateDiff.models[0].model_copy(update={"name": "animatediff-controlnet", "tasks": KINDS}),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "animatediff-controlnet": AnimateDiff.profiles["animatediff"].model_copy(update={"kinds": KINDS})
    }
    singly: ClassVar[tuple[type[Task], ...]] = (VideoToVideo,)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        VideoToVideo.kind: f"{FOLDER}.pipeline_animatediff_controlnet:AnimateDiffControlNetPipeline"
    }
    load_knobs: ClassVar[tuple[str, ...]] = (*AnimateDiff.load_knobs, "controlnet")

    model: str = "animatediff-controlnet"
    controlnet: str = "lllyasviel/control_v11p_sd15_canny"
    control: ControlMap = Field("given", description="what to draw of the task's clip")
    controlnet_conditioning_scale: float = Field(1.0, ge=0, le=10)

    def parts(self) -> tuple[Part, ...]:
        """As for AnimateDiff, and the ControlNet."""
        return super().parts() + parts_of(self.controlnet)

    def components(self, folder: Path, placement: Placement) -> dict[str, Any]:
        """The motion adapter and the ControlNet."""
        control = component(CONTROLNET_CLASS, self.controlnet, placement)
        return {**super().components(folder, placement), "controlnet": control}

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for AnimateDiff, with the clip as a condition."""
        if "strength" in tasks[0].model_fields_set:
            context.warn(f"{self.name} does not read strength; use controlnet_conditioning_scale")
        arguments = super().arguments(tasks, pipeline, context)
        frames = arguments.pop("video")
        del arguments["strength"]
        return {
            **arguments,
            "num_frames": tasks[0].num_frames,
            "conditioning_frames": control_frames(frames, self.control),
            "controlnet_conditioning_scale": self.controlnet_conditioning_scale,
        }
