"""A worker process: owns one slot, keeps models warm, runs one job at a time.

`python -m vitascope.jobs.worker --house FOLDER --slot NAME`; `vitascope worker` starts it and starts it again.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

from dbos import DBOS, WorkflowSerializationFormat
from sqlalchemy.exc import DBAPIError

from vitascope.engine.engine import Engine
from vitascope.engine.memory import GIB
from vitascope.engine.placement import Placement
from vitascope.errors import VitascopeError
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.queue import APPLICATION, QUEUE, VERSION, WORKFLOW, Queue, open_queue
from vitascope.jobs.slots import check_elsewhere, hold_slot, is_held
from vitascope.jobs.tables import in_one_line
from vitascope.jobs.watch import DEAD_AFTER_S, DutyRound, place_of
from vitascope.settings import Settings

log = logging.getLogger(__name__)
POLL_S = 0.2
BEAT_S = 1.0
NUM_CONNECTIONS = 4  # of DBOS; a database's are counted, and there may be many workers
_runner: JobRunner | None = None  # DBOS calls plain functions; a worker process has one runner


@DBOS.step(name="make")
def _make(job_id: str) -> None:
    assert _runner is not None, "the worker sets its runner before it launches"
    _runner.work(job_id)


@DBOS.workflow(
    name=WORKFLOW, max_recovery_attempts=50, serialization_type=WorkflowSerializationFormat.PORTABLE
)
def _make_clip(job_id: str) -> None:
    _make(job_id)


def run(
    house: House, slot: str, placement: Placement, max_attempts: int, lifetime_s: float, max_batch: int = 1
) -> None:
    """Work until SIGTERM or until the parent is gone. Raises: ResourceError if the slot is taken."""
    global _runner
    open_queue(house)
    lock = hold_slot(house.lock(slot))
    ledger = Ledger(house.ledger_url)
    queue = Queue(house, ledger)
    engine = Engine(placement)
    _runner = JobRunner(
        house, ledger, engine, lifetime_s, slot, max_attempts, queue=queue, max_batch=max_batch
    )
    here = place_of(house)
    check_elsewhere(ledger, slot, here)
    ledger.beat(slot, here)
    duty = DutyRound(house, ledger, queue, slot, DEAD_AFTER_S, lifetime_s)
    duty.end_batch_of(slot)  # of the process that had this slot before
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": house.queue_url,
            "executor_id": slot,
            "application_version": VERSION,
            "log_level": "WARNING",
            "sys_db_pool_size": NUM_CONNECTIONS,
        }
    )
    DBOS.listen_queues([QUEUE])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_S)
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    _live(asked_to_stop, duty, here, *_has(engine))
    try:
        _runner.give_back()
    except DBAPIError as error:  # then its neighbours see that it is gone
        log.error("slot %s could not hand its job back: %s", slot, in_one_line(error))
    lock.flush()
    os._exit(0)  # the step that runs is cut off where it stands; its checkpoints are on disk


def _has(engine: Engine) -> tuple[str, float]:
    """The device of this worker, and the memory that a model's weights have. Units: GiB."""
    import psutil

    device, machine_gib = engine.placement.device, psutil.virtual_memory().total / GIB
    if not device.startswith("cuda"):
        return device, machine_gib
    import torch

    has = torch.cuda.get_device_properties(device)
    # Within a limit, weights live in main memory and visit the card.
    return f"{device} {has.name}"[:64], machine_gib if engine.placement.memory_gib else has.total_memory / GIB


def _live(asked_to_stop: threading.Event, duty: DutyRound, here: str, device: str, memory_gib: float) -> None:
    parent = os.getppid()
    while not asked_to_stop.wait(BEAT_S):
        if os.getppid() != parent:
            return
        try:
            duty.ledger.beat(duty.slot, here, device, memory_gib)
            for slot, beat in duty.dead_slots(is_held):
                duty.end_batch_of(slot)
                if not _take_over(slot):
                    duty.ledger.bury(slot, beat)
            for slot in duty.mend():
                _take_over(slot)
        except DBAPIError as error:
            log.error("slot %s cannot look after others: %s", duty.slot, in_one_line(error))
        except Exception:
            log.exception("the watch of slot %s stumbled", duty.slot)


def _take_over(slot: str) -> bool:
    """Queue the jobs that a dead worker left behind; whether there were any.

    Private in DBOS 3.4, which has no public way.
    """
    left = any(row.executor_id == slot for row in DBOS.list_workflows(status="PENDING", load_input=False))
    if left:
        DBOS._recover_pending_workflows([slot])
    return left


def main(arguments: list[str] | None = None) -> int:
    """The process's door; gives its exit code."""
    parser = argparse.ArgumentParser(prog="vitascope-worker")
    parser.add_argument("--house", type=Path, required=True)
    parser.add_argument("--slot", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--memory-gib", type=float)
    parser.add_argument("--max-attempts", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--lifetime", type=float, default=7 * 86_400.0)
    given: Any = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    placement = Placement(device=given.device, gpus=given.gpus, memory_gib=given.memory_gib)
    settings = Settings.from_environment()
    house = House(given.house, settings.database, settings.artifacts)
    try:
        run(house, given.slot, placement, given.max_attempts, given.lifetime, given.batch)
    except VitascopeError as error:
        log.error("worker %s: %s", given.slot, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
