"""The pieces of HTML that Gradio has no component for: the stage, job cards, recipes, two clips side by side."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from vitascope.catalogue.runnable import UNKNOWN
from vitascope.jobs.record import Job
from vitascope.server.ui.chinese import noted, told
from vitascope.server.ui.desk import Choice, pretty
from vitascope.server.ui.words import LANGUAGES, Words

LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect x="1" y="1" width="30" height="30" rx="9" fill="#b8f15e"/>'
    '<path d="M8 10l5.6 13h1.6L20.8 10" fill="none" stroke="#10140b" stroke-width="3.2" stroke-linecap="round" '
    'stroke-linejoin="round"/><circle cx="23.4" cy="21.6" r="2.6" fill="#10140b"/></svg>'
)
FILM = (
    '<svg viewBox="0 0 48 48" aria-hidden="true"><rect x="5" y="9" width="38" height="30" rx="6" fill="none" '
    'stroke="currentColor" stroke-width="2"/><path d="M20 18.5v11l9-5.5z" fill="currentColor"/></svg>'
)


def media_url(job: Job, variant: str = "video") -> str:
    """Where a file of a finished job is."""
    return f"/v1/videos/{job.id}/content?variant={variant}"


def header(words: Words, counts: dict[str, int], has_key: bool) -> str:
    """The bar on top: name, what the workers do, the other language."""
    other = next(code for code in LANGUAGES if code != words.language)
    running, waiting = counts.get("in_progress", 0), counts.get("queued", 0)
    state = [words("running", n=running)] * bool(running) + [words("waiting", n=waiting)] * bool(waiting)
    kind = "busy" if running else "idle"
    if not counts.get("workers"):
        state, kind = [words["no_worker"]], "off"
    leave = f'<a class="vs-link" href="/ui/leave">{words["sign_out"]}</a>' if has_key else ""
    return (
        f'<div class="vs-head"><a class="vs-brand" href="/ui/{words.language}">{LOGO}<b>Vitascope</b></a>'
        f'<span class="vs-state vs-{kind}"><i></i>{escape(" · ".join(state) or words["idle"])}</span>'
        f'<nav>{leave}<a class="vs-link" id="vs-language" href="/ui/{other}" lang="{other}">{LANGUAGES[other]}</a>'
        "</nav></div>"
    )


def empty_stage(words: Words, page: str) -> str:
    """The stage of a page before anything was asked for."""
    title, text = f"{page}_title", f"{page}_text"
    return (
        f'<div class="vs-stage vs-empty"><div class="vs-noise"></div><div class="vs-hint">{FILM}'
        f"<b>{words[title]}</b><p>{words[text]}</p></div></div>"
    )


def stage(
    job: Job, words: Words, *, eta_s: float | None, place: int, preview: bytes | None, grown: int
) -> str:
    """One job as it is now. `grown`: where the bar stood the last time."""
    body = _finished(job) if job.status == "completed" else _unfinished(job, words, preview)
    prompt = f'<p class="vs-prompt">{escape(job.order.prompt)}</p>' if job.order.prompt else ""
    bar = _bar(job, words, eta_s, place, grown) if job.is_open else ""
    return (
        f'<div class="vs-stage" data-job="{job.id}" data-status="{job.status}">'
        f"{body}{bar}{prompt}{_facts(job, words)}</div>"
    )


def _finished(job: Job) -> str:
    return (
        f'<div class="vs-screen"><video src="{media_url(job)}" poster="{media_url(job, "thumbnail")}" '
        f'autoplay loop muted playsinline controls aria-label="{escape(job.order.prompt)}"></video></div>'
    )


def _unfinished(job: Job, words: Words, preview: bytes | None) -> str:
    if job.error_code == "cancelled":
        return told_instead("cancelled", words["cancelled"], "")
    if job.status == "failed":
        why = told(job.error_message or job.error_code or "", words.language)
        return told_instead("failed", words["failed"], why)
    if preview:
        data = base64.b64encode(preview).decode("ascii")
        return f'<div class="vs-screen"><img class="vs-preview" alt="" src="data:image/webp;base64,{data}"></div>'
    return '<div class="vs-screen"><div class="vs-noise vs-alive"></div></div>'


def told_instead(kind: str, title: str, why: str) -> str:
    """A screen that shows words where a clip would be."""
    text = f"<p>{escape(why)}</p>" if why else ""
    return f'<div class="vs-screen vs-{kind}"><div class="vs-hint"><b>{title}</b>{text}</div></div>'


def _bar(job: Job, words: Words, eta_s: float | None, place: int, grown: int) -> str:
    if job.status == "queued":
        state = words["queued"] + (f" · {words('queue_place', n=place)}" if place else "")
    else:
        state = words.named(job.stage) if job.stage else words["in_progress"]
        if job.total > 1:
            state += f" · {words('step_of', a=job.step, b=job.total)}"
    left = words("eta", t=words.lasting(eta_s)) if eta_s is not None else ""
    return (
        f'<div class="vs-progress" role="progressbar" aria-valuenow="{job.progress}" aria-valuemin="0" '
        f'aria-valuemax="100"><div class="vs-told"><span>{escape(state)}</span><span>{left}</span>'
        f"<b>{job.progress} %</b></div>"
        f"{track(grown, job.progress)}</div>"
    )


def track(grown: int, percent: int) -> str:
    """A bar that grows from where it stood."""
    return f'<div class="vs-track"><i style="--from:{grown}%;--to:{percent}%"></i></div>'


def _facts(job: Job, words: Words) -> str:
    options, facts = job.order.options, [job.order.workflow or job.order.model]
    facts += [job.size.replace("x", " × ")] if job.size else []
    facts += [words("s", n=job.seconds)] if job.seconds else []
    if (seed := seed_of(job)) is not None:
        facts.append(f"{words['seed']} {seed}")
    if (steps := options.get("num_inference_steps")) is not None:
        facts.append(f"{words['steps']} {steps}")
    if (took := job.result.get("inference_time_s")) is not None:
        facts.append(words("took", t=words.lasting(float(took))))
    chips = "".join(f"<span>{escape(str(fact))}</span>" for fact in facts)
    if (job.result.get("recipe") or {}).get("labels", {}).get("aigc"):
        chips += f'<span class="vs-good">{words["labelled"]}</span>'
    if job.status == "completed":
        chips += f'<a class="vs-get" href="{media_url(job)}" download>{words["download"]}</a>'
    return f'<div class="vs-chips">{chips}</div>'


def seed_of(job: Job) -> int | None:
    """The seed that a job was given, if it was given one."""
    return job.order.options.get("seed")


def cards(jobs: Sequence[Job], words: Words, chosen: str | None = None) -> str:
    """Jobs as cards; a click on one says which."""
    if not jobs:
        return f'<div class="vs-none">{words["nothing_yet"]}</div>'
    return f'<div class="vs-cards">{"".join(_card(job, words, job.id == chosen) for job in jobs)}</div>'


def _card(job: Job, words: Words, is_chosen: bool) -> str:
    if job.status == "completed":
        picture = f'<img alt="" loading="lazy" src="{media_url(job, "thumbnail")}">'
    else:
        picture = f'<div class="vs-noise {"vs-alive" if job.is_open else ""}"></div>'
    status = "cancelled" if job.error_code == "cancelled" else job.status
    bar = track(job.progress, job.progress) if job.is_open else ""
    name = escape(job.order.prompt or job.order.workflow or job.order.model)
    size = f" · {job.size.replace('x', '×')}" if job.size else ""
    return (
        f'<button type="button" class="vs-card{" vs-chosen" if is_chosen else ""}" data-job="{job.id}">'
        f'<span class="vs-thumb">{picture}<em class="vs-badge vs-{status}">{words[status]}</em>{bar}</span>'
        f"<b>{name}</b><small>{escape(job.order.workflow or job.order.model)}{size}</small></button>"
    )


def uploaded(path: str, words: Words) -> str:
    """A clip that was just uploaded, out of Gradio's store."""
    address = f"/ui/{words.language}/gradio_api/file={quote(path)}"
    return f'<video class="vs-uploaded" src="{address}" autoplay loop muted playsinline></video>'


