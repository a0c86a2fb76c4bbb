"""The base class of every step: one half before a generation, one half after it, a note between them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.recipe import Stage
from vitascope.shelf import Item
from vitascope.task import Task

Note = dict[str, Any]


@dataclass(frozen=True)
class Extent:
    """How large a clip is. Units: width and height in pixels, fps in frames a second."""

    num_frames: int
    fps: Fraction
    width: int
    height: int

    @property
    def num_pixels(self) -> int:
        """Over all frames."""
        return self.num_frames * self.width * self.height


class Step(Item):
    """Wraps a generation like an onion: may change the task before it and the clip after it.

    Either half may be left as it is. The note is plain JSON: what `apply` must know of `prepare`.
    """

    def fitted_to(self, generator: Item) -> Self:  # noqa: ARG002
        """This step adapted to `generator`, for example to its native size or its style of prompt."""
        return self

    def check(self, task: Task) -> None:
        """Look at a task before anything is queued or loaded. Raises: UnsupportedTask."""

    def prepare(self, task: Task, context: Context) -> tuple[Task, Note]:  # noqa: ARG002
        """Change the task before the generation. Returns the task for the generator, and a note for `apply`."""
        return task, {}

    def apply(self, clip: Clip, note: Note, modules: Any, context: Context) -> Clip:  # noqa: ARG002
        """Change the clip after the generation. `note` is empty when the step works alone on a file."""
        return clip

    def extent(self, of: Extent) -> Extent:
        """How large a clip will be that this step treats alone, as far as that is known before."""
        return of

    def modules_key(self) -> Hashable:
        """Equal for two records that can share loaded modules; None where there are none to keep."""
        return None if type(self).load is Step.load else self.model_dump_json()

    def load(self, placement: Placement) -> Any:  # noqa: ARG002
        """The modules that `apply` needs; None if it needs none."""
        return None

    def stage(self, **notes: Any) -> Stage:
        """This step's entry in the recipe."""
        return Stage(kind="step", name=self.name, knobs=self.model_dump(mode="json"), notes=notes)
