"""The stage: one job as it comes into being, with its buttons. Create and Workflows each have one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vitascope.errors import VitascopeError
from vitascope.jobs.record import Job
from vitascope.server.ui import fragments
from vitascope.server.ui.room import Room

TICK_S = 0.7
MIN_STEPS_FOR_ETA = 2


@dataclass
class Watched:
    """What a browser's stage shows. `since`: when which denoising step was first seen, for the time left."""

    job_id: str = ""
    percent: int = 0
    since: tuple[float, int] | None = None
    shown: str = ""

    def eta_s(self, job: Job) -> float | None:
        """Time left by the pace of the denoising steps, once a few were seen. Units: seconds."""
        if job.stage != "denoise" or job.total == 0:
            return None
        now = time.monotonic()
        if self.since is None:
            self.since = (now, job.step)
        seconds, steps = now - self.since[0], job.step - self.since[1]
        if steps < MIN_STEPS_FOR_ETA:
            return None
        return seconds / steps * (job.total - job.step)


class StageView:
    """Builds the stage where it is called, and follows a job on it."""

    def __init__(self, room: Room, name: str, *, offers_seed: bool = False) -> None:
        self.room, words, self.offers_seed = room, room.words, offers_seed
        self.blank = fragments.empty_stage(words, name)
        self.watched = gr.State(Watched())
        self.screen = gr.HTML(
            self.blank,
            elem_id=f"{name}-stage",
            elem_classes="vs-stage-box",
            apply_default_css=False,
        )
        with gr.Row(elem_classes="vs-actions"):
            self.cancel = gr.Button(
                words["cancel"], elem_id=f"{name}-cancel", variant="stop", size="md", visible=False
            )
            self.reuse = gr.Button(words["reuse_seed"], elem_id=f"{name}-reuse", size="md", visible=False)
        self.timer = gr.Timer(TICK_S, active=False)
        self.outputs = [self.watched, self.screen, self.cancel, self.reuse, self.timer]
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        self.timer.tick(self._tick, self.watched, self.outputs, **quiet)
        self.cancel.click(self._cancel, self.watched, self.outputs, **quiet)

    def show(self, job: Job) -> list[Any]:
        """The outputs that put a job on the stage."""
        return self._drawn(Watched(job.id), job)

    def _tick(self, watched: Watched, request: gr.Request) -> list[Any]:
        job = self.room.desk.find(watched.job_id, self.room.tenant(request))
        if job is None:
            return [
                Watched(),
                self.blank,
                gr.update(visible=False),
                gr.update(visible=False),
                gr.Timer(active=False),
            ]
        return self._drawn(watched, job)

    def _cancel(self, watched: Watched, request: gr.Request) -> list[Any]:
        try:
            job = self.room.desk.cancel(watched.job_id, self.room.caller(request).tenant)
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        return self._drawn(watched, job)

    def _drawn(self, watched: Watched, job: Job) -> list[Any]:
        html = fragments.stage(
            job,
            self.room.words,
            eta_s=watched.eta_s(job),
            place=self.room.desk.place(job) if job.status == "queued" else 0,
            preview=self.room.desk.preview(job) if job.is_open else None,
            grown=watched.percent,
        )
        changed = html != watched.shown  # a video that is drawn again would start again
        after = Watched(job.id, job.progress, watched.since, html)
        has_seed = self.offers_seed and fragments.seed_of(job) is not None and job.status == "completed"
        return [
            after,
            html if changed else gr.skip(),
            gr.update(visible=job.is_open),
            gr.update(visible=has_seed),
            gr.Timer(active=job.is_open),
        ]
