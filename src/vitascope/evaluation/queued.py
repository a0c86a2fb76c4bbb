"""A suite through the service's own durable queue: several workers share it, and a second call goes on."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vitascope.context import Context
from vitascope.errors import DependencyMissing, RequestError
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item

if TYPE_CHECKING:
    from vitascope.jobs.house import House
    from vitascope.jobs.office import Office, Submission
    from vitascope.jobs.record import Job

LOOK_EVERY_S = 0.5
NUM_OPEN = 100_000  # a whole suite waits at once


def make_queued(
    run: SuiteRun,
    contenders: Sequence[Contender],
    context: Context,
    num_workers: int = 1,
    device: str = "auto",
) -> list[MadeClip]:
    """Make what is missing by worker processes of its own, and return all that is there.

    Jobs wait in FOLDER/queue, those of one contender after another, so that models stay warm. An item that
    fails is written down with its reason and stops nothing; a job that was under way when the last call
    ended is gone on with. Raises: RequestError, DependencyMissing, InvalidMedia, JobCancelled.
    """
    run.begin()
    work = run.missing(contenders)
    if not work:
        return run.made()
    for package in ("dbos", "sqlalchemy"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "evaluation through the queue")
    with _staffed(run.folder / "queue", num_workers, device) as (house, office):
        waiting: dict[str, MadeClip] = {}
        for contender, item in sorted(work, key=lambda pair: pair[0].name):
            blank = run.blank(contender, item)
            try:
                waiting[office.submit(_submission(contender, item, run)).id] = blank
            except RequestError as error:
                run.results.put(blank.model_copy(update={"failed": str(error)}))
        num_all = len(waiting)
        while waiting:
            context.check_cancelled()
            for job in office.ledger.several(list(waiting)):
                if not job.is_open:
                    run.results.put(_taken(run, waiting.pop(job.id), job, house))
            context.progress("suite", num_all - len(waiting), num_all)
            time.sleep(LOOK_EVERY_S)
    return run.made()


@contextmanager
def _staffed(folder: Path, num_workers: int, device: str) -> Iterator[tuple[House, Office]]:
    from vitascope.jobs.house import House
    from vitascope.jobs.office import Office
    from vitascope.jobs.supervisor import Supervisor

    house = House(folder.resolve())
    house.open()
    office = Office(house, max_open=NUM_OPEN)
    stop = threading.Event()
    slots = [f"{socket.gethostname()}-{number}" for number in range(num_workers)]
    supervisor = Supervisor(house, slots, ("--device", device))
    watching = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
    watching.start()
    try:
        yield house, office
    finally:
        stop.set()
        watching.join()
        office.close()


def _submission(contender: Contender, item: Item, run: SuiteRun) -> Submission:
    from vitascope.jobs.office import Submission
    from vitascope.jobs.order import Order

    order = Order(
        prompt=item.prompt, model=contender.model, speed=contender.speed, options=contender.options(item)
    )
    source = item.image or item.video
    attempts = sum(clip.failed is not None for clip in run.made() if clip.item == item.id)
    mark = f"{order.model_dump_json()}|{contender.name}|{item.id}|{source}|{attempts}"
    key = hashlib.sha256(mark.encode()).hexdigest()
    return Submission(
        order=order,
        idempotency_key=key,
        request_hash=key,
        save_reference=None if source is None else (lambda target: _copied(source, target)),
    )


def _copied(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _taken(run: SuiteRun, blank: MadeClip, job: Job, house: House) -> MadeClip:
    from vitascope.jobs.house import VIDEO

    if job.status != "completed":
        return blank.model_copy(update={"failed": job.error_message or f"the job ended as {job.status}"})
    target = run.place(blank)
    target.parent.mkdir(parents=True, exist_ok=True)
    (house.job(job.id) / VIDEO).replace(target)
    return blank.model_copy(
        update={
            "path": target.relative_to(run.folder).as_posix(),
            "seconds": job.result.get("generation_time_s", job.result.get("inference_time_s")),
            "memory_gib": job.result.get("memory_gib"),
            "machine": job.result.get("machine", ""),
        }
    )
