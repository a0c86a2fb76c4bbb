"""A chain: steps around a generator (or a given clip), and steps after it, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializeAsAny, model_validator

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.weights import fingerprints
from vitascope.errors import RequestError, ResourceError
from vitascope.generators.base import Generator
from vitascope.labels.policy import keep_labels, label_of
from vitascope.steps.base import Note, Step
from vitascope.task import Task
from vitascope.workflows.store import ClipStore, clip_key, key_of


@dataclass(frozen=True)
class _Treatment:
    """A step that treats the clip: its note, and the task it had prepared where it went around the generator."""

    step: Step
    note: Note = field(default_factory=dict)
    asked: dict[str, Any] | None = None


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
        generator = self._generator()
        generator.check_kind(task)
        for step in (*self._skins, *self.after):
            step.check(task)
        if not self.around:
            generator.complete(task)

    def run(self, task: Task, engine: Engine, context: Context, store: ClipStore | None = None) -> Clip:
        """Make one clip from a task; with a store, start after the last stage that it still has.

        Raises: UnsupportedTask, ResourceError, RunError, JobCancelled.
        """
        self.check(task)
        generator = self._generator()
        prepared, around = self._prepare(task, context)
        completed = generator.complete(prepared)
        key = ""
        if store:
            made_by = (generator.name, generator.model_dump(mode="json"), generator.contents())
            key = key_of(*made_by, *_asked(task, completed), engine.asked.deciding())

        def generate() -> Clip:
            clip: Clip = engine.generate(generator, [completed], context)[0]
            return _labelled_as(clip, task)

        return _treated(key, generate, self._work(around), engine, context, store)

    def run_after(self, clip: Clip, engine: Engine, context: Context, store: ClipStore | None = None) -> Clip:
        """Treat a given clip with the steps `after`; with a store, as `run`."""
        key = clip_key(clip) if store else ""
        return _treated(key, partial(_itself, clip), self._work([]), engine, context, store)

    def run_batch(self, tasks: Sequence[Task], engine: Engine, context: Context) -> list[Clip]:
        """One clip a task, all denoised together, in order.

        The last bits may differ from making them one at a time, and the recipes say so. Raises: as `run`.
        """
        for task in tasks:
            self.check(task)
        generator = self._generator()
        prepared = [self._prepare(task, context) for task in tasks]
        completed = [generator.complete(task) for task, _ in prepared]
        clips = engine.generate(generator, completed, context)
        return [
            _treated("", partial(_labelled_as, clip, task), self._work(around), engine, context, None)
            for task, clip, (_, around) in zip(tasks, clips, prepared, strict=True)
        ]

    def _generator(self) -> Generator:
        if self.generator is None:
            raise RequestError("this chain starts from a clip: give it one instead of a task")
        return self.generator

    @property
    def _skins(self) -> tuple[Step, ...]:
        """The steps around the generator, each fitted to it."""
        if self.generator is None:
            return ()
        return tuple(step.fitted_to(self.generator) for step in self.around)

    def _prepare(self, task: Task, context: Context) -> tuple[Task, list[_Treatment]]:
        around = []
        for step in self._skins:
            asked = task.described()
            task, note = step.prepare(task, context)
            around.append(_Treatment(step, note, asked))
        return task, around

    def _work(self, around: Sequence[_Treatment]) -> list[_Treatment]:
        """The steps that treat the clip, in order."""
        return [*reversed(around), *(_Treatment(step) for step in self.after)]


def _itself(clip: Clip) -> Clip:
    return clip


def _brought(task: Task) -> Clip | Image | None:
    """The clip or picture that a task starts from."""
    return getattr(task, "video", None) or getattr(task, "image", None)


def _labelled_as(clip: Clip, task: Task) -> Clip:
    brought = _brought(task)
    return clip if brought is None else keep_labels(clip, brought)


def _asked(task: Task, completed: Task) -> tuple[Any, ...]:
    """All of a task that decides its clip: a file's content, which may change under its name, and its label."""
    brought, given = _brought(task), getattr(completed, "video", None)
    label = None if brought is None else label_of(brought)
    content = None if given is None else clip_key(given, completed.num_frames)
    return completed.described(), content, label and label.model_dump(mode="json")


def _treated(
    key: str,
    source: Callable[[], Clip],
    work: Sequence[_Treatment],
    engine: Engine,
    context: Context,
    store: ClipStore | None,
) -> Clip:
    """The clip of `source`, treated by the steps of `work`; what `store` already has is not made again."""
    keys = [key]
    for treatment in work:
        step, knobs = treatment.step, treatment.step.model_dump(mode="json")
        contents = fingerprints(knobs) if store else []
        keys.append(key_of(keys[-1], step.name, knobs, contents, treatment.note))
    clip, done = None, len(keys)
    while store and clip is None and done > 0:
        done -= 1
        clip = store.get(keys[done])
    if clip is None:
        clip, done = source(), 0
        clip = _kept(store, keys[0], clip, context)
    for treatment, stage_key in zip(work[done:], keys[done + 1 :], strict=True):
        clip = _apply(treatment, clip, engine, context)
        clip = _kept(store, stage_key, clip, context)
    return clip


def _kept(store: ClipStore | None, key: str, clip: Clip, context: Context) -> Clip:
    """The clip, put into the store; no room for it there costs the rerun, not this run."""
    if store is None:
        return clip
    try:
        return store.put(key, clip)
    except ResourceError as error:
        context.warn(f"this stage is not kept for reruns: {error}")
        return clip


def _apply(treatment: _Treatment, clip: Clip, engine: Engine, context: Context) -> Clip:
    context.check_cancelled()
    step, note, before = treatment.step, treatment.note, clip.recipe
    treated = step.apply(clip, note, engine.modules(step), context)
    if treated is clip:
        if not note:
            return clip
        treated = replace(clip, recipe=before.then(step.stage(**note)))  # its work was before the generation
    assert treated.recipe != before, f"{step.name} forgot the recipe"
    if treatment.asked is None:
        return treated
    return replace(treated, recipe=treated.recipe.asked(treatment.asked))
