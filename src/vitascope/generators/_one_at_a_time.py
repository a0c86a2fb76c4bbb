"""Families whose pipelines make one clip a call: they take one picture, or mix up the clips of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.task import ImageToVideo, Task


class OneAtATime(DiffusersGenerator):
    """A family that makes the clips of a batch one after the other, for the kinds of task in `singly`."""

    singly: ClassVar[tuple[type[Task], ...]] = (ImageToVideo,)

    def generate(self, tasks: Sequence[Task], modules: LoadedPipeline, context: Context) -> list[Clip]:
        """As for every family; no clip of it depends on the others."""
        if len(tasks) < 2 or not isinstance(tasks[0], self.singly):
            return super().generate(tasks, modules, context)
        clips = []
        for task in tasks:
            clips += super().generate([task], modules, context)
        return clips
