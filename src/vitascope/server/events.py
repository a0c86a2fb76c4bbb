"""Progress as server-sent events: one poller asks the ledger for all who listen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError

from vitascope.jobs.office import Office
from vitascope.jobs.record import Job
from vitascope.jobs.tables import in_one_line
from vitascope.server.video import video_object

log = logging.getLogger(__name__)
POLL_S = 0.25
AFTER_A_FAILURE_S = 1.0
MIN_PERCENT = 8  # below it, most of the time went into loading the model
QUIET_S = 15.0  # after which a comment keeps the connection open


class Broadcast:
    """Hands the news of each job to whoever listens to it."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._listeners: dict[str, set[asyncio.Queue[tuple[Job, str] | None]]] = {}
        self._sent: dict[str, Job] = {}
        self._has_ended = False

    def end(self) -> None:
        """Let all listeners go, within moments; they may ask another process, or come again."""
        self._has_ended = True

    async def run(self) -> None:
        """Poll for ever; started and cancelled with the app."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._has_ended:
                for queue in itertools.chain.from_iterable(self._listeners.values()):
                    queue.put_nowait(None)
            elif self._listeners:
                try:
                    jobs = await asyncio.to_thread(self._office.ledger.several, list(self._listeners))
                except DBAPIError as error:
                    log.error("the ledger could not be asked for progress: %s", in_one_line(error))
                    await asyncio.sleep(AFTER_A_FAILURE_S)
                    continue
                await self._tell(jobs)

    async def _tell(self, jobs: Sequence[Job]) -> None:
        """Send each job that has changed to those who listen to it."""
        for job in jobs:
            if self._sent.get(job.id) == job:
                continue
            self._sent[job.id] = job
            text = await self._event(job)  # once for all who listen
            for queue in self._listeners.get(job.id, ()):
                queue.put_nowait((job, text))

    async def listen(self, job: Job) -> AsyncIterator[str]:
        """Events of one job from its present state to its end, as text of `text/event-stream`."""
        queue: asyncio.Queue[tuple[Job, str] | None] = asyncio.Queue()
        self._listeners.setdefault(job.id, set()).add(queue)
        try:
            current = await asyncio.to_thread(self._office.ledger.get, job.id) or job
            yield await self._event(current)
            while current.is_open:
                text = ": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_S):
                        if (news := await queue.get()) is None:
                            return
                        current, text = news
                yield text
        finally:
            self._listeners[job.id].discard(queue)
            if not self._listeners[job.id]:
                del self._listeners[job.id]
                self._sent.pop(job.id, None)

    async def _event(self, job: Job) -> str:
        data: dict[str, Any] = video_object(job) | {"step": job.step, "total": job.total, "eta_s": eta_s(job)}
        if job.stage == "denoise":
            data["preview"] = f"/v1/videos/{job.id}/preview"
        if job.status == "queued":
            data["queue_position"] = await asyncio.to_thread(self._office.ledger.num_before, job)
        name = "progress" if job.is_open else job.status
        return f"event: video.{name}\ndata: {json.dumps(data)}\n\n"


def eta_s(job: Job) -> float | None:
    """Seconds to the end, from how far the running job has come; before that its estimate; None if not known."""
    if job.status != "in_progress" or job.started_at is None:
        return (job.estimate or {}).get("seconds") if job.status == "queued" else None
    if job.progress <= MIN_PERCENT:
        return (job.estimate or {}).get("seconds")
    return round((time.time() - job.started_at) * (100 - job.progress) / job.progress, 1)
