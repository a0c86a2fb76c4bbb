"""Make a suite's clips through the durable job queue: several workers share the work, and a second call goes on."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, NotFound, RequestError, ResourceError
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item
from vitascope.generators import GENERATORS
from vitascope.task import MotionToVideo, TrajectoryToVideo

if TYPE_CHECKING:
    from vitascope.jobs.house import House
    from vitascope.jobs.office import Office
    from vitascope.jobs.record import Job

Work = tuple[Contender, Item]
LOOK_EVERY_S = 0.5
NUM_OPEN = 100_000  # a whole suite waits at once


def make_queued(
    run: SuiteRun,
    contenders: Sequence[Contender],
    context: Context,
    num_workers: int = 1,
    device: str = "auto",
    database: str = "",
    store: str = "",
) -> list[MadeClip]:
    """Make the missing clips in worker processes, and return all clips that are there.

    Jobs wait in FOLDER/queue, those of one contender after another, so that models stay warm. An item that
    fails is written down with its reason and stops nothing; a job that was under way when the last call
    ended is gone on with. `database`: a PostgreSQL URL in place of the folder's own queue, so that workers of
    other machines take part; `store` is then where they leave their files. `num_workers`: processes of this call;
    with none, other machines do it all.
    Raises: RequestError, DependencyMissing, InvalidMedia, JobCancelled.
    """
    run.begin()
    work = run.missing(contenders)
    if not work:
        return run.made()
    for package in ("dbos", "sqlalchemy"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "evaluation through the queue")
    queued, others = _carried(work)
    engine = Engine(Placement(device=device))
    for contender, item in others:
        run.results.put(_made_here(run, contender, item, engine, context))
    if not queued:
        return run.made()
    from vitascope.jobs.house import House

    house = House(run.folder.resolve() / "queue", database, store)
    with _staffed(house, num_workers, device) as office:
        waiting: dict[str, MadeClip] = {}
        for contender, item in sorted(queued, key=lambda pair: pair[0].name):
            blank = run.blank(contender, item)
            try:
                waiting[_submitted(contender, item, run, office).id] = blank
            except RequestError as error:
                run.results.put(blank.model_copy(update={"failed": str(error)}))
        _take_as_they_end(waiting, run, office, context)
    return run.made()


def _take_as_they_end(waiting: dict[str, MadeClip], run: SuiteRun, office: Office, context: Context) -> None:
    """Wait for all jobs (id -> the record of its clip), and take each clip over as its job ends."""
    num_all = len(waiting)
    while waiting:
        context.check_cancelled()
        for job in office.ledger.several(list(waiting)):
            if not job.is_open:
                run.results.put(_taken(run, waiting.pop(job.id), job, office))
        context.progress("suite", num_all - len(waiting), num_all)
        time.sleep(LOOK_EVERY_S)


def _carried(work: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """Split work into what a job can carry and the rest: jobs carry no poses and no trajectories."""
    plain = [pair for pair in work if pair[1].poses is None and pair[1].trajectories is None]
    return plain, [pair for pair in work if pair not in plain]


def _made_here(run: SuiteRun, contender: Contender, item: Item, engine: Engine, context: Context) -> MadeClip:
    generator = contender.chain().generator
    assert generator is not None, "a contender is a chain of one generator"
    made = run.make_one(contender, item, engine, context)
    kind = MotionToVideo if item.poses is not None else TrajectoryToVideo
    if issubclass(kind, generator.accepts) or kind.kind not in (made.failed or ""):
        return made
    able = [found.name for found in GENERATORS if issubclass(kind, found.accepts)]
    hint = f"{', '.join(able)} can" if able else "no generator here can: bring clips with --clips NAME=FOLDER"
    return made.model_copy(update={"failed": f"{made.failed}; {hint}"})


@contextmanager
def _staffed(house: House, num_workers: int, device: str) -> Iterator[Office]:
    from vitascope.jobs.office import Office
    from vitascope.jobs.supervisor import Supervisor

    house.open()
    office = Office(house, max_open=NUM_OPEN)
    stop = threading.Event()
    slots = [f"{socket.gethostname()}-{number}" for number in range(num_workers)]
    supervisor = Supervisor(house, slots, ("--device", device))
    watching = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
    watching.start()
    try:
        yield office
    finally:
        stop.set()
        watching.join()
        office.close()


def _submitted(contender: Contender, item: Item, run: SuiteRun, office: Office) -> Job:
    """The item's job: the one of an earlier call that is open or whose file waits to be taken, or a new one."""
    from vitascope.jobs.house import VIDEO
    from vitascope.jobs.office import Submission
    from vitascope.jobs.order import Order

    order = Order(
        prompt=item.prompt, model=contender.model, speed=contender.speed, options=contender.options(item)
    )
    source = item.image or item.video
    for attempt in itertools.count():
        # Other runs may share the database: a job belongs to the folder that its clip is moved into.
        mark = (
            f"{run.folder.resolve()}|{order.model_dump_json()}|{contender.name}|{item.id}|{source}|{attempt}"
        )
        key = hashlib.sha256(mark.encode()).hexdigest()
        job = office.submit(
            Submission(
                order=order,
                idempotency_key=key,
                request_hash=key,
                save_reference=None if source is None else partial(_copied, source),
            )
        )
        if job.is_open:
            return job
        with suppress(NotFound, ResourceError):
            if job.status == "completed" and office.file(job.id, VIDEO).is_file():
                return job
    raise AssertionError("counting has no end")


def _copied(source: Path, target: Path) -> None:
    if not source.is_file():
        raise NotFound(f"no file {str(source)!r} to start from")
    shutil.copyfile(source, target)


def _taken(run: SuiteRun, blank: MadeClip, job: Job, office: Office) -> MadeClip:
    from vitascope.jobs.house import VIDEO

    if job.status != "completed":
        return blank.model_copy(update={"failed": job.error_message or f"the job ended as {job.status}"})
    target = run.place(blank)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        office.file(job.id, VIDEO).replace(target)
    except (NotFound, ResourceError) as error:  # made on another machine that shares no files with this one
        return blank.model_copy(update={"failed": f"made, but its file is not to be had: {error}"})
    return blank.model_copy(
        update={
            "path": target.relative_to(run.folder).as_posix(),
            "seconds": job.result.get("generation_time_s", job.result.get("inference_time_s")),
            "memory_gib": job.result.get("memory_gib"),
            "machine": job.result.get("machine", ""),
        }
    )
