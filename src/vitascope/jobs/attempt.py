"""One attempt at one job: from the order to the files that a client downloads."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from sqlalchemy.exc import DBAPIError

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.peak import MemoryPeak
from vitascope.errors import JobCancelled, OutOfMemory, RankLost, RequestError, ResourceError, VitascopeError
from vitascope.jobs.artifacts import StoredCheckpoints, StoredClips
from vitascope.jobs.batch import BatchWatch, Member, companions, may_lead
from vitascope.jobs.estimate import work_of
from vitascope.jobs.house import PREVIEW, SPRITESHEET, THUMBNAIL, VIDEO, House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.order import Order, Prepared, prepare, written_measures
from vitascope.jobs.progress import Watch
from vitascope.jobs.queue import Queue
from vitascope.jobs.record import Job
from vitascope.jobs.rules import finished, preview_label
from vitascope.jobs.tables import in_one_line
from vitascope.jobs.training_attempt import train
from vitascope.media import contact_sheet, thumbnail, write, write_image
from vitascope.recipe import Recipe
from vitascope.task import Task
from vitascope.workflows import ClipStore

log = logging.getLogger(__name__)
CHECKPOINT_EVERY = 5  # denoising steps
NUM_SHEET_COLUMNS = 6
PREVIEW_EVERY_S = 1.5
PATIENCE_S = 600.0  # with a database that does not answer


@dataclass(frozen=True)
class Account:
    """How a run went. `work`: what was denoised, as `work_of` counts. Units: times in seconds of one clock."""

    started: float
    loaded: float
    made: float
    peak: MemoryPeak
    work: float | None


@dataclass
class JobRunner:
    """Runs jobs in a worker process, one attempt at a time; keeps the engine with its warm models between them."""

    house: House
    ledger: Ledger
    engine: Engine
    lifetime_s: float
    slot: str = "runner"
    max_attempts: int = 3
    checkpoint_every: int = CHECKPOINT_EVERY
    queue: Queue | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    max_batch: int = 1  # jobs that may be denoised together; more than one changes the last bits
    current: list[Job] = field(default_factory=list)  # of the running attempt; the queue knows the first
    owner: str = ""

    def __post_init__(self) -> None:
        self.speed = self.engine.placement.speed

    def work(self, job_id: str) -> None:
        """Make the clip of a job, going on from what an earlier attempt has kept; its end is in the ledger.

        With `max_batch`, waiting jobs that are like it are made in the same denoising.
        Raises: JobCancelled if this worker was told to stop, so that the queue keeps the job.
        """
        owner = f"{self.slot}/{uuid4().hex}"
        job = self.ledger.claim(job_id, owner)
        if job is None:
            return  # cancelled while it waited, made with another, or finished by an attempt that died since
        if job.attempts > self.max_attempts:
            message = f"its worker died {self.max_attempts} times while it ran; it will not be tried again"
            self._fail(job, owner, "worker_lost", message)
            return
        self.current, self.owner = [job], owner
        try:
            if not self._made_together(job, owner):
                for each in self.current:
                    self._made_alone(each, owner)
        finally:
            made, self.current = self.current, []
            for each in made:
                self._let_next_go(each)

    def _made_alone(self, job: Job, owner: str) -> None:
        with self._ending(job, owner):
            if job.order.training is None:
                self._make(job, owner)
            else:
                train(self, job, owner)

    def _made_together(self, job: Job, owner: str) -> bool:
        """Make a job in one batch with others that wait, if there are any; False if each must be made alone."""
        if self.max_batch < 2 or not may_lead(job):
            return False
        try:
            leader = Member(job, prepare(job.order, self._folder(job)))
            others = companions(leader, self.house, self.ledger, owner, self.max_batch - 1)
            if not others:
                return False
            self.current += [member.job for member in others]
            self._make_batch([leader, *others], owner)
        except JobCancelled:
            if self.stop.is_set():
                raise
            for each in self.current:
                self._forget_ended(each.id)
        except (RequestError, ResourceError) as error:
            if isinstance(error, OutOfMemory):
                self.engine.evict_all()
            return False
        except Exception:
            log.exception("a batch of %d failed; its jobs are made one at a time", len(self.current))
            return False
        return True

    def _forget_ended(self, job_id: str) -> None:
        """Remove the work of a cancelled job; one that is paused, or another worker's by now, keeps it."""
        left = self.ledger.get(job_id)
        if left is None or left.status == "failed":
            self.house.forget_work(job_id)

    @contextmanager
    def _ending(self, job: Job, owner: str) -> Iterator[None]:
        """What goes wrong inside is the job's end; a stop of this worker is not. Raises: JobCancelled."""
        try:
            yield
        except JobCancelled:
            if self.stop.is_set():
                raise
            self._forget_ended(job.id)
        except (RequestError, ResourceError) as error:
            if isinstance(error, OutOfMemory):
                self.engine.evict_all()  # the next job finds the device empty
            self._fail(job, owner, error.code, str(error))
        except RankLost as error:
            log.error("job %s: %s; this worker ends, and the job goes on in the next", job.id, error)
            os._exit(1)  # as it ends where one process is all there is
        except Exception as error:
            log.exception("job %s failed", job.id)
            message = str(error) if isinstance(error, VitascopeError) else "an error of ours; see the log"
            self._fail(job, owner, "internal_error", message)

    def _let_next_go(self, job: Job) -> None:
        """Its tenant may have another job that waits for this one's place."""
        if job.max_running is not None and self.queue is not None:
            for following in self.ledger.release(job.tenant):
                self.queue.put(following)

    def _fail(self, job: Job, owner: str, code: str, message: str) -> None:
        message = _told_without_places(message, self.house.job(job.id))
        self._surely(partial(self.ledger.fail, job.id, code, message, self.lifetime_s, owner))
        self.house.forget_work(job.id)

    def _make(self, job: Job, owner: str) -> None:
        started = time.monotonic()
        watch = self._watch(job, owner)
        context = Context(
            on_progress=watch,
            cancel=self.stop,
            checkpoints=StoredCheckpoints(self.house.artifacts, self.house.named(job.id, "states")),
            checkpoint_every=self.checkpoint_every,
            preview_every_s=PREVIEW_EVERY_S,
        )
        context.progress("load", 0, 0)
        folder = self._folder(job)
        prepared, engine = prepare(job.order, folder), self._engine_for(job.order)
        if prepared.chain.generator is not None:
            engine.warm(prepared.chain.generator)
        loaded = time.monotonic()
        clips = StoredClips(folder / "clips", artifacts=self.house.artifacts)
        with MemoryPeak() as peak:
            try:
                clip = prepared.run(engine, context, clips)
            except OutOfMemory:
                if watch.stage != "decode":
                    raise
                clip = self._decode_in_tiles(prepared, context, clips)
        account = Account(started, loaded, time.monotonic(), peak, work_of(prepared))
        self._deliver(job, owner, clip, context, account)

    def _make_batch(self, members: list[Member], owner: str) -> None:
        """All clips of a batch in one denoising; then the files of each, which may fail for one alone."""
        started = time.monotonic()
        watches = [self._watch(member.job, owner) for member in members]
        context = Context(on_progress=BatchWatch(watches), cancel=self.stop)
        context.progress("load", 0, 0)
        leader, order = members[0], members[0].job.order
        chain, engine = leader.prepared.chain, self._engine_for(order)
        assert chain.generator is not None, "may_lead() looked"
        engine.warm(chain.generator)
        loaded = time.monotonic()
        tasks = [member.prepared.start for member in members if isinstance(member.prepared.start, Task)]
        with MemoryPeak() as peak:
            clips = chain.run_batch(tasks, engine, context)
        work = work_of(leader.prepared)
        account = Account(started, loaded, time.monotonic(), peak, work and work * len(members))
        place = self.house.job(leader.job.id)
        for index, (member, clip) in enumerate(zip(members, clips, strict=True)):
            own = replace(context, on_progress=watches[index], warnings=context.warnings_about(index))
            with self._ending(member.job, owner):
                own.progress("write", 0, 0)  # one that was cancelled meanwhile ends here
                self._folder(member.job)
                clip = replace(clip, recipe=_without_places(clip.recipe, place))
                self._deliver(member.job, owner, clip, own, account)

    def _watch(self, job: Job, owner: str) -> Watch:
        return Watch(
            self.ledger,
            job.id,
            owner,
            job.progress,
            self.house.job(job.id) / PREVIEW,
            preview_label(job.id, job.order),
            partial(self.house.artifacts.put, self.house.named(job.id, PREVIEW)),
        )

    def _folder(self, job: Job) -> Path:
        """The job's folder on this machine, with what it was asked with."""
        folder = self.house.job(job.id)
        if job.order.reference is not None or job.order.loras:
            folder = self.house.artifacts.fetch(self.house.named(job.id))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _deliver(self, job: Job, owner: str, clip: Clip, context: Context, account: Account) -> None:
        """Judge, label and write a clip, and say in the ledger that it is there."""
        folder, named = self.house.job(job.id), self.house.named
        clip = finished(replace(clip, recipe=_without_places(clip.recipe, folder)), job.order)
        _publish(clip, folder, context)
        self.house.artifacts.put(*(named(job.id, name) for name in (THUMBNAIL, SPRITESHEET, VIDEO)))
        seconds, size = written_measures(clip.num_frames, clip.fps, clip.width, clip.height)
        result = {
            "recipe": clip.recipe.model_dump(mode="json"),
            "warnings": context.warnings,
            "inference_time_s": round(time.monotonic() - account.started, 3),
            "generation_time_s": round(account.made - account.loaded, 3),  # neither loading nor writing files
            "memory_gib": account.peak.gib,
            "machine": account.peak.device,
            "work": account.work,
        }
        measured = {"seconds": seconds, "size": size, "result": result}
        if self._surely(partial(self.ledger.complete, job.id, owner, self.lifetime_s, **measured)):
            self.house.forget_work(job.id, keep_clips=job.order.workflow is not None)
            if self.house.store:
                self.house.artifacts.leave(named(job.id))

    def _engine_for(self, order: Order) -> Engine:
        """The worker's engine, at the speed that the order asks for; another speed's models go first."""
        speed = order.speed or self.speed
        if speed != self.engine.placement.speed:
            self.engine.evict_all()
            self.engine = Engine(self.engine.placement.model_copy(update={"speed": speed}))
        return self.engine

    def _decode_in_tiles(self, prepared: Prepared, context: Context, clips: ClipStore) -> Clip:
        """Once more from the latents that were kept before decoding, with less memory.

        Raises: OutOfMemory if that is not enough either, or this model's decoder knows no tiles.
        """
        placement = self.engine.placement.model_copy(update={"vae_tiling": True, "vae_streaming": None})
        self.engine.evict_all()
        context.warn("memory ran out while decoding; the clip was decoded in tiles")
        careful = Engine(placement)
        try:
            return prepared.run(careful, context, clips)
        except RequestError as error:
            raise OutOfMemory(f"memory ran out while decoding, and {error}") from error
        finally:
            careful.evict_all()

    def _surely(self, write: Callable[[], bool]) -> bool:
        """What `write` gives, tried again while the database does not answer: the work is done, and must count."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return write()
            except DBAPIError as error:
                if time.monotonic() > until:
                    raise
                log.error("the end of a job cannot be written down: %s", in_one_line(error))
                self.stop.wait(1.0)

    def give_back(self) -> None:
        """Hand what runs back uncounted: this worker was asked to stop."""
        for job in reversed(self.current):  # the one that the queue knows of last: then its step may end
            if job is self.current[0]:
                self.ledger.give_back(job.id, self.owner)
            elif self.ledger.leave_batch(job.id, self.owner, counted=False) and self.queue is not None:
                self.queue.put_again(job)


def _publish(clip: Clip, folder: Path, context: Context) -> None:
    """Write the files of a finished job, each in one move, the video last."""
    label = clip.recipe.labels.aigc
    write_image(thumbnail(clip, max_side=512), folder / THUMBNAIL, label=label)
    write_image(contact_sheet([clip], num_columns=NUM_SHEET_COLUMNS), folder / SPRITESHEET, label=label)
    write(clip, folder / VIDEO, context=context)


def _told_without_places(message: str, folder: Path) -> str:
    """An error that tells a client nothing of this machine's disk."""
    message = message.replace(f"{folder}/", "")
    with suppress(RuntimeError):  # a container's user may have no home, or the root
        home = Path.home()
        return message.replace(str(home), "~") if home != home.parent else message
    return message


def _without_places(recipe: Recipe, folder: Path) -> Recipe:
    """A recipe that tells a client nothing of this machine's disk."""
    text = recipe.model_dump_json().replace(json.dumps(f"{folder}/")[1:-1], "")
    return Recipe.model_validate_json(text)
