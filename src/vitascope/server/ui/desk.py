"""What the pages ask of the job office: everything of a user's own jobs, nothing of a model."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from vitascope.catalogue.runnable import ModelFacts, facts_of
from vitascope.engine.machine import Room
from vitascope.errors import VitascopeError
from vitascope.generators import GENERATORS, DiffusersGenerator, KnownModel, for_model, is_here, known_models
from vitascope.jobs.house import PREVIEW
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import plain_fields
from vitascope.jobs.record import DEFAULT_PRIORITY, Job
from vitascope.server.video_request import parse_request, save_upload
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo
from vitascope.workflows import Workflow, load
from vitascope.workflows.workflow import GENERATE, names

PAGE = 24
LIVELY_S = 30.0  # since a worker was heard of
MODES = (TextToVideo.kind, ImageToVideo.kind, VideoToVideo.kind)  # what an order can carry
PRESETS = {"draft": 0.5, "standard": 1.0, "fine": 1.75}  # times the model's own number of steps


@dataclass(frozen=True)
class Choice:
    """A model as a form offers it."""

    name: str
    tasks: tuple[str, ...]
    here: bool
    known: KnownModel | None = None
    facts: ModelFacts | None = None


@dataclass(frozen=True)
class Knob:
    """One setting of a workflow: `interpolate.factor`, its kind, what it is unless set."""

    dotted: str
    kind: type | tuple[str, ...]
    default: Any
    description: str


@dataclass(frozen=True)
class Desk:
    """One tenant's view of the office; `tenant` is found anew with each request."""

    office: Office

    # --- looking

    def page(self, tenant: str, after: str | None = None, limit: int = PAGE) -> list[Job]:
        """The newest jobs, those after `after`."""
        return self.office.ledger.page(tenant, after, limit, newest_first=True)

    def find(self, job_id: str, tenant: str) -> Job | None:
        """A tenant's job, or None."""
        try:
            return self.office.find(job_id, tenant)
        except VitascopeError:
            return None

    def place(self, job: Job) -> int:
        """How many jobs come before a waiting one."""
        return self.office.ledger.num_before(job)

    def counts(self) -> dict[str, int]:
        """How many jobs of all tenants wait and run, and how many workers there are."""
        seen_after = time.time() - LIVELY_S
        workers = sum(slot.seen_at > seen_after for slot in self.office.ledger.slots().values())
        return {**self.office.ledger.counts(), "workers": workers}

    def preview(self, job: Job) -> bytes | None:
        """The small picture of a running job, if its worker has made one."""
        house = self.office.house
        try:
            return house.artifacts.read(house.named(job.id, PREVIEW))
        except VitascopeError:
            return None

    # --- asking

    def submit(self, caller: ApiKey, fields: Mapping[str, Any], upload: str | None = None) -> Job:
        """Queue a job from the fields of the API. Raises: RequestError."""
        order = parse_request(
            {name: value for name, value in fields.items() if value not in (None, "")}
        ).order
        save = None if not upload else lambda path: saved(Path(upload), path)
        return self.office.submit(within(caller, Submission(order, save_reference=save)))

    def again(self, job: Job, caller: ApiKey, changes: Mapping[str, Any]) -> Job:
        """Queue a job once more with some options changed; what it kept of its stages is taken over.

        Raises: RequestError.
        """
        house, source = self.office.house, job.order.reference
        options = {**job.order.options, **changes}
        order = job.order.model_copy(update={"options": options, "reference": None})
        save: Callable[[Path], Any] | None = None
        if source is not None:
            file = house.artifacts.fetch(house.named(job.id, source))
            save = lambda path: shutil.copyfile(file, path)  # noqa: E731
        kept = house.job(job.id) / "clips"
        asked = Submission(
            order,
            remixed_from=job.id,
            save_reference=save,
            kept_clips=kept if kept.is_dir() else None,
        )
        return self.office.submit(within(caller, asked))

    def cancel(self, job_id: str, tenant: str) -> Job:
        """Stop a job. Raises: NotFound."""
        return self.office.cancel(job_id, tenant)

    def delete(self, job_id: str, tenant: str) -> None:
        """Remove an ended job. Raises: NotFound, StillOpen."""
        self.office.delete(job_id, tenant)


def within(caller: ApiKey, asked: Submission) -> Submission:
    """What is asked, as the caller's, within the limits of its key."""
    return replace(
        asked,
        tenant=caller.tenant,
        priority=max(DEFAULT_PRIORITY, caller.best_priority),
        max_open=caller.max_open,
        max_running=caller.max_running,
    )


def saved(source: Path, target: Path) -> None:
    """Copy a file of the page to our own path, within the limits of an upload. Raises: Refusal, InvalidMedia."""
    with source.open("rb") as file:
        save_upload(file, target)


@lru_cache(maxsize=1)
def choices() -> tuple[Choice, ...]:
    """The models that a client may name, those on this machine first."""
    room = Room.here()
    known = [Choice(k.name, k.tasks, is_here(k), k, facts_of(k, room)) for _, k in known_models()]
    bare = [
        Choice(item.name, tuple(kind.kind for kind in item.accepts), True)
        for item in GENERATORS
        if not item.models
    ]
    return tuple(sorted(known, key=lambda choice: not choice.here)) + tuple(bare)


def modes() -> tuple[str, ...]:
    """The kinds of task that an order can carry and some model takes."""
    taken = {task for choice in choices() for task in choice.tasks}
    return tuple(mode for mode in MODES if mode in taken)


@lru_cache(maxsize=64)
def defaults(model: str) -> dict[str, Any]:
    """What a model makes unless told otherwise; empty where that stands in files that are not here."""
    generator = for_model(model)
    if not isinstance(generator, DiffusersGenerator):
        task = generator.complete(TextToVideo(prompt="x"))
        steps = getattr(generator, "num_inference_steps", None)
        found = {name: getattr(task, name) for name in ("width", "height", "num_frames", "fps")}
        return {**found, "fps": float(task.fps or 0), "num_inference_steps": steps}
    try:
        profile = generator.profile()
    except VitascopeError:
        return {}
    names_ = ("width", "height", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt")
    return {**{name: getattr(profile, name) for name in names_}, "fps": float(profile.fps)}


def steps_for(model: str, preset: str) -> int | None:
    """The number of denoising steps of a preset."""
    standard = defaults(model).get("num_inference_steps")
    return None if not standard else max(2, round(standard * PRESETS[preset]))


def workflows() -> list[Workflow]:
    """The built-in workflows."""
    return [load(name) for name in names()]


def knobs(workflow: Workflow) -> list[Knob]:
    """What a request may set of a workflow's steps."""
    chain, found = workflow.chain, []
    items = [*chain.around, *([chain.generator] if chain.generator else []), *chain.after]
    for step_id, item in zip(workflow.ids, items, strict=True):
        if step_id == GENERATE:
            continue
        for name, (kind, field) in plain_fields(type(item)).items():
            found.append(Knob(f"{step_id}.{name}", kind, getattr(item, name), field.description or ""))
    return found


def pretty(value: Any) -> str:
    """JSON, indented for a reader."""
    return json.dumps(value, ensure_ascii=False, indent=2)
