"""The counter of the job office: submit, look up, cancel, delete. Loads no model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.jobs.estimate import Estimator
from vitascope.jobs.examiner import Examiner
from vitascope.jobs.house import House
from vitascope.jobs.keys import KeyRing
from vitascope.jobs.ledger import Ledger, TooManyJobs
from vitascope.jobs.loras import file_names, offered_path
from vitascope.jobs.order import Order, default_model, prepare
from vitascope.jobs.queue import Queue, open_queue
from vitascope.jobs.record import DEFAULT_PRIORITY, Job, new_id
from vitascope.jobs.rules import Rules
from vitascope.jobs.uploads import Uploads
from vitascope.jobs.webhooks import Webhooks

DAY_S = 86_400.0
AT_ONCE = (
    200  # requests of one tenant that all processes may be working at; nearer to its limit they queue up
)


class KeyReused(RequestError):
    """An idempotency key came back with another request."""

    http_status = 422


class StillOpen(RequestError):
    """The job has not ended yet."""

    http_status = 409


@dataclass(frozen=True)
class Submission:
    """One request as it came in. `save_reference` writes an upload to the given path and may refuse it.

    `reference_name`: what the request calls it. `max_open`: waiting and running jobs that the tenant may have.
    `max_running`: how many of them may stand in the queue or run at once; the others wait for their turn.
    `kept_clips`: what another job kept between its stages; those that are the same are not made again.
    """

    order: Order
    tenant: str = "local"
    priority: int = DEFAULT_PRIORITY
    max_open: int | None = None
    max_running: int | None = None
    idempotency_key: str | None = None
    request_hash: str = ""
    remixed_from: str | None = None
    save_reference: Callable[[Path], None] | None = None
    reference_name: str = "input_reference"
    kept_clips: Path | None = None

    @property
    def brings_files(self) -> bool:
        """Whether anything is to lie in the job's folder before it is made."""
        return bool(self.save_reference or self.order.loras or self.kept_clips)


