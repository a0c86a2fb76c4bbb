"""The counter of the job office: submit, look up, cancel, delete. Loads no model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vitascope.errors import InvalidMedia, NotFound, RequestError, UnknownName
from vitascope.generators import for_model
from vitascope.jobs.estimate import Estimator
from vitascope.jobs.examiner import Examiner
from vitascope.jobs.house import House
from vitascope.jobs.keys import KeyRing
from vitascope.jobs.ledger import Ledger, TooManyJobs
from vitascope.jobs.loras import file_names, offered_path
from vitascope.jobs.order import FINE_TUNED, Order, default_model, prepare, public_models, with_own_model
from vitascope.jobs.queue import Queue, open_queue
from vitascope.jobs.record import DEFAULT_PRIORITY, Job, Kind, new_id
from vitascope.jobs.rules import Rules
from vitascope.jobs.training_order import Enrolment, TrainingClip
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
    `training_clips`: the uploads that a training learns from. `kept_clips`: what another job kept between its
    stages; those that are the same are not made again.
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
    training_clips: Sequence[TrainingClip] = ()
    kept_clips: Path | None = None

    @property
    def brings_files(self) -> bool:
        """Whether anything is to lie in the job's folder before it is made."""
        order = self.order
        named = order.loras or order.training or order.model.startswith(FINE_TUNED)
        return bool(self.save_reference or named or self.kept_clips)


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
        job_id = new_id("video" if asked.order.training is None else "training")
        folder = self.house.job(job_id)
        if asked.brings_files:  # to make a folder costs more than all else that is done here
            folder.mkdir(mode=0o700)
        try:
            training = asked.order.training is not None
            job = (self._checked_training if training else self._checked)(asked, job_id, folder)
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
        order, kind = with_own_model(self.rules.on_order(asked.order)), ""
        if asked.save_reference is not None:
            asked.save_reference(folder / "reference")
            kind = self.examiner.kind(folder / "reference", asked.reference_name)
            if kind == "lora":
                raise InvalidMedia("the reference is a LoRA, not a picture or clip", param="input_reference")
            order = order.model_copy(update={"reference": "reference"})
        if not order.model:
            order = order.model_copy(update={"model": default_model(kind, order.options)})
        self._take_loras(order, asked.tenant, folder)
        if asked.kept_clips is not None:
            shutil.copytree(asked.kept_clips, folder / "clips")
        prepared = prepare(order, folder)
        self.rules.on_start(prepared.start, prepared.before)
        seconds, size = prepared.measures()
        estimate = self.estimator.estimate(prepared, order.model)
        return _job(asked, job_id, order, seconds=seconds, size=size, estimate=estimate)

    def _checked_training(self, asked: Submission, job_id: str, folder: Path) -> Job:
        order = self.rules.on_order(asked.order)
        assert order.training is not None, "asked for trainings alone"
        if order.model not in public_models():
            raise UnknownName("model", order.model, public_models(), param="model")
        enrolment = Enrolment(self.uploads, self.house.artifacts, asked.tenant, folder)
        training = enrolment.enrol(order.training, asked.training_clips)
        if self.rules.moderator is not None:
            self.rules.on_start(*enrolment.brought(training))
        needed = self.estimator.check_room(for_model(order.model), order.model)
        order = order.model_copy(update={"training": training})
        estimate = {"seconds": None, "memory_gib": None if needed is None else round(needed, 2)}
        return _job(asked, job_id, order, estimate=estimate)

    def _take_loras(self, order: Order, tenant: str, folder: Path) -> None:
        """Put the job's LoRA files beside its reference: a job keeps what it was asked with."""
        for name, lora in zip(file_names(order.loras), order.loras, strict=True):
            if lora.name.startswith("file-"):
                path = self.uploads.path(lora.name, tenant, kind="lora")
            elif (trained := self.uploads.lora_named(lora.name, tenant)) is not None:
                path = self.uploads.path(trained.id, tenant)
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

    def find(self, job_id: str, tenant: str, kind: Kind = "video") -> Job:
        """A tenant's job. Raises: NotFound, the same for a job that is not there and for another's."""
        job = self.ledger.get(job_id)
        if job is None or job.tenant != tenant or job.kind != kind:
            param = {"video": "video_id", "training": "fine_tuning_job_id"}[kind]
            raise NotFound(f"no {kind} {job_id[:80]!r}", param=param)
        return job

    def cancel(self, job_id: str, tenant: str, kind: Kind = "video") -> Job:
        """Stop a job that waits, runs or is paused; one that has ended stays as it is. Raises: NotFound."""
        before = self.find(job_id, tenant, kind)
        ended = self.ledger.fail(job_id, "cancelled", "the job was cancelled", self.lifetime_s)
        if before.status == "paused":
            self.house.forget_work(job_id)
        self._leave_queue(before, ended)
        return self.find(job_id, tenant, kind)

    def pause(self, job_id: str, tenant: str) -> Job:
        """Let a training save a checkpoint and stop, to go on later; one that has ended stays as it is.

        Raises: NotFound.
        """
        before = self.find(job_id, tenant, "training")
        self._leave_queue(before, self.ledger.pause(job_id, self.lifetime_s))
        return self.find(job_id, tenant, "training")

    def resume(self, job_id: str, tenant: str) -> Job:
        """Let a paused training wait again; it goes on from its checkpoint.

        Raises: NotFound, StillOpen while its worker is still saving, or if it is not paused.
        """
        job = self.find(job_id, tenant, "training")
        if job.status != "paused":
            raise StillOpen(f"training {job_id!r} is {job.status}, not paused", param="fine_tuning_job_id")
        if self.queue.statuses([job_id]).get(job_id) == "PENDING":
            raise StillOpen(f"training {job_id!r} is still saving its checkpoint; ask again in a moment")
        self.queue.forget([job_id])  # the queue takes an id only once
        if self.ledger.resume(job_id):
            if job.max_running is None:
                self.queue.put(job)
            else:
                self.release(tenant)
        return self.find(job_id, tenant, "training")

    def _leave_queue(self, before: Job, ended: bool) -> None:
        if ended and before.status == "queued" and before.released:
            self.queue.cancel(before.id)  # a running one ends by itself: it sees that it has lost its job
        if ended:
            self.release(before.tenant)

    def file(self, job_id: str, name: str) -> Path:
        """A file of a job on this machine, such as `house.VIDEO`. Raises: NotFound, ResourceError."""
        return self.house.artifacts.fetch(self.house.named(job_id, name))

    def delete(self, job_id: str, tenant: str, kind: Kind = "video") -> None:
        """Remove an ended job and its files. Raises: NotFound, StillOpen."""
        if self.find(job_id, tenant, kind).is_open:
            raise StillOpen(f"{kind} {job_id!r} is not finished; cancel it first", param=f"{kind}_id")
        self.house.forget(job_id)
        self.queue.forget([job_id])
        self.ledger.forget([job_id])


def _job(asked: Submission, job_id: str, order: Order, **measures: Any) -> Job:
    return Job(
        id=job_id,
        tenant=asked.tenant,
        order=order,
        priority=asked.priority,
        released=asked.max_running is None,
        max_running=asked.max_running,
        remixed_from=asked.remixed_from,
        idempotency_key=asked.idempotency_key,
        request_hash=asked.request_hash,
        **measures,
    )
