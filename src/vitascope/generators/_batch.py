"""Several tasks in one call: what they must share, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitascope.errors import RequestError, UnsupportedTask
from vitascope.task import Task


def one_batch(tasks: Sequence[Task]) -> Task:
    """The first of tasks that may be made together. Raises: RequestError for none, UnsupportedTask for a mixture."""
    if not tasks:
        raise RequestError("a batch needs at least one task")
    shapes = {
        (task.kind, task.width, task.height, task.num_frames, getattr(task, "strength", None))
        for task in tasks
    }
    if len(shapes) > 1:
        raise UnsupportedTask(
            f"the clips of one batch must be of one kind, size, length and strength, not {len(shapes)}"
        )
    return tasks[0]


def with_place(notes: dict[str, Any], index: int, size: int) -> dict[str, Any]:
    """The notes of one clip; a batch of several changes the last bits, so the recipe says so."""
    return notes if size == 1 else {**notes, "batch": {"size": size, "index": index}}
