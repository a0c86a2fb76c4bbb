"""The routes under `/v1/videos`."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from vitascope.errors import NotFound
from vitascope.jobs.house import PREVIEW, SPRITESHEET, THUMBNAIL, VIDEO
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office
from vitascope.jobs.record import Job
from vitascope.server import bodies
from vitascope.server.access import Reader, Writer
from vitascope.server.content import file_response
from vitascope.server.counter import Counter, answer, made
from vitascope.server.envelope import Refusal
from vitascope.server.events import Broadcast
from vitascope.server.making import edit_of, extension_of, remix_of, video_of
from vitascope.server.video import video_object

router = APIRouter(prefix="/v1/videos", tags=["videos"])
VARIANTS = {
    "video": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/webp"),
    "spritesheet": (SPRITESHEET, "image/jpeg"),
}


@router.post("", summary="Make a video", openapi_extra=bodies.CREATE)
async def create(request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """Queue a job; a header `Idempotency-Key` makes a retry give the same job."""
    return await made(request, office, caller, video_of)


@router.post("/edits", summary="Make a video again after a sentence", openapi_extra=bodies.EDIT)
async def edit(request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """Video-to-video: `video` is a file, or {id} of a completed one; `params[strength]` says how much changes."""
    return await made(request, office, caller, edit_of, file_field="video")


@router.post("/extensions", summary="Let a video go on", openapi_extra=bodies.EXTEND)
async def extend(request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """What comes next is made from the last frame, and joined: `seconds` of the answer is the whole length."""
    return await made(request, office, caller, extension_of, file_field="video")


@router.post("/characters", summary="Not supported")
async def create_character(_: Writer) -> None:
    """Vitascope has no characters. Raises: Refusal."""
    raise _no_characters()


@router.get("/characters/{character_id}", summary="Not supported")
async def get_character(character_id: str, _: Reader) -> None:  # noqa: ARG001
    """Vitascope has no characters. Raises: Refusal."""
    raise _no_characters()


def _no_characters() -> Refusal:
    message = "characters are not supported; start from a picture with input_reference, or put a LoRA on"
    return Refusal(400, message, code="not_supported")


@router.get("", summary="List videos")
def list_videos(
    office: Counter,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """A page of videos; the next one is asked for with `after` = `last_id`."""
    if after is not None:
        office.find(after, caller.tenant)
    jobs = office.ledger.page(caller.tenant, after, limit + 1, newest_first=order == "desc")
    shown = jobs[:limit]
    return {
        "object": "list",
        "data": [video_object(job) for job in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(jobs) > limit,
    }


@router.get("/{video_id}", summary="Look at a video's job")
def retrieve(video_id: str, office: Counter, caller: Reader) -> JSONResponse:
    """Status, progress and, once it is there, the recipe."""
    return answer(kept(office, video_id, caller))


@router.get("/{video_id}/content", summary="Download a video", response_class=Response)
def content(
    video_id: str,
    request: Request,
    office: Counter,
    caller: Reader,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> Response:
    """The file, whole or in ranges."""
    job = kept(office, video_id, caller)
    if job.status != "completed":
        what = "has failed and has no file" if job.status == "failed" else f"is {job.status}; ask again later"
        raise Refusal(409, f"video {video_id!r} {what}", code="not_ready", param="video_id")
    name, kind = VARIANTS[variant]
    shown_as = f"{job.id}.{name.rpartition('.')[2]}"
    return file_response(
        office.house.artifacts, office.house.named(job.id, name), kind, shown_as, request.headers
    )


@router.get("/{video_id}/preview", summary="A small picture of a running job", response_class=Response)
def preview(video_id: str, office: Counter, caller: Reader) -> Response:
    """What the clip looks like so far; 409 before there is one, and after the end."""
    job = kept(office, video_id, caller)
    try:
        picture = office.house.artifacts.read(office.house.named(job.id, PREVIEW))
        return Response(picture, media_type="image/webp", headers={"cache-control": "no-store"})
    except NotFound as error:
        message = f"video {video_id!r} has no preview now"
        raise Refusal(409, message, code="not_ready", param="video_id") from error


@router.get("/{video_id}/events", summary="Follow a video's progress", response_class=StreamingResponse)
async def events(video_id: str, request: Request, office: Counter, caller: Reader) -> StreamingResponse:
    """Server-sent events from the present state to the end: `video.progress`, `video.completed`, `video.failed`."""
    job = await asyncio.to_thread(kept, office, video_id, caller)
    broadcast: Broadcast = request.app.state.broadcast
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(broadcast.listen(job), media_type="text/event-stream", headers=headers)


@router.post("/{video_id}/cancel", summary="Stop a video's job")
def cancel(video_id: str, office: Counter, caller: Writer) -> JSONResponse:
    """A waiting job never starts, a running one stops at its next denoising step; an ended one stays."""
    return answer(office.cancel(kept(office, video_id, caller).id, caller.tenant))


@router.delete("/{video_id}", summary="Delete a video")
def delete(video_id: str, office: Counter, caller: Writer) -> dict[str, Any]:
    """Remove an ended job and its files."""
    office.delete(video_id, caller.tenant)
    return {"id": video_id, "deleted": True, "object": "video.deleted"}


@router.post(
    "/{video_id}/remix", summary="Make a video again after another sentence", openapi_extra=bodies.REMIX
)
async def remix(video_id: str, request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """The same model, seed and settings with a new prompt."""
    parent = await asyncio.to_thread(kept, office, video_id, caller)
    return await made(request, office, caller, lambda incoming: remix_of(incoming, parent))


def kept(office: Office, video_id: str, caller: ApiKey) -> Job:
    """A job that has not expired. Raises: NotFound, Refusal (410)."""
    job = office.find(video_id, caller.tenant)
    if job.expires_at is not None and job.expires_at < time.time():
        raise Refusal(410, f"video {video_id!r} has expired", code="expired", param="video_id")
    return job