def recipe(job: Job, words: Words) -> str:
    """What made a clip, open to the reader; nothing while there is none."""
    made = job.result.get("recipe")
    if not made:
        return ""
    stages = "".join(_stage_of_recipe(stage) for stage in made["stages"])
    return (
        f'<div class="vs-recipe"><h3>{words["recipe"]}</h3><ol>{stages}</ol>'
        f"<details><summary>JSON</summary><pre>{escape(pretty(made))}</pre></details></div>"
    )


def _stage_of_recipe(stage: dict[str, Any]) -> str:
    settings = {**(stage.get("task") or {}), **stage.get("knobs", {})}
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in settings.items()
        if value not in (None, "", [], {}) and name not in ("kind", "image", "video")
    )
    return f"<li><b>{escape(stage['name'])}</b><small>{escape(stage['kind'])}</small><dl>{rows}</dl></li>"


def comparison(left: Job | None, right: Job | None, words: Words) -> str:
    """Two clips that play in step: one clock, one slider."""
    if left is None or right is None:
        return f'<div class="vs-none">{words["compare_hint"]}</div>'
    sides = "".join(
        f'<figure><video src="{media_url(job)}" muted loop playsinline preload="auto"></video>'
        f"<figcaption>{escape(job.order.prompt or job.order.model)}</figcaption></figure>"
        for job in (left, right)
    )
    return (
        f'<div class="vs-compare">{sides}<div class="vs-transport"><button type="button" data-play '
        f'aria-label="{words["play"]}">▶</button><input type="range" min="0" max="1" step="0.001" value="0" '
        f'aria-label="{words["play"]}"><output>0.00</output></div></div>'
    )


def models(found: Sequence[Choice], words: Words) -> str:
    """The models that run here, as cards."""
    return f'<div class="vs-models">{"".join(_model(choice, words) for choice in found)}</div>'


def _model(choice: Choice, words: Words) -> str:
    known, facts = choice.known, choice.facts
    tasks = "".join(f"<span>{words.named(task)}</span>" for task in choice.tasks)
    where = words["here"]
    if not choice.here and known is not None:
        gib = known.download_gib
        where = words("download_gib", n=f"{gib:g}") if gib else words["to_download"]
    known_facts = {
        name: getattr(facts, name, UNKNOWN) for name in ("attention", "vae", "text_encoders", "memory")
    }
    rows = "".join(
        f"<div><dt>{words[name]}</dt><dd>{escape(value)}</dd></div>"
        for name, value in known_facts.items()
        if value != UNKNOWN
    )
    note = escape(noted(known.note, words.language)) if known else words["no_weights"]
    repo = f"<small>{escape(known.repo)}</small>" if known and known.repo else ""
    return (
        f'<article class="vs-model"><header><b>{escape(choice.name)}</b>'
        f'<em class="{"vs-good" if choice.here else ""}">{where}</em></header><p>{note}</p><dl>{rows}</dl>'
        f'<div class="vs-chips">{tasks}</div>'
        f"<footer><span>{escape(facts.licence if facts else 'Apache-2.0')}</span>{repo}</footer></article>"
    )
