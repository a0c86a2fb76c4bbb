"""The table of jobs and the heartbeats of workers: the one truth about a job's status.

Each change of a job is one statement that names the states it may start from, so that of two processes that
race for a job one wins and the other is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vitascope.errors import RequestError
from vitascope.jobs.record import OPEN, PREFIXES, Job, Kind
from vitascope.jobs.tables import JOBS, SLOTS, open_database

_jobs, _slots = JOBS, SLOTS
SWEPT = "swept"
_is_open = _jobs.c.status.in_(OPEN)
_has_not_ended = _jobs.c.status.in_((*OPEN, "paused"))
_waits_afresh = (_jobs.c.status == "queued", _jobs.c.released, _jobs.c.attempts == 0)


class TooManyJobs(RequestError):
    """The tenant has as many waiting and running jobs as it may."""

    http_status = 429

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} jobs wait or run already; ask again when one has ended")


@dataclass(frozen=True)
class Slot:
    """What a worker says of itself. Units: memory_gib in GiB, seen_at in Unix seconds of the worker's clock."""

    host: str
    beat: int
    device: str = ""
    memory_gib: float = 0.0
    seen_at: float = 0.0


class Ledger:
    """Jobs and heartbeats in a database. Thread-safe."""

    def __init__(self, url: str) -> None:
        self.engine = open_database(url)
        # A single look needs no transaction, which would cost two more trips to the database.
        self._looking = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # --- reading

    def get(self, job_id: str) -> Job | None:
        """The job with this id, or None."""
        return self._one(_jobs.c.id == job_id)

    def with_key(self, tenant: str, idempotency_key: str) -> Job | None:
        """The job that a tenant made under an idempotency key, or None."""
        return self._one(sa.and_(_jobs.c.tenant == tenant, _jobs.c.idempotency_key == idempotency_key))

    def page(
        self, tenant: str, after: str | None, limit: int, newest_first: bool, kind: Kind = "video"
    ) -> list[Job]:
        """Up to `limit` unexpired jobs of a tenant, those after the job `after`."""
        kept = sa.or_(_jobs.c.expires_at.is_(None), _jobs.c.expires_at > time.time())
        of_kind = _jobs.c.id.startswith(PREFIXES[kind], autoescape=True)
        query = sa.select(_jobs).where(_jobs.c.tenant == tenant, kept, of_kind)
        if after is not None:
            mark = sa.select(_jobs.c.number).where(_jobs.c.id == after).scalar_subquery()
            query = query.where(_jobs.c.number < mark if newest_first else _jobs.c.number > mark)
        order = _jobs.c.number.desc() if newest_first else _jobs.c.number
        return self._all(query.order_by(order).limit(limit))

    def several(self, job_ids: Sequence[str]) -> list[Job]:
        """The jobs with these ids, as far as they are there."""
        return self._all(sa.select(_jobs).where(_jobs.c.id.in_(job_ids)))

    def open_jobs(self, older_than_s: float) -> list[Job]:
        """Jobs of a certain age that should be in the queue or run, oldest first, at most 500."""
        old = sa.and_(_jobs.c.created_at < time.time() - older_than_s, _jobs.c.released)
        return self._all(sa.select(_jobs).where(_is_open, old).order_by(_jobs.c.number).limit(500))

    def expired(self) -> list[Job]:
        """Jobs that ran out and whose files may still be there, at most 500."""
        still = sa.and_(_jobs.c.expires_at < time.time(), _jobs.c.stage != SWEPT)
        return self._all(sa.select(_jobs).where(still).order_by(_jobs.c.expires_at).limit(500))

    def tombstones(self, since_s: float) -> list[str]:
        """Ids of jobs that ran out at least `since_s` seconds ago, at most 500."""
        query = sa.select(_jobs.c.id).where(_jobs.c.expires_at < time.time() - since_s).limit(500)
        with self._looking.connect() as connection:
            return [row[0] for row in connection.execute(query)]

    def num_before(self, job: Job) -> int:
        """How many waiting jobs come before this waiting one."""
        first = sa.select(_jobs.c.number).where(_jobs.c.id == job.id).scalar_subquery()
        earlier = sa.and_(_jobs.c.priority == job.priority, _jobs.c.number < first)
        query = sa.select(sa.func.count()).where(
            _jobs.c.status == "queued", sa.or_(_jobs.c.priority < job.priority, earlier)
        )
        with self._looking.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def counts(self) -> dict[str, int]:
        """How many jobs are in which status."""
        query = sa.select(_jobs.c.status, sa.func.count()).group_by(_jobs.c.status)
        with self._looking.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def failures(self) -> dict[str, int]:
        """How many jobs have failed for which reason."""
        query = sa.select(_jobs.c.error_code, sa.func.count()).where(_jobs.c.status == "failed")
        with self._looking.connect() as connection:
            return {row[0] or "": row[1] for row in connection.execute(query.group_by(_jobs.c.error_code))}

    def oldest_waiting(self) -> float | None:
        """When the job that has waited longest came in; None if none waits."""
        query = sa.select(sa.func.min(_jobs.c.created_at)).where(_jobs.c.status == "queued")
        with self._looking.connect() as connection:
            return connection.execute(query).scalar_one()

    def finished(self, model: str, limit: int = 50) -> list[Job]:
        """The last completed jobs of a model, newest first."""
        same = sa.and_(_jobs.c.status == "completed", _jobs.c.order["model"].as_string() == model)
        return self._all(sa.select(_jobs).where(same).order_by(_jobs.c.number.desc()).limit(limit))

    def next_in_line(self, model: str, limit: int) -> list[Job]:
        """Waiting jobs of a model that were never begun, the first in line first."""
        same = _jobs.c.order["model"].as_string() == model
        query = sa.select(_jobs).where(*_waits_afresh, same).order_by(_jobs.c.priority, _jobs.c.number)
        return self._all(query.limit(limit))

    def unannounced(self) -> list[Job]:
        """Ended jobs that nobody was told of yet, at most 200."""
        return self._all(sa.select(_jobs).where(~_jobs.c.announced).order_by(_jobs.c.number).limit(200))

    def num_open(self, tenant: str) -> int:
        """How many jobs of a tenant wait or run."""
        with self._looking.connect() as connection:
            return int(connection.execute(_num_open(tenant)).scalar_one())

    def announcement(self, job_id: str) -> Any:
        """The statement that marks an ended job as announced; it changes no row the second time."""
        return sa.update(_jobs).where(_jobs.c.id == job_id, ~_jobs.c.announced).values(announced=True)

    # --- changing

    def add(
        self,
        job: Job,
        max_open: int | None = None,
        also: Callable[[sa.Connection], None] | None = None,
    ) -> bool:
        """Write a new job down; False if its tenant has used the idempotency key before.

        With `max_open` it is counted once more, with all others of its tenant kept waiting meanwhile. `also` is
        done in the same transaction.
        Raises: TooManyJobs.
        """
        try:
            with self.engine.begin() as connection:
                if max_open is not None:
                    self._lock_tenant(connection, job.tenant)
                connection.execute(_jobs.insert(), job.model_dump(mode="json"))
                if max_open is not None and connection.execute(_num_open(job.tenant)).scalar_one() > max_open:
                    raise TooManyJobs(max_open)  # and the row goes again
                if also is not None:
                    also(connection)
        except sa.exc.IntegrityError:
            return False
        return True

    def _lock_tenant(self, connection: sa.Connection, tenant: str) -> None:
        """Until the end of the transaction; SQLite has one writer at a time anyway."""
        if self.engine.dialect.name == "postgresql":
            lock = sa.func.pg_advisory_xact_lock(sa.func.hashtext(tenant))
            connection.execute(sa.select(lock))

    def claim(self, job_id: str, owner: str) -> Job | None:
        """Begin an attempt, which from now on is the only one that may write.

        None if the job has ended, or is being made together with another.
        """
        values = {
            "status": "in_progress",
            "owner": owner,
            "attempts": _jobs.c.attempts + 1,
            "started_at": sa.func.coalesce(_jobs.c.started_at, time.time()),
        }
        free = [_jobs.c.id == job_id, _is_open, _jobs.c.batched_with.is_(None)]
        return self.get(job_id) if self._change(free, values) else None

    def claim_companion(self, job_id: str, leader: Job, owner: str) -> bool:
        """Let a waiting job that was never begun be made in the attempt at another; False if it is not there."""
        values = {
            "status": "in_progress",
            "owner": owner,
            "attempts": 1,
            "started_at": time.time(),
            "batched_with": leader.id,
        }
        return self._change([_jobs.c.id == job_id, *_waits_afresh], values)

    def leave_batch(self, job_id: str, owner: str, *, counted: bool) -> bool:
        """Put a job that was made with another back in line; whether it was still there."""
        values: dict[str, Any] = {"status": "queued", "owner": "", "batched_with": None}
        if not counted:
            values["attempts"] = _jobs.c.attempts - 1
        return self._change(self._mine(job_id, owner), values)

    def companions_of(self, slot: str) -> list[Job]:
        """Jobs that are made with others by the worker in `slot`."""
        mine = _jobs.c.owner.startswith(f"{slot}/", autoescape=True)
        return self._all(sa.select(_jobs).where(_is_open, _jobs.c.batched_with.is_not(None), mine))

    def give_back(self, job_id: str, owner: str) -> None:
        """End an attempt that did not fail: its worker was asked to stop."""
        values = {"status": "queued", "owner": "", "attempts": _jobs.c.attempts - 1}
        self._change(self._mine(job_id, owner), values)

    def release(self, tenant: str | None = None) -> list[Job]:
        """Let held jobs go as far as their tenants' limits allow, the first in line first; those that may now run."""
        held = sa.and_(_jobs.c.status == "queued", ~_jobs.c.released)
        query = sa.select(_jobs.c.tenant).where(held, *([_jobs.c.tenant == tenant] if tenant else []))
        with self._looking.connect() as connection:
            tenants = sorted({row[0] for row in connection.execute(query.distinct())})
        return [job for name in tenants for job in self._release_of(name, held)]

    def _release_of(self, tenant: str, held: Any) -> list[Job]:
        let_go: list[Job] = []
        first = sa.select(_jobs.c.id).where(held, _jobs.c.tenant == tenant)
        first = first.order_by(_jobs.c.priority, _jobs.c.number).limit(1)
        out = _jobs.alias()
        running = sa.select(sa.func.count()).where(
            out.c.tenant == tenant, out.c.released, out.c.status.in_(OPEN)
        )
        while True:
            with self.engine.begin() as connection:
                self._lock_tenant(connection, tenant)  # two releases at once would both see room for one
                job_id = connection.execute(first).scalar()
                update = sa.update(_jobs).values(released=True)
                fits = running.scalar_subquery() < sa.func.coalesce(_jobs.c.max_running, 1_000_000)
                if (
                    job_id is None
                    or connection.execute(
                        update.where(_jobs.c.id == job_id, ~_jobs.c.released, fits)
                    ).rowcount
                    == 0
                ):
                    return let_go
            let_go += self.several([job_id])

    def report(self, job_id: str, owner: str, **values: Any) -> bool:
        """Write progress; False if the job was cancelled or another attempt has taken it over."""
        return self._change(self._mine(job_id, owner), values)

    def is_held(self, job_id: str, owner: str) -> bool:
        """Whether the attempt may still write."""
        query = sa.select(_jobs.c.number).where(*self._mine(job_id, owner))
        with self._looking.connect() as connection:
            return connection.execute(query).first() is not None

    def complete(self, job_id: str, owner: str, lifetime_s: float, **values: Any) -> bool:
        """End a job as completed, its clip being there; False if the attempt had lost the job."""
        now = time.time()
        ended = {"status": "completed", "progress": 100, "completed_at": now, "expires_at": now + lifetime_s}
        ended["announced"] = False
        return self._change(self._mine(job_id, owner), {**ended, **values})

    def fail(self, job_id: str, code: str, message: str, lifetime_s: float, owner: str | None = None) -> bool:
        """End a job without a clip; False if it had ended, or if `owner` is given and has lost it."""
        where = [_jobs.c.id == job_id, _has_not_ended] if owner is None else self._mine(job_id, owner)
        ended = {"status": "failed", "expires_at": time.time() + lifetime_s, "owner": "", "announced": False}
        return self._change(where, {**ended, "error_code": code, "error_message": message})

    def pause(self, job_id: str, lifetime_s: float) -> bool:
        """Take an open job out of the queue, to be gone on with later; False if it had ended."""
        paused = {"status": "paused", "owner": "", "expires_at": time.time() + lifetime_s}
        return self._change([_jobs.c.id == job_id, _is_open], paused)

    def resume(self, job_id: str) -> bool:
        """Let a paused job wait again, as if it had never been begun; False if it is not paused.

        It is held back where its tenant has a limit; `release` lets it go.
        """
        waiting = {"status": "queued", "attempts": 0, "expires_at": None}
        waiting["released"] = _jobs.c.max_running.is_(None)
        return self._change([_jobs.c.id == job_id, _jobs.c.status == "paused"], waiting)

    def expire(self, job_id: str) -> None:
        """Note that a job's files are gone; its record keeps only that it was there."""
        self._change(
            [_jobs.c.id == job_id], {"order": {}, "result": {}, "error_message": None, "stage": SWEPT}
        )

    def forget(self, job_ids: Sequence[str]) -> None:
        """Remove ended jobs from the table."""
        with self.engine.begin() as connection:
            connection.execute(_jobs.delete().where(_jobs.c.id.in_(job_ids), sa.not_(_is_open)))

    # --- heartbeats

    def beat(self, slot: str, host: str, device: str = "", memory_gib: float = 0.0) -> None:
        """Say that the worker in `slot` lives, and what it has."""
        said = {"host": host, "device": device, "memory_gib": memory_gib, "seen_at": time.time()}
        with self.engine.begin() as connection:
            again = sa.update(_slots).where(_slots.c.slot == slot)
            if connection.execute(again.values(beat=_slots.c.beat + 1, **said)).rowcount == 0:
                connection.execute(_slots.insert().values(slot=slot, beat=1, **said))

    def slots(self) -> dict[str, Slot]:
        """What each worker said last, by slot."""
        return self._slots(sa.select(_slots))

    def slots_after(self, slot: str, limit: int) -> dict[str, Slot]:
        """The next slots after one, in the order of their names, which is a ring."""
        ring = sa.select(_slots).order_by(_slots.c.slot)
        found = self._slots(ring.where(_slots.c.slot > slot).limit(limit))
        if len(found) < limit:
            found |= self._slots(ring.where(_slots.c.slot < slot).limit(limit - len(found)))
        return found

    def num_slots(self) -> int:
        """How many workers there are."""
        with self._looking.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(_slots)).scalar_one())

    def _slots(self, query: Any) -> dict[str, Slot]:
        with self._looking.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return {row.pop("slot"): Slot(**row) for row in rows}

    def bury(self, slot: str, beat: int) -> None:
        """Forget a slot whose heart has stopped at `beat`; a later beat brings it back."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(_slots).where(_slots.c.slot == slot, _slots.c.beat == beat))

    # --- how

    def _mine(self, job_id: str, owner: str) -> list[Any]:
        return [_jobs.c.id == job_id, _jobs.c.status == "in_progress", _jobs.c.owner == owner]

    def _change(self, where: Sequence[Any], values: dict[str, Any]) -> bool:
        with self.engine.begin() as connection:
            return connection.execute(sa.update(_jobs).where(*where).values(**values)).rowcount == 1

    def _one(self, where: Any) -> Job | None:
        found = self._all(sa.select(_jobs).where(where).limit(1))
        return found[0] if found else None

    def _all(self, query: Any) -> list[Job]:
        with self._looking.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [Job(**{name: value for name, value in row.items() if name != "number"}) for row in rows]


def _num_open(tenant: str) -> sa.Select[int]:
    return sa.select(sa.func.count()).where(_is_open, _jobs.c.tenant == tenant)
