"""The page Jobs: the queue and the history, one job's clip and recipe, two clips side by side."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import gradio as gr
import yaml

from vitascope.errors import RequestError, VitascopeError
from vitascope.jobs.record import Job
from vitascope.server.ui import fragments
from vitascope.server.ui.create import MAX_SEED, PICK
from vitascope.server.ui.desk import PAGE
from vitascope.server.ui.room import Room
from vitascope.server.ui.stage_view import StageView, Watched
from vitascope.workflows import load
from vitascope.workflows.workflow import GENERATE

FILTERS = ("all", "in_progress", "completed", "failed")
NUM_TO_COMPARE = 60


class JobsPage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room, words = room, room.words
        self.last = gr.State(None)  # the job after which the page that is shown begins
        with gr.Row(elem_classes="vs-jobs"):
            with gr.Column(scale=6, min_width=300):
                self.filter = gr.Radio(
                    [(words[name], name) for name in FILTERS],
                    value="all",
                    label=words["filter"],
                    elem_classes="vs-segments",
                    elem_id="jobs-filter",
                )
                self.list = gr.HTML("", elem_id="jobs-list", js_on_load=PICK, apply_default_css=False)
                with gr.Row(elem_classes="vs-actions"):
                    self.newer = gr.Button(words["newer"], size="sm")
                    self.older = gr.Button(words["older"], size="sm")
            with gr.Column(scale=7, min_width=300, elem_classes="vs-right"):
                self._detail()
        with gr.Accordion(
            words["compare"], open=False, elem_id="jobs-compare", elem_classes="vs-details"
        ) as box:
            with gr.Row():
                self.left = gr.Dropdown([], label=words["compare_a"], elem_id="compare-left", min_width=140)
                self.right = gr.Dropdown([], label=words["compare_b"], elem_id="compare-right", min_width=140)
            self.both = gr.HTML(
                fragments.comparison(None, None, words), elem_id="compare", apply_default_css=False
            )
        self.compare = box
        self._wire()

    def _detail(self) -> None:
        words = self.room.words
        self.stage = StageView(self.room, "jobs")
        with gr.Row(elem_classes="vs-actions", visible=False) as self.actions:
            self.again = gr.Button(words["again"], elem_id="job-again")
            self.again_seed = gr.Button(words["again_seed"], elem_id="job-again-seed")
            self.delete = gr.Button(words["delete"], variant="stop", elem_id="job-delete")
        with gr.Accordion(words["rerun"], open=True, visible=False, elem_classes="vs-details") as self.rerun:
            with gr.Row():
                self.step = gr.Dropdown([], label=words["rerun_step"], min_width=120, elem_id="rerun-step")
                self.changes = gr.Textbox(
                    label=words["rerun_changes"],
                    info=words["rerun_info"],
                    placeholder="factor=4",
                    elem_id="rerun-changes",
                )
            self.rerun_go = gr.Button(words["rerun_go"], elem_id="rerun-go")
        self.recipe = gr.HTML("", elem_id="job-recipe", apply_default_css=False)

    def _wire(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        listed = [self.list, self.last]
        self.filter.change(lambda: None, None, self.last, **quiet).then(
            self.listed, [self.filter, self.last, self.stage.watched], self.list, **quiet
        )
        page = [self.filter, self.last, self.stage.watched]
        self.older.click(self._older, page, listed, **quiet)
        self.newer.click(self._newest, page, listed, **quiet)
        detail = [*self.stage.outputs, self.actions, self.rerun, self.step, self.recipe]
        self.list.click(self._chosen, None, detail, **quiet)
        self.again.click(self._again, self.stage.watched, detail, **quiet)
        self.again_seed.click(self._again_with_seed, self.stage.watched, detail, **quiet)
        self.rerun_go.click(self._rerun, [self.stage.watched, self.step, self.changes], detail, **quiet)
        self.delete.click(self._delete, page, [*detail, self.list], **quiet)
        self.stage.screen.change(self._recipe_of, self.stage.watched, self.recipe, **quiet)
        self.compare.expand(self._comparable, None, [self.left, self.right], **quiet)
        for side in (self.left, self.right):
            side.change(self._compared, [self.left, self.right], self.both, **quiet)

    # --- the list

    def listed(self, wanted: str, after: str | None, watched: Watched, request: gr.Request) -> str:
        """One page of jobs as cards."""
        jobs = self._page(wanted, after, self.room.tenant(request))
        return fragments.cards(jobs, self.room.words, watched.job_id)

    def _page(self, wanted: str, after: str | None, tenant: str) -> list[Job]:
        jobs = self.room.desk.page(tenant, after)
        open_too = wanted == "in_progress"
        return [job for job in jobs if wanted in ("all", job.status) or (open_too and job.is_open)]

    def _older(self, wanted: str, after: str | None, watched: Watched, request: gr.Request) -> list[Any]:
        tenant = self.room.tenant(request)
        jobs = self.room.desk.page(tenant, after)
        if len(jobs) < PAGE:
            return [gr.skip(), after]
        return [self.listed(wanted, jobs[-1].id, watched, request), jobs[-1].id]

    def _newest(self, wanted: str, _: str | None, watched: Watched, request: gr.Request) -> list[Any]:
        return [self.listed(wanted, None, watched, request), None]

    # --- one job

    def _chosen(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        job = self.room.desk.find(event.job, self.room.tenant(request))
        return self._shown(job)

    def _shown(self, job: Job | None) -> list[Any]:
        if job is None:
            nothing = self.stage.outputs
            return [
                *([gr.skip()] * len(nothing)),
                gr.update(visible=False),
                gr.update(visible=False),
                gr.skip(),
                "",
            ]
        ids = load(job.order.workflow).ids if job.order.workflow else ()
        steps = [step_id for step_id in ids if step_id != GENERATE]
        return [
            *self.stage.show(job),
            gr.update(visible=True),
            gr.update(visible=bool(steps)),
            gr.update(choices=steps, value=steps[0] if steps else None),
            fragments.recipe(job, self.room.words),
        ]

    def _recipe_of(self, watched: Watched, request: gr.Request) -> Any:
        job = self.room.desk.find(watched.job_id, self.room.tenant(request))
        return fragments.recipe(job, self.room.words) if job is not None else ""

    def _again(self, watched: Watched, request: gr.Request) -> list[Any]:
        return self._made_again(watched, {}, request)

    def _again_with_seed(self, watched: Watched, request: gr.Request) -> list[Any]:
        return self._made_again(watched, {"seed": secrets.randbelow(MAX_SEED)}, request)

    def _rerun(self, watched: Watched, step: str, changes: str, request: gr.Request) -> list[Any]:
        try:
            return self._made_again(watched, settings_of(step, changes), request)
        except RequestError as error:
            raise self.room.complaint(error) from error

    def _made_again(self, watched: Watched, changes: Mapping[str, Any], request: gr.Request) -> list[Any]:
        caller = self.room.caller(request)
        job = self.room.desk.find(watched.job_id, caller.tenant)
        if job is None:
            return self._shown(None)
        try:
            return self._shown(self.room.desk.again(job, caller, changes))
        except VitascopeError as error:
            raise self.room.complaint(error) from error

    def _delete(self, wanted: str, after: str | None, watched: Watched, request: gr.Request) -> list[Any]:
        try:
            self.room.desk.delete(watched.job_id, self.room.caller(request).tenant)
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        gr.Info(self.room.words["deleted"], duration=4)
        hidden = gr.update(visible=False)
        stage = [Watched(), self.stage.blank, hidden, hidden, gr.Timer(active=False)]
        return [*stage, hidden, hidden, gr.skip(), "", self.listed(wanted, after, Watched(), request)]

    # --- two jobs

    def _comparable(self, request: gr.Request) -> list[Any]:
        jobs = self.room.desk.page(self.room.tenant(request), limit=NUM_TO_COMPARE)
        choices = [
            (
                f"{(job.order.prompt or job.order.model)[:48]} · {fragments.seed_of(job) or job.id[-6:]}",
                job.id,
            )
            for job in jobs
            if job.status == "completed"
        ]
        return [gr.update(choices=choices), gr.update(choices=choices)]

    def _compared(self, left: str | None, right: str | None, request: gr.Request) -> str:
        tenant = self.room.tenant(request)
        found = [self.room.desk.find(job_id, tenant) if job_id else None for job_id in (left, right)]
        return fragments.comparison(found[0], found[1], self.room.words)


def settings_of(step: str, changes: str) -> dict[str, Any]:
    """`factor=4, method=dis` as settings of one step. Raises: RequestError."""
    settings = {}
    for pair in filter(None, (part.strip() for part in changes.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise RequestError(f"{pair!r} is not name=value")
        try:
            settings[f"{step}.{name.strip()}"] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RequestError(f"the value of {pair!r} cannot be read") from error
    return settings
