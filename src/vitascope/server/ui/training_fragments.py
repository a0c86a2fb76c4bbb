"""The HTML of the page Fine-tune: a training's curve and numbers, its samples, the list of trainings."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from vitascope.jobs.record import Job
from vitascope.server.training_job import fine_tuned_model
from vitascope.server.ui.chinese import told
from vitascope.server.ui.fragments import told_instead, track
from vitascope.server.ui.words import Words
from vitascope.training.dataset import PICTURE_SUFFIXES

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 260, 52, 30, 14
NUM_THUMBNAILS = 24


def sample_url(job: Job, name: str, variant: str = "video") -> str:
    """The URL of a sample clip."""
    return f"/v1/fine_tuning/jobs/{job.id}/samples/{name}?variant={variant}"


def training(job: Job, words: Words, place: int, grown: int) -> str:
    """One training as it is now. `place`: how many jobs wait before it; `grown`: where the bar stood last."""
    assert job.order.training is not None, "a training that has not expired"
    name = escape(job.order.training.recipe.name)
    status = "cancelled" if job.error_code == "cancelled" else job.status
    head = f'<header><b>{name}</b><em class="vs-badge vs-{status}">{words[status]}</em></header>'
    if job.status == "failed" and job.error_code != "cancelled":
        why = told(job.error_message or job.error_code or "", words.language)
        body = told_instead("failed", words["failed"], why)
    else:
        body = f'<div class="vs-curve">{curve(job, words)}</div>'
    bar = _bar(job, words, place, grown) if job.is_open or job.status == "paused" else ""
    return (
        f'<div class="vs-stage vs-training" data-job="{job.id}" data-status="{job.status}">'
        f"{head}{body}{bar}{_facts(job, words)}{_notes(job, words)}</div>"
    )


def curve(job: Job, words: Words) -> str:
    """The loss by step as a drawing, with a smoothed line over it; a quiet ground before there is one."""
    points = [(int(step), float(loss)) for step, loss in job.result.get("curve", [])]
    if len(points) < 2:
        return f'<div class="vs-noise {"vs-alive" if job.is_open else ""}"></div>'
    steps = max(points[-1][0], job.order.training.recipe.steps if job.order.training else 0)
    losses = sorted(loss for _, loss in points)
    low, high = losses[0], losses[min(len(losses) - 1, int(len(losses) * 0.98))]
    margin = (high - low) * 0.08 or 0.01
    low, high = max(0.0, low - margin), high + margin

    def at(step: float, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - 10) * step / steps
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (min(loss, high) - low) / (high - low))
        return f"{x:.1f},{y:.1f}"

    raw = " ".join(at(step, loss) for step, loss in points)
    smooth = " ".join(at(step, loss) for step, loss in _smoothed(points))
    grid = ""
    for n in range(4):
        value = low + (high - low) * n / 3
        y = at(0, value).partition(",")[2]
        grid += f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y}" y2="{y}"/>'
        grid += f'<text x="{LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    marks = "".join(
        f'<text x="{at(steps * n / 4, low).partition(",")[0]}" y="{HEIGHT - 9}" '
        f'text-anchor="{"end" if n == 4 else "middle"}">'
        f"{round(steps * n / 4)}</text>"
        for n in range(5)
    )
    last = at(*_smoothed(points)[-1]).split(",")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words["loss_curve"]}">'
        f'<g class="vs-grid">{grid}{marks}</g><polyline class="vs-raw" points="{raw}"/>'
        f'<polyline class="vs-smooth" points="{smooth}"/><circle cx="{last[0]}" cy="{last[1]}" r="4"/></svg>'
    )


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    mean, found = points[0][1], []
    weight = min(0.9, len(points) / (len(points) + 20))
    for step, loss in points:
        mean = weight * mean + (1 - weight) * loss
        found.append((step, mean))
    return found


def _bar(job: Job, words: Words, place: int, grown: int) -> str:
    if job.status == "queued":
        state = words["queued"] + (f" · {words('queue_place', n=place)}" if place else "")
    elif job.status == "paused":
        state = words["paused_told"]
    else:
        state = words.named(job.stage)
    if job.stage == "train" and job.total:
        state += f" · {words('step_of', a=job.step, b=job.total)}"
    eta_s = job.result.get("eta_s")
    left = words("eta", t=words.lasting(eta_s)) if eta_s is not None and job.status == "in_progress" else ""
    return (
        f'<div class="vs-progress" role="progressbar" aria-valuenow="{job.progress}" aria-valuemin="0" '
        f'aria-valuemax="100"><div class="vs-told"><span>{escape(state)}</span><span>{left}</span>'
        f"<b>{job.progress} %</b></div>{track(grown, job.progress)}</div>"
    )


def _facts(job: Job, words: Words) -> str:
    assert job.order.training is not None, "a training that has not expired"
    recipe, result = job.order.training.recipe, job.result
    facts = [job.order.model, words("clips_n", n=job.order.training.num_clips), f"rank {recipe.adapter.rank}"]
    if recipe.data[0].trigger:
        facts.append(f"{words['trigger']} {recipe.data[0].trigger}")
    if result.get("loss") is not None:
        facts.append(f"{words['loss']} {result['loss']:.4f}")
    if result.get("step_s") is not None:
        facts.append(words("a_step", t=f"{result['step_s']:.2g}"))
    if result.get("inference_time_s") is not None:
        facts.append(words("took", t=words.lasting(result["inference_time_s"])))
    chips = "".join(f"<span>{escape(str(fact))}</span>" for fact in facts)
    if job.status == "completed":
        chips += f'<span class="vs-good">{escape(fine_tuned_model(job))}</span>'
        content = f"/v1/fine_tuning/jobs/{job.id}/content"
        chips += f'<a href="{content}?variant=comfyui" download>ComfyUI</a>'
        chips += f'<a class="vs-get" href="{content}" download>{words["download_lora"]}</a>'
    return f'<div class="vs-chips">{chips}</div>'


def _notes(job: Job, words: Words) -> str:
    warnings = [told(line, words.language) for line in job.result.get("warnings", [])]
    if not warnings:
        return ""
    rows = "".join(f"<li>{escape(line)}</li>" for line in warnings)
    title = words("warnings_n", n=len(warnings))
    return f'<details class="vs-warnings"><summary>{title}</summary><ul>{rows}</ul></details>'


def samples(job: Job | None, words: Words) -> str:
    """Clips that were made on the way, the newest step first."""
    found = job.result.get("samples", []) if job is not None else []
    if job is None or not found:
        return ""
    steps = sorted({said["step"] for said in found}, reverse=True)
    rows = ""
    for step in steps:
        clips = "".join(
            f'<figure><video src="{sample_url(job, said["name"])}" autoplay loop muted playsinline '
            f'poster="{sample_url(job, said["name"], "thumbnail")}"></video>'
            f"<figcaption>{escape(said['prompt'])}</figcaption></figure>"
            for said in found
            if said["step"] == step
        )
        rows += f'<section><h3>{words("at_step", n=step)}</h3><div class="vs-samples">{clips}</div></section>'
    return f'<h2 class="vs-h">{words["samples"]}</h2>{rows}'


def listed(jobs: Sequence[Job], words: Words, chosen: str) -> str:
    """Trainings as cards; a click on one says which."""
    if not jobs:
        return f'<div class="vs-none">{words["nothing_yet"]}</div>'
    return f'<div class="vs-cards">{"".join(_card(job, words, job.id == chosen) for job in jobs)}</div>'


def _card(job: Job, words: Words, is_chosen: bool) -> str:
    found = job.result.get("samples", [])
    picture = f'<div class="vs-noise {"vs-alive" if job.is_open else ""}"></div>'
    if found:
        picture = f'<img alt="" loading="lazy" src="{sample_url(job, found[-1]["name"], "thumbnail")}">'
    status = "cancelled" if job.error_code == "cancelled" else job.status
    bar = track(job.progress, job.progress) if job.is_open or job.status == "paused" else ""
    name = job.order.training.recipe.name if job.order.training else ""
    return (
        f'<button type="button" class="vs-card{" vs-chosen" if is_chosen else ""}" data-job="{job.id}">'
        f'<span class="vs-thumb">{picture}<em class="vs-badge vs-{status}">{words[status]}</em>{bar}</span>'
        f"<b>{escape(name)}</b><small>{escape(job.order.model)}</small></button>"
    )


def dropped(paths: Sequence[Path], words: Words) -> str:
    """Small pictures of what was just dropped, out of Gradio's store."""
    shown = ""
    for path in paths[:NUM_THUMBNAILS]:
        address = f"/ui/{words.language}/gradio_api/file={quote(str(path))}"
        if path.suffix.lower() in PICTURE_SUFFIXES:
            shown += f'<img alt="" loading="lazy" src="{address}">'
        else:
            shown += f'<canvas data-clip="{address}" width="96" height="96"></canvas>'
    more = len(paths) - NUM_THUMBNAILS
    rest = f"<span>+{more}</span>" if more > 0 else ""
    return f'<div class="vs-strip">{shown}{rest}</div>' if shown else ""
