"""What one model makes unless told otherwise, and what it can make at all."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from vitascope.engine.block_cache import CacheCalibration
from vitascope.errors import InvalidMedia, UnsupportedTask
from vitascope.task import Task, TextToVideo, VideoToVideo

Fps = Annotated[Fraction, Field(gt=0), PlainSerializer(str)]


class Profile(BaseModel):
    """Defaults and limits of one model.

    Clips have `frame_step` * k + `frame_offset` frames: what the VAE really decodes. Sides are multiples of
    `size_multiple`. A limit that is None does not exist. Units: pixels, frames, tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    num_frames: int = Field(gt=0)
    fps: Fps
    num_inference_steps: int = Field(gt=0)
    min_inference_steps: int = 1
    guidance_scale: float = Field(ge=0)
    scheduler: str | None = None
    negative_prompt: bool = True
    size_multiple: int = 16
    frame_step: int = 1
    frame_offset: int = 0
    frame_offset_from_video: int | None = None  # where a clip made from a clip has another one
    min_frames: int = 1
    max_frames: int | None = None
    max_width: int | None = None
    max_height: int | None = None
    only_native_size: bool = False
    only_native_length: bool = False
    max_sequence_length: int | None = None
    kinds: tuple[str, ...] = (TextToVideo.kind,)
    cache: CacheCalibration = CacheCalibration()

    def overridden(self, values: Mapping[str, Any], where: str) -> Self:
        """This profile with the values of a model's vitascope.json. Raises: InvalidMedia."""
        try:
            return type(self).model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise InvalidMedia(f"vitascope.json of {where}: {name}: {first['msg']}") from error

    def check_kind(self, task: Task, model: str) -> None:
        """Raises: UnsupportedTask if these weights do not make this kind of task."""
        if task.kind not in self.kinds:
            raise UnsupportedTask(f"{model} makes {', '.join(self.kinds)}, not {task.kind}", param="kind")

    def complete(self, task: Task, model: str) -> dict[str, Any]:
        """The fields that `task` leaves open, filled in, after checking those that it sets.

        Raises: UnsupportedTask with the nearest valid value.
        """
        self.check_kind(task, model)
        if task.negative_prompt and not self.negative_prompt:
            raise UnsupportedTask(f"{model} reads no negative prompt; leave it out", param="negative_prompt")
        filled: dict[str, Any] = {
            "width": task.width or self.width,
            "height": task.height or self.height,
            "num_frames": task.num_frames or self._default_frames(task),
            "fps": task.fps or (task.video.fps if isinstance(task, VideoToVideo) else self.fps),
        }
        self._check_side("width", filled["width"], self.max_width, model)
        self._check_side("height", filled["height"], self.max_height, model)
        self._check_frames(filled["num_frames"], task, model)
        return filled

    def _default_frames(self, task: Task) -> int:
        return task.video.num_frames if isinstance(task, VideoToVideo) else self.num_frames

    def _check_side(self, side: str, value: int, limit: int | None, model: str) -> None:
        native = getattr(self, side)
        if self.only_native_size and value != native:
            raise UnsupportedTask(
                f"{side}={value}: {model} makes {self.width}x{self.height} alone; nearest: {native}",
                param=side,
            )
        near = nearest(value, self.size_multiple, 0, self.size_multiple, limit)
        if value not in near:
            made = f"multiples of {self.size_multiple}" + (f" up to {limit}" if limit else "")
            raise UnsupportedTask(
                f"{side}={value}: {model} makes {made}; nearest: {_either(near)}", param=side
            )

    def _check_frames(self, value: int, task: Task, model: str) -> None:
        offset, limit, hint = self.frame_offset, self.max_frames, ""
        if isinstance(task, VideoToVideo):
            have = task.video.num_frames
            limit = min(limit or have, have)
            hint = f" (the given clip has {have}; num_frames takes its first ones)"
            if self.frame_offset_from_video is not None:
                offset = self.frame_offset_from_video
        if self.only_native_length:
            near, made = [self.num_frames], f"{self.num_frames} frames alone"
        else:
            near = nearest(value, self.frame_step, offset, self.min_frames, limit)
            made = f"{self._grid(offset)} frames" + (f" up to {self.max_frames}" if self.max_frames else "")
        if value in near:
            return
        raise UnsupportedTask(
            f"num_frames={value}: {model} makes {made}; nearest: {_either(near)}{hint}", param="num_frames"
        )

    def _grid(self, offset: int) -> str:
        """The valid numbers of frames in short, such as "8k+1"."""
        if self.frame_step == 1:
            return f"{self.min_frames} or more"
        return f"{self.frame_step}k" + (f"+{offset}" if offset else "")


def nearest(value: int, step: int, offset: int, low: int, high: int | None) -> list[int]:
    """The valid value at `value`, or the one or two nearest, among step * k + offset within low..high."""
    first = low + (offset - low) % step
    last = None if high is None else high - (high - offset) % step
    below = value - (value - offset) % step
    candidates = {max(first, candidate) for candidate in (below, below + (step if below != value else 0))}
    if last is not None:
        candidates = {min(last, candidate) for candidate in candidates}
    distance = min(abs(value - candidate) for candidate in candidates)
    return sorted(candidate for candidate in candidates if abs(value - candidate) == distance)


def _either(values: list[int]) -> str:
    return " or ".join(str(value) for value in values)
