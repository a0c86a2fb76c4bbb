"""What every worker looks after besides its own job: dead workers, lost jobs, files that have expired."""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.jobs import uploads, webhooks
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.queue import ENDED, Queue
from vitascope.jobs.record import Job

DEAD_AFTER_S = 10.0  # without a heartbeat; a killed process on the same machine is seen at once by its lock
MEND_EVERY_S = 5.0
GAP_S = 5.0  # so long without a look at the hearts of others, and none of them counts as stopped
NUM_NEIGHBOURS = 16
LEFT_AFTER_S = 3600.0  # no upload takes so long
NUM_AT_ONCE = 500
TOMBSTONE_S = 7 * 86_400.0  # how long an expired job still answers that it has expired


def place_of(house: House) -> str:
    """Names this machine and this folder on it: equal only where a file's lock tells whether a process lives."""
    where = house.root.stat()
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().strip() if boot.is_file() else ""
    return f"{socket.gethostname()}:{where.st_dev}:{where.st_ino}:{started}"[:255]


@dataclass
class Pulse:
    """Tells which slots have stopped beating, by this process's own clock: no two clocks are compared."""

    dead_after_s: float
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _looked_at: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Begin a round. After a gap, in which no heart could be heard, all hearts get their time anew."""
        now = time.monotonic()
        if now - self._looked_at > GAP_S:
            self._seen.clear()
        self._looked_at = now

    def stopped(self, slot: str, beat: int) -> bool:
        """Note a heartbeat; True once the same one has been seen for too long."""
        now = time.monotonic()
        last, since = self._seen.get(slot, (-1, now))
        if beat != last:
            self._seen[slot] = (beat, now)
            return False
        return now - since > self.dead_after_s


class DutyRound:
    """One worker's watch over the others."""

    def __init__(
        self, house: House, ledger: Ledger, queue: Queue, slot: str, dead_after_s: float, lifetime_s: float
    ) -> None:
        self.house, self.ledger, self.queue, self.slot = house, ledger, queue, slot
        self.lifetime_s = lifetime_s
        self._pulse = Pulse(dead_after_s)
        self._mend_at = self._tidy_at = 0.0

    def dead_slots(self, is_held: Callable[[Path], bool]) -> Iterator[tuple[str, int]]:
        """Neighbours whose process is gone or has frozen, each with its last beat.

        Every worker looks after its next neighbours alone, so that the work does not grow with their number.
        """
        here, neighbours = place_of(self.house), self.ledger.slots_after(self.slot, NUM_NEIGHBOURS)
        self._pulse.look()
        for slot, said in neighbours.items():
            frozen = self._pulse.stopped(slot, said.beat)
            if frozen or (said.host == here and not is_held(self.house.lock(slot))):
                yield slot, said.beat

    def mend(self) -> set[str]:
        """Now and then: queue what was never queued, end what the queue has given up, remove the old.

        The more workers there are, the more rarely each of them does so. Gives slots that are forgotten, and yet
        have a job.
        """
        if time.monotonic() < self._mend_at:
            return set()
        self._mend_at = time.monotonic() + MEND_EVERY_S * self.ledger.num_slots() * random.uniform(0.8, 1.2)
        for job in self.ledger.release():
            self.queue.put(job)
        waiting = self.ledger.open_jobs(older_than_s=MEND_EVERY_S)
        statuses = self.queue.statuses([job.id for job in waiting])
        known, orphaned = self.ledger.slots(), set()
        for job in waiting:
            status = statuses.get(job.id)
            slot = job.owner.partition("/")[0]
            if job.batched_with:
                if slot not in known:
                    self.end_batch_of(slot)
            elif status == "PENDING" and slot and slot not in known:
                orphaned.add(slot)
            else:
                self._mend_job(job, status)
        self.sweep()
        return orphaned

    def end_batch_of(self, slot: str) -> None:
        """Put those jobs back in line that a worker, which is gone, made together with another."""
        for job in self.ledger.companions_of(slot):
            if self.ledger.leave_batch(job.id, job.owner, counted=True):
                self.queue.put_again(job)

    def _mend_job(self, job: Job, status: str | None) -> None:
        """Bring an open job and the queue, which has it in the state `status`, back into agreement."""
        if status is None:
            self.queue.put(job)
        elif status == "SUCCESS" and job.status == "queued":  # its turn came while it was in a batch
            now = self.ledger.get(job.id)
            if now is not None and now.status == "queued":
                self.queue.put_again(now)
        elif status in ENDED:
            message = f"the queue ended this job as {status}, without a clip"
            self.ledger.fail(job.id, "internal_error", message, self.lifetime_s)

    def sweep(self) -> None:
        """Remove the files of expired jobs, and later their records."""
        for job in self.ledger.expired():
            self.house.forget(job.id)
            self.ledger.expire(job.id)
        old = self.ledger.tombstones(TOMBSTONE_S)
        self.queue.forget(old)
        self.ledger.forget(old)
        uploads.sweep(self.house, self.ledger.engine)
        webhooks.sweep(self.ledger.engine)
        if time.monotonic() > self._tidy_at:
            self._tidy_at = time.monotonic() + LEFT_AFTER_S
            self.tidy()

    def tidy(self, older_than_s: float = LEFT_AFTER_S) -> None:
        """Remove what requests left on this machine whose process was killed before they were written down."""
        before = time.time() - older_than_s
        for part in (self.house.root / "uploads").glob("*.part"):
            with suppress(OSError):  # another worker may be faster
                if part.stat().st_mtime < before:
                    part.unlink()
        with os.scandir(self.house.root / "jobs") as folders:
            old = [entry.name for entry in folders if entry.stat().st_mtime < before]
        for start in range(0, len(old), NUM_AT_ONCE):
            some = old[start : start + NUM_AT_ONCE]
            known = {job.id for job in self.ledger.several(some)}
            for name in set(some) - known:
                shutil.rmtree(self.house.root / "jobs" / name, ignore_errors=True)
