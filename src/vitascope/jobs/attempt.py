"""One attempt at one job: from the order to the files that a client downloads."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from vitascope.clip import Clip
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine.engine import Engine
from vitascope.errors import JobCancelled, RequestError, ResourceError, VitascopeError
from vitascope.jobs.house import SPRITESHEET, THUMBNAIL, VIDEO, House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.order import prepare, written_measures
from vitascope.jobs.progress import Watch
from vitascope.jobs.record import Job
from vitascope.media import contact_sheet, thumbnail, write, write_image
from vitascope.workflows import ClipStore

log = logging.getLogger(__name__)
CHECKPOINT_EVERY = 5  # denoising steps
NUM_SHEET_COLUMNS = 6


@dataclass
class Bench:
    """What a worker process keeps between jobs: its engine with warm models, the ledger, its limits."""

    house: House
    ledger: Ledger
    engine: Engine
    lifetime_s: float
    slot: str = "bench"
    max_attempts: int = 3
    checkpoint_every: int = CHECKPOINT_EVERY
    stop: threading.Event = field(default_factory=threading.Event)
    current: tuple[str, str] | None = None  # job and owner of the running attempt

    def work(self, job_id: str) -> None:
        """Make the clip of a job, going on from what an earlier attempt has kept; its end is in the ledger.

        Raises: JobCancelled if this worker was told to stop, so that the queue keeps the job.
        """
        owner = f"{self.slot}/{uuid4().hex}"
        job = self.ledger.claim(job_id, owner)
        if job is None:
            return  # cancelled while it waited, or finished by an attempt that died before it could say so
        if job.attempts > self.max_attempts:
            message = f"its worker died {self.max_attempts} times while it ran; it will not be tried again"
            self._fail(job, owner, "worker_lost", message)
            return
        self.current = (job_id, owner)
        try:
            self._make(job, owner)
        except JobCancelled:
            if self.stop.is_set():
                raise
            self.house.forget_work(job_id)
        except (RequestError, ResourceError) as error:
            self._fail(job, owner, error.code, str(error))
        except Exception as error:
            log.exception("job %s failed", job_id)
            message = str(error) if isinstance(error, VitascopeError) else "an error of ours; see the log"
            self._fail(job, owner, "internal_error", message)
        finally:
            self.current = None

    def _fail(self, job: Job, owner: str, code: str, message: str) -> None:
        self.ledger.fail(job.id, code, message, self.lifetime_s, owner)
        self.house.forget_work(job.id)

    def _make(self, job: Job, owner: str) -> None:
        folder = self.house.job(job.id)
        started = time.monotonic()
        context = Context(
            on_progress=Watch(self.ledger, job.id, owner, job.progress),
            cancel=self.stop,
            checkpoints=FolderCheckpoints(folder / "states"),
            checkpoint_every=self.checkpoint_every,
        )
        context.progress("load", 0, 0)
        clip = prepare(job.order, folder).run(self.engine, context, ClipStore(folder / "clips"))
        _publish(clip, folder, context)
        seconds, size = written_measures(clip.num_frames, clip.fps, clip.width, clip.height)
        result = {
            "recipe": clip.recipe.model_dump(mode="json"),
            "warnings": context.warnings,
            "inference_time_s": round(time.monotonic() - started, 3),
        }
        measured = {"seconds": seconds, "size": size, "result": result}
        if self.ledger.complete(job.id, owner, self.lifetime_s, **measured):
            self.house.forget_work(job.id)

    def give_back(self) -> None:
        """Hand the running job back uncounted: this worker was asked to stop."""
        if self.current is not None:
            self.ledger.give_back(*self.current)


def _publish(clip: Clip, folder: Path, context: Context) -> None:
    """Write the files of a finished job, each in one move, the video last."""
    write_image(thumbnail(clip, max_side=512), folder / THUMBNAIL)
    write_image(contact_sheet([clip], num_columns=NUM_SHEET_COLUMNS), folder / SPRITESHEET)
    write(clip, folder / VIDEO, context=context)
