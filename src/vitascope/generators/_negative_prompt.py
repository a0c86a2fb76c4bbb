"""Families whose authors sample with a negative prompt of their own."""

from __future__ import annotations

from typing import TypeVar

from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.task import Task

TaskT = TypeVar("TaskT", bound=Task)


class NegativePromptByDefault(DiffusersGenerator):
    """A family that fills in its authors' negative prompt where the task has none.

    `negative_prompt` is theirs; the knob set to "" gives a run without any. The recipe shows what was used.
    """

    negative_prompt: str = ""

    def complete(self, task: TaskT) -> TaskT:
        """As for every family, and with a negative prompt."""
        completed = super().complete(task)
        if completed.negative_prompt or not self.default_negative_prompt(completed):
            return completed
        return completed.model_copy(update={"negative_prompt": self.default_negative_prompt(completed)})

    def default_negative_prompt(self, task: Task) -> str:  # noqa: ARG002
        """What stands for a missing negative prompt of this task."""
        return self.negative_prompt
