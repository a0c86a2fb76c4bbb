"""Pad a picture to the model's shape before a generation, and crop the clip back after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple, replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from vitascope.clip import Clip, Image, Pixels
from vitascope.context import Context
from vitascope.errors import InvalidMedia, UnsupportedTask
from vitascope.media import geometry
from vitascope.media.borders import Sides, black_bars, edge_profiles, remaining_border, sampled
from vitascope.media.frames import MappedFrames
from vitascope.steps.base import Extent, Note, Step
from vitascope.task import ImageToVideo, Task, TextToVideo, TrajectoryToVideo, VideoToVideo

if TYPE_CHECKING:
    from vitascope.shelf import Item
    from vitascope.tracks import Trajectories

MAX_CORRECTIONS = 3


class Letterbox(Step):
    """Keeps the whole picture and its shape: pads it to the model's size, and crops the clip back exactly.

    Around a generation the size is the task's, else `width` and `height`, else the generator's own. What the
    model smeared of the border into the picture is measured and cropped too; the recipe says how much. Nothing
    is stretched; the clip has the picture's shape to within one pixel of an even size.

    After a generation, or alone on a file: with `width` and `height` the clip is padded to that size; without
    them black bars are found and cropped off.
    """

    width: int | None = Field(None, ge=32, le=16384, multiple_of=2)
    height: int | None = Field(None, ge=32, le=16384, multiple_of=2)
    fill: geometry.Fill = "black"

    _is_around: bool = PrivateAttr(False)

    @model_validator(mode="after")
    def _both_sides(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError(f"give both sides or none, not width={self.width} with height={self.height}")
        return self

    def fitted_to(self, generator: Item) -> Self:
        """This step with the generator's own size, unless one was chosen."""
        fitted = self.model_copy()
        if self.width is None:
            width, height = _native_size(generator)
            fitted = self.model_copy(update={"width": width, "height": height})
        fitted._is_around = True
        return fitted

    def check(self, task: Task) -> None:
        """Raises: UnsupportedTask where there is no picture to pad, no size, or a picture too thin for it."""
        if self._is_around:
            self._box(task)

    def extent(self, of: Extent) -> Extent:
        """The size that was asked for; what black bars take away is known only from the frames."""
        return replace(of, width=self.width or of.width, height=self.height or of.height)

    def prepare(self, task: Task, context: Context) -> tuple[Task, Note]:
        """The task with its picture, clip or paths on a canvas of the model's size; the note says where."""
        context.check_cancelled()
        box = self._box(task)
        changes: dict[str, Any] = {"width": box.canvas_width, "height": box.canvas_height}
        note: Note = {"canvas": [box.canvas_width, box.canvas_height], "fill": self.fill}
        if isinstance(task, VideoToVideo):
            changes["video"] = _padded(task.video, box, self.fill)
            note["source"] = [task.video.width, task.video.height]
            canvas = changes["video"].frames[0:1][0]
        else:
            image = _image_of(task)
            canvas = geometry.on_canvas(image.pixels, box, self.fill)
            changes["image"] = Image(canvas)
            note["source"] = [image.width, image.height]
            note["picture"] = str(image.path) if image.path else None
        if isinstance(task, TrajectoryToVideo):
            changes["trajectories"] = _moved(task.trajectories, box, *note["source"])
        note["box"] = _numbers(box.inner)
        note["edges"] = edge_profiles(canvas, box.inner, self.fill)
        return task.model_copy(update=changes), note

    def apply(self, clip: Clip, note: Note, modules: Any, context: Context) -> Clip:  # noqa: ARG002
        """The clip without its border; alone on a file, padded or freed of black bars."""
        context.check_cancelled()
        if note:
            return self._cropped_back(clip, note, context)
        if self.width is not None and self.height is not None:
            box = geometry.letterbox(clip.width, clip.height, self.width, self.height)
            padded = _padded(clip, box, self.fill)
            return replace(padded, recipe=clip.recipe.then(self.stage(box=_numbers(box.inner))))
        bars = black_bars(sampled(clip))
        if not bars:
            return clip
        return self._cropped(clip, _without(bars, clip), {"bars": asdict(bars)})

    def _box(self, task: Task) -> geometry.Letterbox:
        """Where the task's picture lies on the canvas. Raises: UnsupportedTask."""
        picture = task.video if isinstance(task, VideoToVideo) else _image_of(task)
        width, height = task.width or self.width, task.height or self.height
        if width is None or height is None:
            raise UnsupportedTask(f"{self.name} needs a size: give the task width and height", param="width")
        return geometry.letterbox(picture.width, picture.height, width, height)

    def _cropped_back(self, clip: Clip, note: Note, context: Context) -> Clip:
        said = {key: value for key, value in note.items() if key != "edges"}
        box, cut = self._measured(clip, note, context)
        return self._cropped(
            clip, box, {**said, "cropped_to": _numbers(box), "border_in_picture": asdict(cut)}
        )

    def _measured(self, clip: Clip, note: Note, context: Context) -> tuple[geometry.Box, Sides]:
        """The box without what remains of the border inside it, and how much that was on each side."""
        canvas_width, canvas_height = note["canvas"]
        scale = _scale(clip, canvas_width, canvas_height)
        box, cut = _scaled(geometry.Box(*note["box"]), scale), Sides()
        if not note["edges"]:
            return box, cut
        frames = sampled(clip)
        for _ in range(MAX_CORRECTIONS):
            left = remaining_border(frames, box, note["edges"], note["fill"], cut, float(scale))
            if not left:
                return box, cut
            before, cut = box, Sides(*(a + b for a, b in zip(astuple(cut), astuple(left), strict=True)))
            width, height = note["source"]
            box = geometry.shrunk(before, width, height, astuple(left))
        context.warn(f"{self.name}: some of the border may be left in the picture; look at the clip's edges")
        return box, cut

    def _cropped(self, clip: Clip, box: geometry.Box, notes: Note) -> Clip:
        rows, columns = box.slices()
        mask = None if clip.mask is None else clip.mask[:, rows, columns]
        frames = _mapped(clip, lambda frame: frame[rows, columns], int(box.width), int(box.height))
        return replace(clip, frames=frames, mask=mask, recipe=clip.recipe.then(self.stage(**notes)))


