"""The page Create: from words, a picture or a clip to a job, and the job on its stage."""

from __future__ import annotations

import secrets
from typing import Any

import gradio as gr

from vitascope.errors import VitascopeError
from vitascope.server.ui import desk as desks
from vitascope.server.ui import fragments
from vitascope.server.ui.desk import PRESETS
from vitascope.server.ui.room import Room
from vitascope.server.ui.stage_view import StageView, Watched
from vitascope.server.ui.words import EXAMPLES
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

MAX_SEED = 2**31
NUM_RECENT = 8
CLIPS = [".mp4", ".mov", ".m4v", ".webm", ".mkv", ".gif"]


class CreatePage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room = room
        with gr.Row(elem_classes="vs-create"):
            with gr.Column(scale=5, min_width=300, elem_classes="vs-form"):
                self._form()
            with gr.Column(scale=8, min_width=300, elem_classes="vs-right"):
                self.stage = StageView(room, "create", offers_seed=True)
                gr.HTML(f'<h2 class="vs-h">{room.words["recent"]}</h2>', apply_default_css=False)
                self.recent = gr.HTML("", elem_id="create-recent", js_on_load=PICK, apply_default_css=False)
        self._wire()

    def _form(self) -> None:
        words, modes = self.room.words, desks.modes()
        self.mode = gr.Radio(
            [(words[mode], mode) for mode in modes],
            value=modes[0],
            label=words["mode"],
            elem_id="create-mode",
            elem_classes="vs-segments",
        )
        self.prompt = gr.Textbox(
            label=words["prompt"],
            placeholder=words["prompt_hint"],
            lines=3,
            max_lines=8,
            elem_id="create-prompt",
            autofocus=True,
        )
        with gr.Row(elem_classes="vs-tries"):
            self.examples = [gr.Button(text, size="sm", min_width=0) for text in EXAMPLES[words.language]]
        self.picture = gr.Image(
            label=words["picture"], type="filepath", sources=["upload", "clipboard"], visible=False,
            elem_id="create-picture", height=200, buttons=[],
        )  # fmt: skip
        # Gradio's own video field would fetch a program from another host
        self.clip = gr.File(
            label=words["clip"], file_types=CLIPS, visible=False, elem_id="create-clip", height=120
        )
        self.clip_view = gr.HTML("", elem_id="create-clip-view", apply_default_css=False)
        self.strength = gr.Slider(
            0.05, 1, 0.8, step=0.05, label=words["strength"], info=words["strength_info"], visible=False
        )
        self._model_and_preset()
        with gr.Accordion(words["details"], open=False, elem_classes="vs-details"):
            self._details()
        self.make = gr.Button(words["make"], variant="primary", size="lg", elem_id="create-make")

    def _model_and_preset(self) -> None:
        words, modes = self.room.words, desks.modes()
        self.model = gr.Dropdown(
            self._models(modes[0]),
            value=self._models(modes[0])[0][1],
            label=words["model"],
            elem_id="create-model",
        )
        with gr.Row(elem_classes="vs-loras"):
            self.loras = gr.Dropdown(
                [],
                label=words["loras"],
                multiselect=True,
                visible=False,
                min_width=180,
                elem_id="create-loras",
            )
            self.lora_weight = gr.Slider(
                0,
                2,
                1,
                step=0.05,
                label=words["lora_weight"],
                visible=False,
                min_width=140,
                elem_id="create-lora-weight",
            )
        self.preset = gr.Radio(
            [(words[name], name) for name in PRESETS],
            value="standard",
            label=words["preset"],
            elem_id="create-preset",
            elem_classes="vs-segments",
        )

    def _details(self) -> None:
        words = self.room.words
        told = desks.defaults(self._models(desks.modes()[0])[0][1])
        self.numbers = {}
        with gr.Row():
            for name in ("width", "height"):
                self.numbers[name] = gr.Number(
                    told.get(name), label=words[name], precision=0, minimum=1, min_width=90
                )
        with gr.Row():
            for name in ("num_frames", "fps"):
                self.numbers[name] = gr.Number(told.get(name), label=words[name], minimum=1, min_width=90)
        with gr.Row():
            for name, label in (("num_inference_steps", "steps"), ("guidance_scale", "guidance")):
                self.numbers[name] = gr.Number(
                    told.get(name), label=words[label], minimum=0, min_width=90, elem_id=f"create-{label}"
                )
        self.negative = gr.Textbox(
            label=words["negative"], lines=2, visible=bool(told.get("negative_prompt"))
        )
        with gr.Row(elem_classes="vs-seed"):
            self.seed = gr.Number(
                0, label=words["seed"], precision=0, minimum=0, min_width=90, elem_id="create-seed"
            )
            self.new_seed = gr.Checkbox(
                True, label=words["new_seed"], min_width=120, elem_id="create-new-seed"
            )

    def _models(self, mode: str) -> list[tuple[str, str]]:
        words = self.room.words
        return [
            (choice.name if choice.here else f"{choice.name} · {words['not_here']}", choice.name)
            for choice in desks.choices()
            if mode in choice.tasks
        ]

    def _wire(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        for button in self.examples:
            button.click(lambda text: text, button, self.prompt, **quiet)
        shown = [self.picture, self.clip, self.strength, self.model]
        self.mode.change(self._mode_chosen, [self.mode, self.model], shown, **quiet)
        self.loras.change(
            lambda chosen: gr.update(visible=bool(chosen)), self.loras, self.lora_weight, **quiet
        )
        self.clip.change(self._clip_shown, [self.clip, self.mode], self.clip_view, **quiet)
        self.mode.change(self._clip_shown, [self.clip, self.mode], self.clip_view, **quiet)
        numbers = list(self.numbers.values())
        for chosen in (self.model, self.preset):
            chosen.change(
                self._model_chosen, [self.model, self.preset, self.mode], [*numbers, self.negative], **quiet
            )
        form = [self.mode, self.prompt, self.picture, self.clip, self.strength, self.model, self.negative]
        form += [self.seed, self.new_seed, self.loras, self.lora_weight, *numbers]
        outputs = [*self.stage.outputs, self.seed, self.recent]
        gr.on([self.make.click, self.prompt.submit], self._make, form, outputs, **quiet)
        self.stage.reuse.click(self._reuse_seed, self.stage.watched, [self.seed, self.new_seed], **quiet)
        self.recent.click(self._chosen, None, self.stage.outputs, **quiet)

    def _mode_chosen(self, mode: str, model: str) -> list[Any]:
        models = self._models(mode)
        kept = model if model in {name for _, name in models} else models[0][1]
        return [
            gr.update(visible=mode == ImageToVideo.kind),
            gr.update(visible=mode == VideoToVideo.kind),
            gr.update(visible=mode == VideoToVideo.kind),
            gr.update(choices=models, value=kept),
        ]

    def _clip_shown(self, clip: str | None, mode: str) -> str:
        if clip is None or mode != VideoToVideo.kind:
            return ""
        return fragments.uploaded(clip, self.room.words)

    def _model_chosen(self, model: str, preset: str, mode: str) -> list[Any]:
        told = {**desks.defaults(model), "num_inference_steps": desks.steps_for(model, preset)}
        if mode == VideoToVideo.kind:  # the clip says them
            told |= dict.fromkeys(("width", "height", "num_frames", "fps"))
        return [
            *(told.get(name) for name in self.numbers),
            gr.update(visible=bool(told.get("negative_prompt"))),
        ]

    def _make(
        self,
        mode: str,
        prompt: str,
        picture: str | None,
        clip: str | None,
        strength: float,
        model: str,
        negative: str,
        seed: float | None,
        new_seed: bool,
        loras: list[str] | None,
        lora_weight: float,
        request: gr.Request,
        *numbers: float | None,
    ) -> list[Any]:
        words = self.room.words
        needed = {TextToVideo.kind: (prompt, "need_prompt"), ImageToVideo.kind: (picture, "need_picture")}
        given, lack = needed.get(mode, (clip, "need_clip"))
        if not (given or "").strip():
            raise gr.Error(words[lack], duration=6, print_exception=False)
        used = secrets.randbelow(MAX_SEED) if new_seed or seed is None else int(seed)
        params: dict[str, Any] = {"seed": used, "negative_prompt": negative}
        told = desks.defaults(model)
        params |= {
            name: _number(name, value)
            for name, value in zip(self.numbers, numbers, strict=True)
            if value or told.get(name) is not None  # a number field sends 0 where nothing is set
        }
        if mode == VideoToVideo.kind:
            params["strength"] = strength
        params = {name: value for name, value in params.items() if value not in (None, "")}
        upload = picture if mode == ImageToVideo.kind else clip if mode == VideoToVideo.kind else None
        caller = self.room.caller(request)
        fields: dict[str, Any] = {"prompt": prompt, "model": model, "params": params}
        if loras:
            fields["loras"] = [{"name": name, "weight": lora_weight} for name in loras]
        try:
            job = self.room.desk.submit(caller, fields, upload)
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        return [*self.stage.show(job), used, self.recent_cards(caller.tenant)]

    def _reuse_seed(self, watched: Watched, request: gr.Request) -> list[Any]:
        job = self.room.desk.find(watched.job_id, self.room.tenant(request))
        return [gr.skip(), gr.skip()] if job is None else [fragments.seed_of(job), False]

    def _chosen(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        job = self.room.desk.find(event.job, self.room.tenant(request))
        return [gr.skip()] * len(self.stage.outputs) if job is None else self.stage.show(job)

    def recent_cards(self, tenant: str) -> str:
        """The newest jobs as cards."""
        return fragments.cards(self.room.desk.page(tenant, limit=NUM_RECENT), self.room.words)


def _number(name: str, value: float | None) -> float | int | str | None:
    if value is None or name == "guidance_scale":
        return value
    if name == "fps":
        return f"{value:g}"
    return int(value)


# A click on a card tells Python which job it stands for.
PICK = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-job]');
  if (card) trigger('click', {job: card.dataset.job});
});
"""
