"""A chain: steps around a generator (or a given clip), and steps after it, as data."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, SerializeAsAny, model_validator

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.errors import RequestError
from vitascope.generators.base import Generator
from vitascope.recipe import Recipe
from vitascope.steps.base import Note, Step
from vitascope.task import Task


class Chain(BaseModel):
    """What a workflow is made of.

    Steps `around` the generator prepare the task in their order and treat the clip in the opposite order,
    like the skins of an onion; steps `after` it treat the clip in their order. Without a generator the chain
    starts from a given clip and has no `around`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    around: tuple[SerializeAsAny[Step], ...] = ()
    generator: SerializeAsAny[Generator] | None = None
    after: tuple[SerializeAsAny[Step], ...] = ()

    @model_validator(mode="after")
    def _around_needs_a_generator(self) -> Self:
        if self.around and self.generator is None:
            raise ValueError(f"step {self.around[0].name!r} goes around a generator, and the chain has none")
        return self

    def check(self, task: Task) -> None:
        """Look at the whole chain before anything is queued or loaded.

        Steps may still change the task when they prepare it; the generator then checks it again.
        Raises: UnsupportedTask, RequestError.
        """
        if self.generator is None:
            raise RequestError("this chain starts from a clip: give it one instead of a task")
        self.generator.check_kind(task)
        for step in (*self.around, *self.after):
            step.check(task)
        if not self.around:
            self.generator.complete(task)

    def run(self, task: Task, engine: Engine, context: Context) -> Clip:
        """Make one clip from a task. Raises: UnsupportedTask, ResourceError, RunError, JobCancelled."""
        self.check(task)
        assert self.generator is not None, "check() refuses a chain without one"
        notes: list[Note] = []
        prepared = task
        for step in self.around:
            prepared, note = step.prepare(prepared, context)
            notes.append(note)
        prepared = self.generator.complete(prepared)
        modules = engine.modules(self.generator)
        (clip,) = self.generator.generate([prepared], modules, context)
        for step, note in zip(reversed(self.around), reversed(notes), strict=True):
            clip = _apply(step, clip, note, engine, context)
        return self.run_after(clip, engine, context)

    def run_after(self, clip: Clip, engine: Engine, context: Context) -> Clip:
        """Treat a given clip with the steps `after`."""
        for step in self.after:
            clip = _apply(step, clip, {}, engine, context)
        return clip


def _apply(step: Step, clip: Clip, note: Note, engine: Engine, context: Context) -> Clip:
    context.check_cancelled()
    before: Recipe = clip.recipe
    treated = step.apply(clip, note, engine.modules(step), context)
    assert treated is clip or treated.recipe != before, f"{step.name} forgot the recipe"
    return treated