def _native_size(generator: Any) -> tuple[int | None, int | None]:
    """The size that a generator fills in where a task says none; None if it does not tell."""
    picture = Image(np.zeros((64, 64, 3), np.uint8))
    for asked in (ImageToVideo(prompt="any", image=picture), TextToVideo(prompt="any")):
        try:
            completed = generator.complete(asked)
        except UnsupportedTask:
            continue
        return completed.width, completed.height
    return None, None


def _image_of(task: Task) -> Image:
    image = getattr(task, "image", None)
    if image is None or not isinstance(task, ImageToVideo | TrajectoryToVideo):
        raise UnsupportedTask(
            f"letterbox pads a picture or a clip before the generation, and {task.kind} "
            "has none that it can; give it one, put the step after the generation, or leave it out",
            param="kind",
        )
    return image


def _numbers(box: geometry.Box) -> list[int]:
    return [int(side) for side in astuple(box)]


def _mapped(clip: Clip, treat: Callable[[Pixels], Pixels], width: int, height: int) -> MappedFrames:
    return MappedFrames(clip.frames, treat, height, width)


def _padded(clip: Clip, box: geometry.Letterbox, fill: geometry.Fill) -> Clip:
    """The clip on its canvas; the mask too, empty outside."""
    mask = clip.mask
    if mask is not None:
        mask = np.stack([geometry.on_canvas(frame, box) for frame in mask])
    frames = _mapped(
        clip, lambda frame: geometry.on_canvas(frame, box, fill), box.canvas_width, box.canvas_height
    )
    return replace(clip, frames=frames, mask=mask)


def _moved(paths: Trajectories, box: geometry.Letterbox, width: int, height: int) -> Trajectories:
    """Paths over a picture as paths over its canvas."""

    def moved(x: float, y: float) -> tuple[float, float]:
        on_x, on_y = box.to_canvas(Fraction(x) * width, Fraction(y) * height)
        return float(on_x / box.canvas_width), float(on_y / box.canvas_height)

    return paths.model_copy(
        update={"paths": tuple(tuple(moved(*point) for point in path) for path in paths.paths)}
    )


def _scale(clip: Clip, canvas_width: int, canvas_height: int) -> Fraction:
    """How much larger the clip is than its canvas. Raises: InvalidMedia if it has another shape."""
    scale = Fraction(clip.width, canvas_width)
    if abs(clip.height - canvas_height * scale) > 1:
        raise InvalidMedia(
            f"the picture was padded to {canvas_width}x{canvas_height}, but the clip came out as "
            f"{clip.width}x{clip.height}; make it at a size that the model keeps"
        )
    return scale


def _scaled(box: geometry.Box, scale: Fraction) -> geometry.Box:
    """The box in a clip that is larger than its canvas, without the pixels that are border in part."""
    if scale == 1:
        return box
    left, top = ceil(box.left * scale), ceil(box.top * scale)
    right, bottom = int(box.right * scale), int(box.bottom * scale)
    return geometry.Box(left, top, (right - left) // 2 * 2, (bottom - top) // 2 * 2)


def _without(bars: Sides, clip: Clip) -> geometry.Box:
    """What lies between the bars, of even size."""
    width, height = clip.width - bars.left - bars.right, clip.height - bars.top - bars.bottom
    return geometry.Box(bars.left, bars.top, max(2, width // 2 * 2), max(2, height // 2 * 2))
