"""The counter of routes that make something: the office, a request that is read and submitted, a job as an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.record import Job
from vitascope.server.body import read_body
from vitascope.server.making import IncomingRequest
from vitascope.server.training_job import training_object
from vitascope.server.video import video_object

POLL_AFTER_MS = "1000"
_WITH_MEDIA = ("input_reference", "video", "image_url", "reference_url", "image_reference", "video_reference")
# Decoding an upload takes its time; requests without one must never wait behind it.
_media_threads = ThreadPoolExecutor(4, thread_name_prefix="media")


T = TypeVar("T")


async def _office(request: Request) -> Office:
    return request.app.state.office


Counter = Annotated[Office, Depends(_office)]


async def made(
    request: Request,
    office: Office,
    caller: ApiKey,
    understood: Callable[[IncomingRequest], Submission],
    file_field: str = "input_reference",
    *,
    is_heavy: bool = False,
) -> JSONResponse:
    """Read a request, submit what `understood` makes of it, and answer with the job. Raises: RequestError."""
    body = await read_body(request, file_field)
    incoming = IncomingRequest(office, caller, body, request.headers, request.app.state.sources)
    try:
        heavy = is_heavy or body.file is not None or any(name in body.fields for name in _WITH_MEDIA)
        return await threaded(lambda: answer(office.submit(understood(incoming))), heavy=heavy)
    finally:
        if body.file is not None:
            await body.file.close()


async def threaded(work: Callable[[], T], *, heavy: bool) -> T:
    """What `work` gives, done beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_media_threads if heavy else None, work)


def answer(job: Job) -> JSONResponse:
    """A job as clients see it, with a word on when to ask again."""
    headers = {"openai-poll-after-ms": POLL_AFTER_MS} if job.is_open else None
    content = video_object(job) if job.kind == "video" else training_object(job)
    return JSONResponse(content, headers=headers)
