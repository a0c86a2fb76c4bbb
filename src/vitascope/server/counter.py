"""The counter of routes that make something: the office, a request that is read and submitted, a job as an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.record import Job
from vitascope.server.body import read_body
from vitascope.server.making import Asking
from vitascope.server.video import video_object

POLL_AFTER_MS = "1000"


async def _office(request: Request) -> Office:
    return request.app.state.office


Counter = Annotated[Office, Depends(_office)]


async def made(
    request: Request,
    office: Office,
    caller: ApiKey,
    understood: Callable[[Asking], Submission],
    file_field: str = "input_reference",
) -> JSONResponse:
    """Read a request, submit what `understood` makes of it, and answer with the job. Raises: RequestError."""
    body = await read_body(request, file_field)
    asking = Asking(office, caller, body, request.headers, request.app.state.sources)
    try:
        return await asyncio.to_thread(lambda: answer(office.submit(understood(asking))))
    finally:
        if body.file is not None:
            await body.file.close()


def answer(job: Job) -> JSONResponse:
    """A job as clients see it, with a word on when to ask again."""
    headers = {"openai-poll-after-ms": POLL_AFTER_MS} if job.is_open else None
    return JSONResponse(video_object(job), headers=headers)
