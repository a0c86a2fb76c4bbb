"""What a task gives a pipeline to start from: its pictures and clips."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from vitascope.clip import Pixels
from vitascope.context import Context
from vitascope.task import Task, VideoToVideo


def content(task: Task) -> dict[str, Any]:
    """What a task asks for, its media by content."""
    said = task.described()
    if isinstance(task, VideoToVideo):
        digest = hashlib.sha256(np.ascontiguousarray(task.video.frames[0 : task.num_frames or 0]).tobytes())
        said["video"] = digest.hexdigest()
    return said


def fitted(pixels: Pixels, task: Task, context: Context) -> Any:
    """A PIL picture of the task's size: scaled to cover it, what juts out cut off evenly; never stretched."""
    from PIL import Image, ImageOps

    picture = Image.fromarray(pixels)
    size = (task.width or picture.width, task.height or picture.height)
    if picture.size == size:
        return picture
    hint = "; the step 'letterbox' keeps the whole picture"
    warn_of_cut(pixels, task, context, hint)
    return ImageOps.fit(picture, size, method=Image.Resampling.LANCZOS)


def warn_of_cut(pixels: Pixels, task: Task, context: Context, hint: str = "") -> None:
    """Say that a picture is cut where its shape is not the task's."""
    height, width = pixels.shape[:2]
    wide, high = task.width or width, task.height or height
    if abs(width * high / (height * wide) - 1) > 0.01:
        context.warn(f"{width}x{height} was cut to the shape of {wide}x{high}{hint}")
