"""A training as clients see it: OpenAI's `fine_tuning.job` with a few fields of our own, and its events."""

from __future__ import annotations

import time
from typing import Any

from vitascope.jobs.order import FINE_TUNED
from vitascope.jobs.record import Job

_STATUSES = {"completed": "succeeded", "queued": "queued", "failed": "failed", "paused": "paused"}


def training_object(job: Job) -> dict[str, Any]:
    """The object that create, retrieve, list and the buttons send."""
    training, result = job.order.training, job.result
    succeeded = job.status == "completed"
    recipe = training.recipe if training is not None else None  # an expired record has none
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at),
        "finished_at": None if job.completed_at is None else int(job.completed_at),
        "estimated_finish": _estimated_finish(job),
        "expires_at": None if job.expires_at is None else int(job.expires_at),
        "status": status_of(job),
        "model": job.order.model,
        "fine_tuned_model": fine_tuned_model(job) if succeeded and recipe else None,
        "organization_id": job.tenant,
        "result_files": [result["lora"]] if "lora" in result else [],
        "training_file": training.source if training is not None else "",
        "validation_file": None,
        "trained_tokens": None,
        "seed": recipe.seed if recipe else 0,
        "hyperparameters": _hyperparameters(job),
        "integrations": None,
        "metadata": training.metadata if training is not None else {},
        "error": _error(job),
        # what follows is ours
        "name": recipe.name if recipe else None,
        "stage": job.stage or None,
        "step": job.step if job.stage == "train" else 0,
        "steps": recipe.steps if recipe else 0,
        "progress": job.progress,
        "num_clips": training.num_clips if training is not None else 0,
        "loss": result.get("loss"),
        "learning_rate_factor": result.get("learning_rate"),
        "step_s": result.get("step_s"),
        "eta_s": result.get("eta_s") if job.status == "in_progress" else None,
        "curve": result.get("curve", []),
        "samples": [_sample(job, said) for said in result.get("samples", [])],
        "notes": result.get("notes", []),
        "warnings": result.get("warnings", []),
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True) if recipe else None,
        "priority": job.priority,
        "estimate": job.estimate,
        "memory_gib": result.get("memory_gib"),
    }


def status_of(job: Job) -> str:
    """The status in OpenAI's words."""
    if job.status == "in_progress":
        return "running" if job.stage == "train" else "validating_files"
    if job.error_code == "cancelled":
        return "cancelled"
    return _STATUSES[job.status]


def fine_tuned_model(job: Job) -> str:
    """What `model` of a video may say to get the base with this LoRA put on."""
    assert job.order.training is not None, "a training that has not expired"
    return f"{FINE_TUNED}:{job.order.model}:{job.order.training.recipe.name}"


def events_of(job: Job) -> list[dict[str, Any]]:
    """What has happened so far, newest first: begin, loss by step, samples, notes, the end."""
    steps = job.order.training.recipe.steps if job.order.training is not None else 0
    found = [_event(job, 0, "created", "The job was created")]
    found += [_event(job, n + 1, f"note{n}", text) for n, text in enumerate(job.result.get("notes", []))]
    for step, loss in job.result.get("curve", []):
        message = f"Step {step}/{steps}: training loss={loss:.4f}"
        data = {"step": step, "total_steps": steps, "train_loss": loss}
        found.append(_event(job, step + 1000, f"step{step}", message, "metrics", data))
    for said in job.result.get("samples", []):
        message = f"A sample of step {said['step']} was made: {said['prompt']}"
        found.append(_event(job, said["step"] + 1000, said["name"], message, "message", _sample(job, said)))
    found.sort(key=lambda event: event.pop("_place"))
    if not job.is_open and job.status != "paused":
        found.append({**_event(job, 0, "ended", f"The job has {status_of(job)}"), "_place": None})
        found[-1].pop("_place")
        found[-1]["created_at"] = int(job.completed_at or job.created_at)
    return found[::-1]


def _event(
    job: Job, place: int, mark: str, message: str, kind: str = "message", data: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "id": f"ftevent-{job.id[-24:]}-{mark}",
        "object": "fine_tuning.job.event",
        "created_at": int(job.started_at or job.created_at),
        "level": "info",
        "message": message,
        "type": kind,
        "data": data or {},
        "_place": place,
    }


def _sample(job: Job, said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "url": f"/v1/fine_tuning/jobs/{job.id}/samples/{said['name']}"}


def _error(job: Job) -> dict[str, Any] | None:
    if job.error_code is None or job.error_code == "cancelled":
        return None
    return {"code": job.error_code, "message": job.error_message or "", "param": None}


def _estimated_finish(job: Job) -> int | None:
    left = job.result.get("eta_s")
    return int(time.time() + left) if job.status == "in_progress" and left is not None else None


def _hyperparameters(job: Job) -> dict[str, Any]:
    training = job.order.training
    if training is None:
        return {}
    recipe = training.recipe
    epochs = recipe.steps * recipe.batch_size * recipe.accumulate / max(1, training.num_clips)
    return {
        "n_epochs": training.epochs or max(1, round(epochs)),
        "batch_size": recipe.batch_size,
        "learning_rate_multiplier": 1.0,
    }
