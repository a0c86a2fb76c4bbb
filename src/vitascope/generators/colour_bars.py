"""A generator without a model, for trying workflows, services and displays."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.generators._batch import with_place
from vitascope.generators.base import Generator
from vitascope.recipe import Recipe
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

TaskT = TypeVar("TaskT", bound=Task)


class ColourBars(Generator):
    """Moving colour bars, different for each prompt and seed; needs no weights and no GPU.

    From a picture they slide over it, beginning with the picture itself; over a clip they lie as a veil.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo, VideoToVideo)

    num_inference_steps: int = Field(4, ge=1, le=1000)
    seconds_a_step: float = Field(0.0, ge=0, le=60)  # lets a service be tried under a known load

    def complete(self, task: TaskT) -> TaskT:
        """The task at 128 x 128, 17 frames, 8 frames a second where neither it nor its clip says otherwise."""
        self.check_kind(task)
        defaults: dict[str, Any] = {"width": 128, "height": 128, "num_frames": 17, "fps": Fraction(8)}
        if isinstance(task, VideoToVideo):
            clip = task.video
            defaults = {
                "width": clip.width,
                "height": clip.height,
                "num_frames": clip.num_frames,
                "fps": clip.fps,
            }
        return task.model_copy(update={k: v for k, v in defaults.items() if getattr(task, k) is None})

    def modules_key(self) -> Hashable:
        """None: there are no modules to keep."""
        return None

    def load(self, placement: Placement) -> tuple[str, ...]:
        """Nothing to load: what is to be said of a speed word, which has nothing to hasten here.

        Raises: as `levers.decide`, for a switch that would have no effect.
        """
        from vitascope.engine.levers import decide
        from vitascope.engine.subject import NOTHING

        fallbacks = decide(NOTHING, placement, None).fallbacks
        return tuple(f"speed={placement.speed!r}: {fallback}" for fallback in fallbacks)

    def generate(self, tasks: Sequence[Task], modules: Any, context: Context) -> list[Clip]:
        """Bars that move by one bar width over the clip."""
        for line in modules or ():
            context.warn(line)
        for step in range(self.num_inference_steps):
            context.progress("denoise", step + 1, self.num_inference_steps)
            context.cancel.wait(self.seconds_a_step)
        context.check_cancelled()
        return [self._bars(task, with_place({}, index, len(tasks))) for index, task in enumerate(tasks)]

    def _bars(self, task: Task, notes: dict[str, Any]) -> Clip:
        assert task.width and task.height and task.num_frames and task.fps, "complete() fills these in"
        digest = hashlib.sha256(f"{task.seed}:{task.prompt}".encode()).digest()
        colours = np.frombuffer(digest[:24], np.uint8).reshape(8, 3)
        x = np.arange(task.width)[None, :]
        shift = np.arange(task.num_frames)[:, None] * task.width / (8 * task.num_frames)
        bars = colours[((x + shift) * 8 // task.width).astype(int) % 8]
        frames = self._under(task, np.repeat(bars[:, None], task.height, axis=1))
        return Clip(frames, task.fps, recipe=Recipe().then(self.stage(task, **notes)))

    def _under(self, task: Task, bars: Pixels) -> Pixels:
        """The bars over the task's picture or clip."""
        size = (task.width or 0, task.height or 0)
        if isinstance(task, ImageToVideo):
            picture = _scaled(task.image.pixels, size)
            reach = np.linspace(0, size[0], len(bars)).astype(int)
            return np.stack(
                [np.hstack([row[:, :at], picture[:, at:]]) for row, at in zip(bars, reach, strict=True)]
            )
        if isinstance(task, VideoToVideo):
            clip = np.stack([_scaled(frame, size) for frame in task.video.frames[0 : len(bars)]])
            return (clip * (1 - task.strength) + bars[: len(clip)] * task.strength).astype(np.uint8)
        return bars


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size))
