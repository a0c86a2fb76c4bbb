"""The page Workflows: choose one, set its steps, run it as a job."""

from __future__ import annotations

import secrets
from html import escape
from typing import Any

import gradio as gr

from vitascope.errors import VitascopeError
from vitascope.server.ui import desk as desks
from vitascope.server.ui.chinese import summarised
from vitascope.server.ui.create import MAX_SEED
from vitascope.server.ui.desk import Knob
from vitascope.server.ui.room import Room
from vitascope.server.ui.stage_view import StageView

MEDIA = [".png", ".jpg", ".jpeg", ".webp", ".mp4", ".mov", ".webm", ".mkv", ".gif"]


class WorkflowsPage:
    """Builds the page where it is called."""

    def __init__(self, room: Room) -> None:
        self.room, words = room, room.words
        self.found = {workflow.name: workflow for workflow in desks.workflows()}
        first = next(iter(self.found))
        with gr.Row(elem_classes="vs-create"):
            with gr.Column(scale=5, min_width=300, elem_classes="vs-form"):
                self.workflow = gr.Dropdown(
                    list(self.found), value=first, label=words["workflow"], elem_id="workflow-name"
                )
                self.about = gr.HTML(self._about(first), elem_id="workflow-about", apply_default_css=False)
                self.prompt = gr.Textbox(
                    label=words["prompt"],
                    placeholder=words["prompt_hint"],
                    lines=2,
                    elem_id="workflow-prompt",
                    interactive=True,
                )
                self.model = gr.Dropdown(
                    [(words["model_of_the_box"], ""), *(choice.name for choice in desks.choices())],
                    value="",
                    label=words["model"],
                    elem_id="workflow-model",
                    interactive=True,
                )
                self.input = gr.File(
                    label=words["input"],
                    file_types=MEDIA,
                    height=120,
                    elem_id="workflow-input",
                    interactive=True,
                )
                self._forms()
            with gr.Column(scale=8, min_width=300, elem_classes="vs-right"):
                self.stage = StageView(room, "workflows")
        shown = [self.about, self.prompt, self.model]
        self.workflow.change(self._chosen, self.workflow, shown, show_progress="hidden", queue=False)

    def _chosen(self, name: str) -> list[Any]:
        generates = self.found[name].chain.generator is not None
        return [self._about(name), gr.update(visible=generates), gr.update(visible=generates)]

    def _about(self, name: str) -> str:
        workflow = self.found[name]
        steps = "".join(f"<span>{step}</span>" for step in workflow.ids)
        summary = escape(summarised(name, workflow.summary, self.room.words.language))
        return f'<div class="vs-about"><p>{summary}</p><div class="vs-chips vs-flow">{steps}</div></div>'

    def _forms(self) -> None:
        """The settings of the chosen workflow, drawn anew when another is chosen, and the button that runs it."""

        @gr.render(inputs=self.workflow)
        def _(name: str) -> None:
            knobs = desks.knobs(self.found[name])
            fields = []
            if knobs:
                with gr.Accordion(self.room.words["settings"], open=True, elem_classes="vs-details"):
                    fields = [self._field(knob) for knob in knobs]
            run = gr.Button(self.room.words["run"], variant="primary", size="lg", elem_id="workflow-run")

            def start(
                prompt: str, model: str, file: str | None, request: gr.Request, *values: Any
            ) -> list[Any]:
                return self._run(name, knobs, (prompt, model, file), values, request)

            inputs = [self.prompt, self.model, self.input, *fields]
            run.click(start, inputs, self.stage.outputs, show_progress="hidden", queue=False)

    def _field(self, knob: Knob) -> Any:
        label, info = knob.dotted, knob.description or None
        if isinstance(knob.kind, tuple):
            return gr.Dropdown(list(knob.kind), value=knob.default, label=label, info=info, interactive=True)
        if knob.kind is bool:
            return gr.Checkbox(bool(knob.default), label=label, info=info, interactive=True)
        if knob.default is None:  # a number field shows and sends 0 where nothing is set
            return gr.Textbox(
                label=label, info=info, interactive=True, placeholder=self.room.words["default"]
            )
        whole = 0 if knob.kind is int else None
        return gr.Number(knob.default, label=label, info=info, interactive=True, precision=whole)

    def _run(
        self,
        name: str,
        knobs: list[Knob],
        asked: tuple[str, str, str | None],
        values: tuple[Any, ...],
        request: gr.Request,
    ) -> list[Any]:
        prompt, model, file = asked
        changed = {
            knob.dotted: value
            for knob, value in zip(knobs, values, strict=True)
            if value not in (None, "") and value != knob.default
        }
        fields: dict[str, Any] = {"workflow": name, "params": changed}
        if self.found[name].chain.generator is not None:
            fields |= {"prompt": prompt, "model": model}
            changed["seed"] = secrets.randbelow(MAX_SEED)
        try:
            job = self.room.desk.submit(self.room.caller(request), fields, file)
        except VitascopeError as error:
            raise self.room.complaint(error) from error
        return self.stage.show(job)
