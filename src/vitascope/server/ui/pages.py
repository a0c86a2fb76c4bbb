"""The whole of the pages in one language: the bar on top, the tabs, how they look."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vitascope.server.ui import fragments
from vitascope.server.ui.arena_page import ArenaPage
from vitascope.server.ui.catalogue_page import CataloguePage
from vitascope.server.ui.create import CreatePage
from vitascope.server.ui.jobs_page import JobsPage
from vitascope.server.ui.models_page import ModelsPage
from vitascope.server.ui.room import Room
from vitascope.server.ui.training_page import FineTunePage
from vitascope.server.ui.visitor import key_in
from vitascope.server.ui.workflows_page import WorkflowsPage

LIST_EVERY_S = 1.5
FONTS = ("Inter", "system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
KEPT_S = 24 * 3600  # uploads that Gradio holds


def build(room: Room) -> gr.Blocks:
    """The pages in the room's language."""
    words = room.words
    with gr.Blocks(
        title="Vitascope", analytics_enabled=False, delete_cache=(3600, KEPT_S), fill_width=True
    ) as blocks:
        head = gr.HTML(fragments.header(words, {}, False), elem_id="head", apply_default_css=False)
        with gr.Tabs(elem_id="pages", overflow_behavior="wrap") as tabs:
            with gr.Tab(words["create"], id="create"):
                create = CreatePage(room)
            with gr.Tab(words["fine_tune"], id="fine-tune"):
                training = FineTunePage(room, create, tabs)
            with gr.Tab(words["jobs"], id="jobs"):
                jobs = JobsPage(room)
            with gr.Tab(words["workflows"], id="workflows"):
                WorkflowsPage(room)
            with gr.Tab(words["models"], id="models"):
                ModelsPage(room)
            with gr.Tab(words["catalogue"], id="catalogue"):
                CataloguePage(room)
            with gr.Tab(words["arena"], id="arena") as arena:
                ArenaPage(room).show_when_chosen(arena, blocks)
        _keep_fresh(blocks, room, head, create, jobs, training)
    return blocks


def _keep_fresh(
    blocks: gr.Blocks, room: Room, head: gr.HTML, create: CreatePage, jobs: JobsPage, training: FineTunePage
) -> None:
    """Draw the bar and the lists again when something in them has changed."""
    drawn = gr.State(("",) * 4)

    def refresh(
        before: tuple[str, ...],
        wanted: str,
        after: str | None,
        watched: Any,
        taught: Any,
        request: gr.Request,
    ) -> list[Any]:
        tenant = room.tenant(request)
        now = (
            fragments.header(room.words, room.desk.counts(), key_in(request.headers) is not None),
            create.recent_cards(tenant),
            jobs.listed(wanted, after, watched, request),
            training.cards(tenant, taught.job_id),
        )
        return [now, *(new if new != old else gr.skip() for new, old in zip(now, before, strict=True))]

    def choices(request: gr.Request) -> Any:
        found = training.desk.loras(room.tenant(request))
        return gr.update(choices=found, visible=bool(found))

    inputs = [drawn, jobs.filter, jobs.last, jobs.stage.watched, training.watched]
    outputs = [drawn, head, create.recent, jobs.list, training.list]
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    blocks.load(refresh, inputs, outputs, **quiet)
    blocks.load(choices, None, create.loras, **quiet)
    gr.Timer(LIST_EVERY_S).tick(refresh, inputs, outputs, **quiet)


def theme() -> gr.themes.Base:
    """Dark, whatever the browser prefers: clips are judged on a dark ground."""
    ink, ground, raised, line, accent = "#e9edf2", "#0c0f13", "#141920", "#262e39", "#b8f15e"
    values = {
        "body_background_fill": ground,
        "body_text_color": ink,
        "body_text_color_subdued": "#97a3b3",
        "background_fill_primary": raised,
        "background_fill_secondary": ground,
        "block_background_fill": raised,
        "block_border_color": line,
        "block_label_background_fill": "transparent",
        "block_label_text_color": "#b6c0cd",
        "block_title_text_color": "#b6c0cd",
        "block_info_text_color": "#97a3b3",
        "border_color_primary": line,
        "border_color_accent": accent,
        "color_accent_soft": "#232d18",
        "panel_background_fill": raised,
        "input_background_fill": "#0f1318",
        "input_background_fill_focus": "#0f1318",
        "input_border_color": line,
        "input_border_color_focus": accent,
        "input_placeholder_color": "#667283",
        "button_primary_background_fill": accent,
        "button_primary_background_fill_hover": "#cbff78",
        "button_primary_text_color": "#12160c",
        "button_primary_text_color_hover": "#12160c",
        "button_primary_border_color": accent,
        "button_secondary_background_fill": "#1d242d",
        "button_secondary_background_fill_hover": "#28313c",
        "button_secondary_text_color": ink,
        "button_secondary_border_color": line,
        "button_cancel_background_fill": "#2b181a",
        "button_cancel_background_fill_hover": "#40201f",
        "button_cancel_text_color": "#ff9b93",
        "button_cancel_border_color": "#5a2a2a",
        "checkbox_background_color": "#0f1318",
        "checkbox_background_color_selected": accent,
        "checkbox_border_color": "#3b4655",
        "checkbox_border_color_selected": accent,
        "checkbox_label_background_fill": "#0f1318",
        "checkbox_label_background_fill_hover": "#1d242d",
        "checkbox_label_background_fill_selected": "#232d18",
        "checkbox_label_text_color": "#c8d1dc",
        "checkbox_label_text_color_selected": accent,
        "checkbox_label_border_color": line,
        "checkbox_label_border_color_selected": accent,
        "slider_color": accent,
        "link_text_color": accent,
        "loader_color": accent,
        "error_background_fill": "#2b181a",
        "error_text_color": "#ffb4ad",
        "error_border_color": "#5a2a2a",
        "error_icon_color": "#ff9b93",
        "code_background_fill": "#0f1318",
        "table_border_color": line,
        "table_even_background_fill": raised,
        "table_odd_background_fill": raised,
        "table_row_focus": "#1d242d",
        "table_text_color": ink,
        "shadow_drop": "none",
        "block_shadow": "none",
    }
    base = gr.themes.Base(
        primary_hue="lime", neutral_hue="slate", radius_size="lg", font=list(FONTS), font_mono=list(MONO)
    )
    known = set(vars(base))
    both = {f"{name}_dark": value for name, value in values.items() if f"{name}_dark" in known}
    return base.set(**{name: value for name, value in values.items() if name in known}, **both)
