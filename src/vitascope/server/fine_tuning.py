"""The routes under `/v1/fine_tuning`: a LoRA from uploaded clips, as a job like any other."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from vitascope.jobs.house import LORA, LORA_COMFYUI, SAMPLES, TRAINING_CARD
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office
from vitascope.jobs.record import Job
from vitascope.jobs.training_order import datasets
from vitascope.server import bodies
from vitascope.server.access import Reader, Trainer
from vitascope.server.content import file_response
from vitascope.server.counter import Counter, made, threaded
from vitascope.server.envelope import Refusal
from vitascope.server.training_job import events_of, training_object
from vitascope.server.training_request import training_of
from vitascope.training.trainable import trainable_models

router = APIRouter(prefix="/v1/fine_tuning", tags=["fine-tuning"])
VARIANTS = {
    "lora": (LORA, "application/octet-stream", ".safetensors"),
    "comfyui": (LORA_COMFYUI, "application/octet-stream", "-comfyui.safetensors"),
    "card": (TRAINING_CARD, "text/markdown; charset=utf-8", ".md"),
}
_SAMPLE = re.compile(r"step-\d{6,7}-\d{1,3}")


@router.post("/jobs", summary="Fine-tune a model", openapi_extra=bodies.TRAIN)
async def create(request: Request, office: Counter, caller: Trainer) -> JSONResponse:
    """Queue a training; what it makes is a LoRA that later requests of the same tenant can name."""
    return await made(request, office, caller, training_of, file_field="recipe", is_heavy=True)


@router.get("/jobs", summary="List trainings")
def list_jobs(
    office: Counter,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """A page of trainings, newest first; the next one is asked for with `after` = the last id."""
    if after is not None:
        office.find(after, caller.tenant, "training")
    jobs = office.ledger.page(caller.tenant, after, limit + 1, newest_first=True, kind="training")
    return _list([training_object(job) for job in jobs[:limit]], len(jobs) > limit)


@router.get("/jobs/{fine_tuning_job_id}", summary="Look at a training")
def retrieve(fine_tuning_job_id: str, office: Counter, caller: Reader) -> dict[str, Any]:
    """Status, step, loss and its curve, time left, samples so far."""
    return training_object(_kept(office, fine_tuning_job_id, caller))


@router.get("/jobs/{fine_tuning_job_id}/events", summary="What has happened in a training")
def events(
    fine_tuning_job_id: str,
    office: Counter,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Newest first: the loss by step, samples, the estimate that it began with."""
    found = events_of(_kept(office, fine_tuning_job_id, caller))
    ids = [event["id"] for event in found]
    start = ids.index(after) + 1 if after in ids else 0
    return _list(found[start : start + limit], start + limit < len(found))


@router.post("/jobs/{fine_tuning_job_id}/pause", summary="Stop a training so that it can go on")
def pause(fine_tuning_job_id: str, office: Counter, caller: Trainer) -> dict[str, Any]:
    """It saves a checkpoint after its present step and gives the GPU back."""
    _kept(office, fine_tuning_job_id, caller)
    return training_object(office.pause(fine_tuning_job_id, caller.tenant))


@router.post("/jobs/{fine_tuning_job_id}/resume", summary="Let a paused training go on")
def resume(fine_tuning_job_id: str, office: Counter, caller: Trainer) -> dict[str, Any]:
    """It waits in the queue again, and goes on from its checkpoint. 409 while the checkpoint is being saved."""
    _kept(office, fine_tuning_job_id, caller)
    return training_object(office.resume(fine_tuning_job_id, caller.tenant))


@router.post("/jobs/{fine_tuning_job_id}/cancel", summary="End a training for good")
def cancel(fine_tuning_job_id: str, office: Counter, caller: Trainer) -> dict[str, Any]:
    """Its checkpoints and its copy of the clips are removed; samples stay until the job expires."""
    _kept(office, fine_tuning_job_id, caller)
    return training_object(office.cancel(fine_tuning_job_id, caller.tenant, "training"))


@router.delete("/jobs/{fine_tuning_job_id}", summary="Delete a training")
def delete(fine_tuning_job_id: str, office: Counter, caller: Trainer) -> dict[str, Any]:
    """Remove an ended training and its files; its LoRA stays among your files."""
    office.delete(fine_tuning_job_id, caller.tenant, "training")
    return {"id": fine_tuning_job_id, "object": "fine_tuning.job.deleted", "deleted": True}


@router.get(
    "/jobs/{fine_tuning_job_id}/content", summary="Download what was trained", response_class=Response
)
def content(
    fine_tuning_job_id: str,
    request: Request,
    office: Counter,
    caller: Reader,
    variant: Literal["lora", "comfyui", "card"] = "lora",
) -> Response:
    """The LoRA in diffusers' layout or in ComfyUI's names, or its card."""
    job = _kept(office, fine_tuning_job_id, caller)
    if job.status != "completed" or job.order.training is None:
        raise Refusal(
            409, f"training {job.id!r} is not completed", code="not_ready", param="fine_tuning_job_id"
        )
    name, kind, ending = VARIANTS[variant]
    shown_as = f"{job.order.training.recipe.name}{ending}"
    return file_response(
        office.house.artifacts, office.house.named(job.id, name), kind, shown_as, request.headers
    )


@router.get("/jobs/{fine_tuning_job_id}/samples/{name}", summary="Download a sample", response_class=Response)
def sample(
    fine_tuning_job_id: str,
    name: str,
    request: Request,
    office: Counter,
    caller: Reader,
    variant: Literal["video", "thumbnail"] = "video",
) -> Response:
    """A clip that was made while training, from the recipe's own prompts and seeds."""
    job = _kept(office, fine_tuning_job_id, caller)
    known = {said["name"] for said in job.result.get("samples", [])}
    if not _SAMPLE.fullmatch(name) or name not in known:
        raise Refusal(404, f"no sample {name[:60]!r} of this training", code="not_found", param="name")
    ending, kind = {"video": ("mp4", "video/mp4"), "thumbnail": ("webp", "image/webp")}[variant]
    place = office.house.named(job.id, f"{SAMPLES}/{name}.{ending}")
    return file_response(office.house.artifacts, place, kind, f"{name}.{ending}", request.headers)


@router.get("/datasets", summary="List folders of clips that the operator offers")
async def list_datasets(office: Counter, _: Reader) -> dict[str, Any]:
    """Their names, for `dataset` of a request or `data` of its recipe."""
    names = await threaded(lambda: datasets(office.house.artifacts), heavy=False)
    return _list([{"id": name, "object": "dataset"} for name in names], False)


@router.get("/models", summary="List models that can be fine-tuned")
async def list_models(_: Reader) -> dict[str, Any]:
    """Their names, for `model` of a request."""
    names = await threaded(trainable_models, heavy=False)
    return _list([{"id": name, "object": "model"} for name in names], False)


def _list(data: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def _kept(office: Office, job_id: str, caller: ApiKey) -> Job:
    """A training that has not expired. Raises: NotFound, Refusal (410)."""
    job = office.find(job_id, caller.tenant, "training")
    if job.expires_at is not None and job.expires_at < time.time():
        raise Refusal(410, f"training {job_id!r} has expired", code="expired", param="fine_tuning_job_id")
    return job
