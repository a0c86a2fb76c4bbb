"""The page Fine-tune: clips and captions in, a training watched on its curve and samples, a LoRA out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vitascope.errors import VitascopeError
from vitascope.jobs.record import Job
from vitascope.server.ui import fragments, training_fragments
from vitascope.server.ui import training_desk as desks
from vitascope.server.ui.create import PICK, CreatePage
from vitascope.server.ui.room import Room
from vitascope.server.ui.training_desk import LENGTHS, Lesson, TrainingDesk, usual
from vitascope.task import ImageToVideo, TextToVideo

TICK_S = 1.0
DROPPED = [
    ".mp4",
    ".mov",
    ".m4v",
    ".webm",
    ".mkv",
    ".gif",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".txt",
    ".csv",
    ".jsonl",
]
NUM_CHECKPOINTS, NUM_TIMES_SAMPLED = 10, 4


@dataclass
class WatchedTraining:
    """What a browser's page shows, and how it looked when it was drawn last."""

    job_id: str = ""
    percent: int = 0
    shown: str = ""
    samples: str = ""


class FineTunePage:
    """Builds the page where it is called. `create`: where a finished LoRA is tried; `tabs`: how to get there."""

    def __init__(self, room: Room, create: CreatePage, tabs: gr.Tabs) -> None:
        self.room, self.create, self.tabs = room, create, tabs
        self.desk = TrainingDesk(room.desk.office)
        words = room.words
        with gr.Row(elem_classes="vs-create"):
            with gr.Column(scale=5, min_width=300, elem_classes="vs-form"):
                self._data()
                self._settings()
                self.start = gr.Button(
                    words["train_start"], variant="primary", size="lg", elem_id="train-start"
                )
            with gr.Column(scale=8, min_width=300, elem_classes="vs-right"):
                self._stage()
        self._wire()

    def _data(self) -> None:
        words, offered = self.room.words, self.desk.datasets()
        self.dataset = gr.Dropdown(
            [(words["my_clips"], ""), *((name, name) for name in offered)],
            value="",
            label=words["train_from"],
            visible=bool(offered),
            elem_id="train-dataset",
        )
        self.files = gr.File(
            label=words["train_clips"],
            file_count="multiple",
            file_types=DROPPED,
            height=130,
            elem_id="train-files",
        )
        self.strip = gr.HTML("", elem_id="train-strip", apply_default_css=False)
        self.captions = gr.Dataframe(
            headers=[words["clip_name"], words["caption"]],
            datatype="str",
            type="array",
            column_count=2,
            static_columns=[0],
            column_widths=["36%", "64%"],
            interactive=True,
            wrap=True,
            visible=False,
            max_height=300,
            label=words["captions"],
            buttons=[],
            elem_id="train-captions",
        )

    def _settings(self) -> None:
        words, models = self.room.words, desks.models()
        with gr.Row():
            self.name = gr.Textbox(
                label=words["lora_name"], value="my-style", max_lines=1, min_width=130, elem_id="train-name"
            )
            self.trigger = gr.Textbox(
                label=words["trigger"],
                placeholder="inkwash",
                max_lines=1,
                min_width=130,
                elem_id="train-trigger",
            )
        named = [(name if here else f"{name} · {words['not_here']}", name) for name, here in models]
        self.model = gr.Dropdown(named, value=named[0][1], label=words["base_model"], elem_id="train-model")
        self.prompts = gr.Textbox(
            label=words["sample_prompts"],
            info=words["sample_prompts_info"],
            placeholder=words["sample_prompts_hint"],
            lines=2,
            max_lines=6,
            elem_id="train-prompts",
        )
        self.length = gr.Radio(
            [(words[name], name) for name in LENGTHS],
            value="standard",
            label=words["train_length"],
            elem_classes="vs-segments",
            elem_id="train-length",
        )
        with gr.Accordion(words["details"], open=False, elem_classes="vs-details", elem_id="train-details"):
            self._numbers(usual(models[0][0]))

    def _numbers(self, told: Mapping[str, Any]) -> None:
        """Fields for the numbers of a recipe; `told`: the model's usual ones."""
        self.numbers = {}
        for row in (("steps", "batch_size"), ("rank", "lr"), ("width", "height"), ("num_frames", "every")):
            with gr.Row():
                for name in row:
                    value = told.get(name, told["steps"] // NUM_TIMES_SAMPLED)
                    label = self.room.words[{"steps": "train_steps", "every": "sample_every"}.get(name, name)]
                    self.numbers[name] = gr.Number(
                        value, label=label, minimum=0, min_width=90, elem_id=f"train-{name}"
                    )

    def _stage(self) -> None:
        words = self.room.words
        self.blank = fragments.empty_stage(words, "train")
        self.watched = gr.State(WatchedTraining())
        self.screen = gr.HTML(
            self.blank, elem_id="train-stage", elem_classes="vs-stage-box", apply_default_css=False
        )
        with gr.Row(elem_classes="vs-actions"):
            self.attempt = gr.Button(words["try_it"], variant="primary", visible=False, elem_id="train-try")
            self.pause = gr.Button(words["pause"], variant="stop", visible=False, elem_id="train-pause")
            self.resume = gr.Button(words["resume"], visible=False, elem_id="train-resume")
            self.delete = gr.Button(words["delete"], variant="stop", visible=False, elem_id="train-delete")
        self.samples = gr.HTML("", elem_id="train-samples", apply_default_css=False)
        gr.HTML(f'<h2 class="vs-h">{words["trainings"]}</h2>', apply_default_css=False)
        self.list = gr.HTML("", elem_id="train-list", js_on_load=PICK, apply_default_css=False)
        self.timer = gr.Timer(TICK_S, active=False)
        self.outputs = [self.watched, self.screen, self.samples, self.attempt, self.pause]
        self.outputs += [self.resume, self.delete, self.timer]

    def _wire(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        self.files.change(self._dropped, self.files, [self.strip, self.captions], **quiet)
        self.dataset.change(
            lambda name: [gr.update(visible=not name), gr.update(visible=False), ""],
            self.dataset,
            [self.files, self.captions, self.strip],
            **quiet,
        )
        shape = [self.numbers[name] for name in self.numbers]
        for chosen in (self.model, self.length):
            chosen.change(self._usual, [self.model, self.length], [*shape, self.prompts], **quiet)
        form = [
            self.dataset,
            self.files,
            self.captions,
            self.name,
            self.trigger,
            self.model,
            self.prompts,
            *shape,
        ]
        self.start.click(self._start, form, [*self.outputs, self.list], show_progress="minimal", queue=True)
        self.timer.tick(self._tick, self.watched, self.outputs, **quiet)
        self.list.click(self._chosen, None, self.outputs, **quiet)
        for button, action in (
            (self.pause, self._pause),
            (self.resume, self._resume),
            (self.delete, self._delete),
        ):
            button.click(action, self.watched, self.outputs, **quiet)
        made = [self.tabs, self.create.mode, self.create.model, self.create.loras, self.create.prompt]
        self.attempt.click(self._try, self.watched, made, **quiet)

    # --- the form

    def _dropped(self, files: list[str] | None) -> list[Any]:
        lessons = self._lessons(files)
        rows = [[lesson.path.name, lesson.caption] for lesson in lessons]
        strip = training_fragments.dropped([lesson.path for lesson in lessons], self.room.words)
        return [strip, gr.update(value=rows, visible=bool(rows))]

    def _lessons(self, files: list[str] | None) -> list[Lesson]:
        try:
            return desks.lessons_in(files or [])
        except VitascopeError as error:
            raise self.room.complaint(error) from error

    def _usual(self, model: str, length: str) -> list[Any]:
        told = usual(model)
        steps = max(1, round(told["steps"] * LENGTHS[length]))
        told |= {"steps": steps, "every": max(1, steps // NUM_TIMES_SAMPLED)}
        return [*(told[name] for name in self.numbers), gr.update(visible=desks.makes_from_words(model))]

    def _start(
        self,
        dataset: str,
        files: list[str] | None,
        table: list[list[str]],
        name: str,
        trigger: str,
        model: str,
        prompts: str,
        request: gr.Request,
        *numbers: float | None,
    ) -> list[Any]:
        words, caller = self.room.words, self.room.caller(request, "train")
        captions = {str(row[0]): str(row[1] or "") for row in table or [] if row and row[0]}
        lessons = [
            Lesson(lesson.path, captions[lesson.path.name])
            for lesson in ([] if dataset else self._lessons(files))
            if lesson.path.name in captions
        ]
        if not dataset and not lessons:
            raise gr.Error(words["need_clips"], duration=6, print_exception=False)
        given = {key: value for key, value in zip(self.numbers, numbers, strict=True) if value}
        wanted = [line.strip() for line in (prompts or "").splitlines() if line.strip()]
        fields = {
            "model": model,
            "suffix": (name or "").strip(),
            "recipe": recipe_from(given, model, wanted, trigger.strip(), dataset or "uploads"),
        }
        try:
            job = self.desk.train(caller, fields, lessons)
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        return [*self._drawn(WatchedTraining(), job), self.cards(caller.tenant, job.id)]

    # --- one training

    def _tick(self, watched: WatchedTraining, request: gr.Request) -> list[Any]:
        return self._drawn(watched, self.desk.find(watched.job_id, self.room.tenant(request)))

    def _chosen(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        return self._drawn(WatchedTraining(), self.desk.find(event.job, self.room.tenant(request)))

    def _pause(self, watched: WatchedTraining, request: gr.Request) -> list[Any]:
        return self._acted(watched, request, self.desk.pause)

    def _resume(self, watched: WatchedTraining, request: gr.Request) -> list[Any]:
        return self._acted(watched, request, self.desk.resume)

    def _delete(self, watched: WatchedTraining, request: gr.Request) -> list[Any]:
        return self._acted(watched, request, self.desk.delete)

    def _acted(self, watched: WatchedTraining, request: gr.Request, action: Any) -> list[Any]:
        caller = self.room.caller(request, "train")
        try:
            return self._drawn(watched, action(watched.job_id, caller.tenant))
        except VitascopeError as error:
            raise self.room.complaint(error) from error

    def _drawn(self, watched: WatchedTraining, job: Job | None) -> list[Any]:
        if job is None or job.order.training is None:
            hidden = [gr.update(visible=False)] * 4
            return [WatchedTraining(), self.blank, "", *hidden, gr.Timer(active=False)]
        place = self.room.desk.place(job) if job.status == "queued" else 0
        html = training_fragments.training(job, self.room.words, place, watched.percent)
        clips = training_fragments.samples(job, self.room.words)
        same = watched.job_id == job.id
        return [
            WatchedTraining(job.id, job.progress, html, clips),
            gr.skip() if same and html == watched.shown else html,
            gr.skip() if same and clips == watched.samples else clips,
            gr.update(visible=job.status == "completed"),
            gr.update(visible=job.is_open),
            gr.update(visible=job.status == "paused"),
            gr.update(visible=not job.is_open),
            gr.Timer(active=job.is_open),
        ]

    def cards(self, tenant: str, chosen: str) -> str:
        """The newest trainings as cards."""
        return training_fragments.listed(self.desk.page(tenant), self.room.words, chosen)

    def _try(self, watched: WatchedTraining, request: gr.Request) -> list[Any]:
        """Go to the page Create, with the base model and the LoRA set, and the first sample's words."""
        tenant = self.room.tenant(request)
        job = self.desk.find(watched.job_id, tenant)
        if job is None or job.order.training is None or "lora" not in job.result:
            return [gr.skip()] * 5
        recipe = job.order.training.recipe
        mode = TextToVideo.kind if desks.makes_from_words(recipe.model) else ImageToVideo.kind
        prompt = next(iter(recipe.validation.prompts), recipe.data[0].trigger)
        loras = gr.update(choices=self.desk.loras(tenant), value=[job.result["lora"]], visible=True)
        return [gr.Tabs(selected="create"), mode, gr.update(value=recipe.model), loras, prompt]


def recipe_from(
    given: dict[str, float], model: str, prompts: list[str], trigger: str, data: str
) -> dict[str, Any]:
    """The recipe that the form's numbers make, with what the form does not ask for as it is usual."""
    told = usual(model)
    steps = int(given.get("steps", told["steps"]))
    recipe: dict[str, Any] = {
        "data": [{"path": data, "trigger": trigger, "missing": "trigger" if trigger else "refuse"}],
        "steps": steps,
        "batch_size": int(given.get("batch_size", told["batch_size"])),
        "adapter": {"rank": int(given.get("rank", told["rank"])), "targets": told["targets"]},
        "optimiser": {"lr": given.get("lr", told["lr"]), "warmup": min(20, steps // 5)},
        "placement": {"dtype": told["dtype"]},
        "saving": {"every": max(1, steps // NUM_CHECKPOINTS)},
        "video": {name: int(given[name]) for name in ("width", "height", "num_frames") if name in given},
    }
    if prompts and desks.makes_from_words(model):
        recipe["validation"] = {"prompts": prompts, "every": int(given.get("every", 0))}
    return recipe
