"""The routes under `/v1/videos`."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from vitascope.errors import RequestError
from vitascope.jobs.house import SPRITESHEET, THUMBNAIL, VIDEO
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.record import Job
from vitascope.server.body import Body, read_body
from vitascope.server.envelope import Refusal
from vitascope.server.events import Broadcast
from vitascope.server.video import video_object
from vitascope.server.wish import VideoRequest, order_from, request_hash, save_upload

router = APIRouter(prefix="/v1/videos", tags=["videos"])
TENANT = "local"
POLL_AFTER_MS = "1000"
VARIANTS = {
    "video": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/webp"),
    "spritesheet": (SPRITESHEET, "image/jpeg"),
}
MAX_KEY_CHARACTERS = 255
_SCHEMA = VideoRequest.model_json_schema()
_CREATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": _SCHEMA} for kind in ("application/json", "multipart/form-data")},
    }
}
_REMIX_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"prompt": {"type": "string"}},
                    "required": ["prompt"],
                }
            }
        },
    }
}


def _office(request: Request) -> Office:
    return request.app.state.office


Counter = Annotated[Office, Depends(_office)]


@router.post("", summary="Make a video", openapi_extra=_CREATE_BODY)
async def create(request: Request, office: Counter) -> JSONResponse:
    """Queue a job; a header `Idempotency-Key` makes a retry give the same job."""
    body = await read_body(request)
    try:
        return await asyncio.to_thread(_submit, office, body, _idempotency_key(request))
    finally:
        if body.file is not None:
            await body.file.close()


def _submit(office: Office, body: Body, key: str | None) -> JSONResponse:
    upload = body.file.file if body.file is not None else None
    asked = Submission(
        order=order_from(body.fields),
        tenant=TENANT,
        idempotency_key=key,
        request_hash=request_hash(body.fields, upload),
        save_reference=None if upload is None else lambda path: save_upload(upload, path),
    )
    return _answer(office.submit(asked))


@router.get("", summary="List videos")
def list_videos(
    office: Counter,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """A page of videos; the next one is asked for with `after` = `last_id`."""
    if after is not None:
        office.find(after, TENANT)
    jobs = office.ledger.page(TENANT, after, limit + 1, newest_first=order == "desc")
    shown = jobs[:limit]
    return {
        "object": "list",
        "data": [video_object(job) for job in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(jobs) > limit,
    }


@router.get("/{video_id}", summary="Look at a video's job")
def retrieve(video_id: str, office: Counter) -> JSONResponse:
    """Status, progress and, once it is there, the recipe."""
    return _answer(_kept(office, video_id))


@router.get("/{video_id}/content", summary="Download a video", response_class=FileResponse)
def content(
    video_id: str, office: Counter, variant: Literal["video", "thumbnail", "spritesheet"] = "video"
) -> FileResponse:
    """The file, whole or in ranges."""
    job = _kept(office, video_id)
    if job.status != "completed":
        what = "has failed and has no file" if job.status == "failed" else f"is {job.status}; ask again later"
        raise Refusal(409, f"video {video_id!r} {what}", code="not_ready", param="video_id")
    name, kind = VARIANTS[variant]
    path = office.house.job(job.id) / name
    return FileResponse(path, media_type=kind, filename=f"{job.id}{path.suffix}")


@router.get("/{video_id}/events", summary="Follow a video's progress", response_class=StreamingResponse)
async def events(video_id: str, request: Request, office: Counter) -> StreamingResponse:
    """Server-sent events from the present state to the end: `video.progress`, `video.completed`, `video.failed`."""
    job = await asyncio.to_thread(_kept, office, video_id)
    broadcast: Broadcast = request.app.state.broadcast
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(broadcast.listen(job), media_type="text/event-stream", headers=headers)


@router.post("/{video_id}/cancel", summary="Stop a video's job")
def cancel(video_id: str, office: Counter) -> JSONResponse:
    """A waiting job never starts, a running one stops at its next denoising step; an ended one stays."""
    return _answer(office.cancel(_kept(office, video_id).id, TENANT))


@router.delete("/{video_id}", summary="Delete a video")
def delete(video_id: str, office: Counter) -> dict[str, Any]:
    """Remove an ended job and its files."""
    office.delete(video_id, TENANT)
    return {"id": video_id, "deleted": True, "object": "video.deleted"}


@router.post(
    "/{video_id}/remix", summary="Make a video again after another sentence", openapi_extra=_REMIX_BODY
)
async def remix(video_id: str, request: Request, office: Counter) -> JSONResponse:
    """The same model, seed and settings with a new prompt."""
    body = await read_body(request)
    return await asyncio.to_thread(_remix, office, video_id, body, _idempotency_key(request))


def _remix(office: Office, video_id: str, body: Body, key: str | None) -> JSONResponse:
    prompt = body.fields.get("prompt")
    if not isinstance(prompt, str) or set(body.fields) != {"prompt"}:
        raise RequestError("a remix takes one field, prompt, which is text", param="prompt")
    parent = _kept(office, video_id)
    if parent.status != "completed":
        raise Refusal(409, f"video {video_id!r} is not completed", code="not_ready", param="video_id")
    source = office.house.job(parent.id) / parent.order.reference if parent.order.reference else None
    asked = Submission(
        order=parent.order.model_copy(update={"prompt": prompt, "reference": None}),
        tenant=TENANT,
        idempotency_key=key,
        request_hash=request_hash({"remix": parent.id, **body.fields}, None),
        remixed_from=parent.id,
        save_reference=None if source is None else lambda path: _copy(source.read_bytes(), path),
    )
    return _answer(office.submit(asked))


def _copy(data: bytes, path: Any) -> None:
    path.write_bytes(data)


def _kept(office: Office, video_id: str) -> Job:
    """A job that has not expired. Raises: NotFound, Refusal (410)."""
    job = office.find(video_id, TENANT)
    if job.expires_at is not None and job.expires_at < time.time():
        raise Refusal(410, f"video {video_id!r} has expired", code="expired", param="video_id")
    return job


def _answer(job: Job) -> JSONResponse:
    headers = {"openai-poll-after-ms": POLL_AFTER_MS} if job.is_open else None
    return JSONResponse(video_object(job), headers=headers)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        raise RequestError(f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters")
    return key
