"""What to make, in nobody's dialect: one frozen record for each kind of task.

Knobs of how to make it (steps, guidance, scheduler, LoRA) belong to the generator.
A field that is None is filled in by the generator's `complete`.
"""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
)

from vitascope.clip import Clip, Image, as_rate
from vitascope.errors import invalid_value
from vitascope.poses import PoseSequence
from vitascope.tracks import Trajectories

MAX_PROMPT_CHARACTERS = 20_000


def _describe_image(image: Image) -> dict[str, Any]:
    said = {
        "path": str(image.path) if image.path else None,
        "sha256": image.sha256,
        "width": image.width,
        "height": image.height,
    }
    return said if image.aigc is None else {**said, "aigc": image.aigc.model_dump(by_alias=True)}


def _describe_clip(clip: Clip) -> dict[str, Any]:
    return {
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": str(clip.fps),
        "recipe": clip.recipe.model_dump(mode="json"),
    }


def _describe_poses(poses: PoseSequence) -> dict[str, Any]:
    said = {"path": str(poses.path)} if poses.path else {}
    return {
        **said,
        "layout": poses.layout,
        "num_frames": poses.num_frames,
        "fps": poses.fps,
        "sha256": hashlib.sha256(poses.model_dump_json().encode()).hexdigest(),
    }


ImageField = Annotated[Image, PlainSerializer(_describe_image)]
ClipField = Annotated[Clip, PlainSerializer(_describe_clip)]
PosesField = Annotated[PoseSequence, PlainSerializer(_describe_poses)]


def _finite_rate(fps: Any) -> Any:
    is_rate = isinstance(fps, Fraction) or (isinstance(fps, float) and math.isfinite(fps))
    return as_rate(fps) if is_rate else fps


FpsField = Annotated[
    Fraction,
    BeforeValidator(_finite_rate),
    AfterValidator(as_rate),
    Field(gt=0, le=1000),
    Field(ge=2**-10),
    PlainSerializer(str),
]


class Task(BaseModel):
    """What every kind of task has.

    Range: seed 0..2**63-1; width, height in pixels; num_frames and fps positive; None = the generator's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    kind: ClassVar[str] = "task"

    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    seed: int = Field(0, ge=0, lt=2**63)
    width: int | None = Field(None, ge=1, le=16384)
    height: int | None = Field(None, ge=1, le=16384)
    num_frames: int | None = Field(None, ge=1, le=100_000)
    fps: FpsField | None = None

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A task with these fields, errors as one clear line. Raises: RequestError."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise invalid_value(error, cls.kind) from error

    def described(self) -> dict[str, Any]:
        """The task as JSON for a recipe: media by path, size and hash; fields left at None are left out."""
        return {"kind": self.kind, **self.model_dump(mode="json", exclude_none=True)}


class TextToVideo(Task):
    """A sentence becomes a clip."""

    kind: ClassVar[str] = "text-to-video"

    prompt: str = Field(max_length=MAX_PROMPT_CHARACTERS)

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("the prompt is empty; say what the clip shall show")
        return prompt


class ImageToVideo(Task):
    """A picture becomes the first frame of a clip."""

    kind: ClassVar[str] = "image-to-video"

    image: ImageField


class VideoToVideo(Task):
    """A clip is made again after a sentence. Range: strength 0 (keep) .. 1 (forget)."""

    kind: ClassVar[str] = "video-to-video"

    video: ClipField
    strength: float = Field(0.8, gt=0, le=1)


class MotionToVideo(Task):
    """The person of a picture moves as a sequence of poses says.

    `image_pose`: where the picture's own person stands (its first frame counts), so that the poses can be moved there.
    """

    kind: ClassVar[str] = "motion-to-video"

    image: ImageField
    poses: PosesField
    image_pose: PosesField | None = None


class TrajectoryToVideo(Task):
    """Things move along drawn paths; with a picture, from where they stand in it."""

    kind: ClassVar[str] = "trajectory-to-video"

    trajectories: Trajectories
    image: ImageField | None = None


TASK_KINDS: dict[str, type[Task]] = {
    kind.kind: kind for kind in (TextToVideo, ImageToVideo, VideoToVideo, MotionToVideo, TrajectoryToVideo)
}