class Office:
    """Takes requests and gives answers about them; any number of processes may have one."""

    def __init__(
        self,
        house: House,
        *,
        max_open: int = 1000,
        lifetime_s: float = 7 * DAY_S,
        rules: Rules | None = None,
    ) -> None:
        open_queue(house)
        self.house, self.max_open, self.lifetime_s = house, max_open, lifetime_s
        self.rules = rules or Rules()
        self.ledger = Ledger(house.ledger_url)
        self.queue = Queue(house, self.ledger)
        self.examiner, self.estimator = Examiner(), Estimator(self.ledger)
        self.keys = KeyRing(self.ledger.engine)
        self.uploads = Uploads(house, self.ledger.engine, self.examiner, lifetime_s)
        self.webhooks = Webhooks(self.ledger.engine)

    def close(self) -> None:
        """Give all connections back."""
        self.examiner.close()
        self.queue.close()
        self.ledger.close()

    def submit(self, asked: Submission) -> Job:
        """Check a request and queue it; the same idempotency key gives the job that it made before.

        Raises: RequestError (also KeyReused, TooManyJobs, CannotFit) for what cannot be done as asked.
        """
        if (before := self._before(asked)) is not None:
            return before
        most = min(self.max_open, asked.max_open or self.max_open)
        room = most - self.ledger.num_open(asked.tenant)
        if room <= 0:
            raise TooManyJobs(most)
        job_id = new_id()
        folder = self.house.job(job_id)
        if asked.brings_files:  # to make a folder costs more than all else that is done here
            folder.mkdir(mode=0o700)
        try:
            job = self._checked(asked, job_id, folder)
            if asked.brings_files:
                self.house.artifacts.put(self.house.named(job_id))
            at_once = job.released and self.queue.is_in_ledgers_database
            queueing = partial(self.queue.put_within, job) if at_once else None
            added = self.ledger.add(job, most if room < AT_ONCE else None, queueing)
        except Exception:
            self.house.forget(job_id)
            raise
        if not added:  # the same key came in twice at once, and the other was faster
            self.house.forget(job_id)
            return self._before(asked) or job
        if not job.released:
            self.release(job.tenant)
        elif not at_once:
            self.queue.put(job)
        if self.house.store and asked.brings_files:
            self.house.artifacts.leave(self.house.named(job_id))
        return job

    def release(self, tenant: str | None = None) -> None:
        """Queue those held jobs for which their tenants have room now."""
        for job in self.ledger.release(tenant):
            self.queue.put(job)

    def _checked(self, asked: Submission, job_id: str, folder: Path) -> Job:
        order, kind = self.rules.on_order(asked.order), ""
        if asked.save_reference is not None:
            asked.save_reference(folder / "reference")
            kind = self.examiner.kind(folder / "reference", asked.reference_name)
            if kind == "lora":
                raise InvalidMedia("the reference is a LoRA, not a picture or clip", param="input_reference")
            order = order.model_copy(update={"reference": "reference"})
        if not order.model:
            order = order.model_copy(update={"model": default_model(kind)})
        self._take_loras(order, asked.tenant, folder)
        if asked.kept_clips is not None:
            shutil.copytree(asked.kept_clips, folder / "clips")
        prepared = prepare(order, folder)
        self.rules.on_start(prepared.start, prepared.before)
        seconds, size = prepared.measures()
        return Job(
            id=job_id,
            tenant=asked.tenant,
            order=order,
            priority=asked.priority,
            seconds=seconds,
            size=size,
            released=asked.max_running is None,
            max_running=asked.max_running,
            remixed_from=asked.remixed_from,
            idempotency_key=asked.idempotency_key,
            request_hash=asked.request_hash,
            estimate=self.estimator.estimate(prepared, order.model),
        )

    def _take_loras(self, order: Order, tenant: str, folder: Path) -> None:
        """Put the job's LoRA files beside its reference: a job keeps what it was asked with."""
        for name, lora in zip(file_names(order.loras), order.loras, strict=True):
            if lora.name.startswith("file-"):
                path = self.uploads.path(lora.name, tenant, kind="lora")
            else:
                path = offered_path(lora.name, self.house.artifacts)
            shutil.copyfile(path, folder / name)

    def _before(self, asked: Submission) -> Job | None:
        if asked.idempotency_key is None:
            return None
        job = self.ledger.with_key(asked.tenant, asked.idempotency_key)
        if job is not None and job.request_hash != asked.request_hash:
            raise KeyReused(
                f"Idempotency-Key {asked.idempotency_key!r} was used for another request; take a new one",
                param="Idempotency-Key",
            )
        return job

    def find(self, job_id: str, tenant: str) -> Job:
        """A tenant's job. Raises: NotFound, the same for a job that is not there and for another's."""
        job = self.ledger.get(job_id)
        if job is None or job.tenant != tenant:
            raise NotFound(f"no video {job_id[:80]!r}", param="video_id")
        return job

    def cancel(self, job_id: str, tenant: str) -> Job:
        """Stop a job that waits or runs; one that has ended stays as it is. Raises: NotFound."""
        before = self.find(job_id, tenant)
        ended = self.ledger.fail(job_id, "cancelled", "the job was cancelled", self.lifetime_s)
        if ended and before.status == "queued" and before.released:
            self.queue.cancel(job_id)  # a running one ends by itself: it sees that it has lost its job
        if ended:
            self.release(tenant)
        return self.find(job_id, tenant)

    def file(self, job_id: str, name: str) -> Path:
        """A file of a job on this machine, such as `house.VIDEO`. Raises: NotFound, ResourceError."""
        return self.house.artifacts.fetch(self.house.named(job_id, name))

    def delete(self, job_id: str, tenant: str) -> None:
        """Remove an ended job and its files. Raises: NotFound, StillOpen."""
        if self.find(job_id, tenant).is_open:
            raise StillOpen(f"video {job_id!r} is not finished; cancel it first", param="video_id")
        self.house.forget(job_id)
        self.queue.forget([job_id])
        self.ledger.forget([job_id])
