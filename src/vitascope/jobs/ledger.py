"""The table of jobs and the heartbeats of workers: the one truth about a job's status.

Each change of a job is one statement that names the states it may start from, so that of two processes that
race for a job one wins and the other is told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from vitascope.jobs.record import OPEN, Job

_tables = sa.MetaData()
_jobs = sa.Table(
    "jobs",
    _tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), unique=True, nullable=False),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("order", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("seconds", sa.String(16), nullable=False),
    sa.Column("size", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("completed_at", sa.Float),
    sa.Column("expires_at", sa.Float, index=True),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.Text),
    sa.Column("remixed_from", sa.String(40)),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
    sa.UniqueConstraint("tenant", "idempotency_key"),
)
_slots = sa.Table(
    "slots",
    _tables,
    sa.Column("slot", sa.String(128), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("beat", sa.Integer, nullable=False),
)
_is_open = _jobs.c.status.in_(OPEN)


class Ledger:
    """Jobs and heartbeats in a database. Thread-safe."""

    def __init__(self, url: str) -> None:
        options = {"connect_args": {"timeout": 30}} if url.startswith("sqlite") else {}
        self._engine = sa.create_engine(url, **options)
        if url.startswith("sqlite"):
            sa.event.listen(self._engine, "connect", _sync_less)
        _tables.create_all(self._engine)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # --- reading

    def get(self, job_id: str) -> Job | None:
        """The job with this id, or None."""
        return self._one(_jobs.c.id == job_id)

    def with_key(self, tenant: str, idempotency_key: str) -> Job | None:
        """The job that a tenant made under an idempotency key, or None."""
        return self._one(sa.and_(_jobs.c.tenant == tenant, _jobs.c.idempotency_key == idempotency_key))

    def page(self, tenant: str, after: str | None, limit: int, newest_first: bool) -> list[Job]:
        """Up to `limit` unexpired jobs of a tenant, those after the job `after`."""
        kept = sa.or_(_jobs.c.expires_at.is_(None), _jobs.c.expires_at > time.time())
        query = sa.select(_jobs).where(_jobs.c.tenant == tenant, kept)
        if after is not None:
            mark = sa.select(_jobs.c.number).where(_jobs.c.id == after).scalar_subquery()
            query = query.where(_jobs.c.number < mark if newest_first else _jobs.c.number > mark)
        order = _jobs.c.number.desc() if newest_first else _jobs.c.number
        return self._all(query.order_by(order).limit(limit))

    def several(self, job_ids: Sequence[str]) -> list[Job]:
        """The jobs with these ids, as far as they are there."""
        return self._all(sa.select(_jobs).where(_jobs.c.id.in_(job_ids)))

    def open_jobs(self, older_than_s: float) -> list[Job]:
        """Waiting and running jobs of a certain age, oldest first, at most 500."""
        old = _jobs.c.created_at < time.time() - older_than_s
        return self._all(sa.select(_jobs).where(_is_open, old).order_by(_jobs.c.number).limit(500))

    def expired(self, since_s: float = 0) -> list[Job]:
        """Jobs that ran out at least `since_s` seconds ago."""
        return self._all(sa.select(_jobs).where(_jobs.c.expires_at < time.time() - since_s).limit(500))

    def num_before(self, job: Job) -> int:
        """How many waiting jobs come before this waiting one."""
        first = sa.select(_jobs.c.number).where(_jobs.c.id == job.id).scalar_subquery()
        earlier = sa.and_(_jobs.c.priority == job.priority, _jobs.c.number < first)
        query = sa.select(sa.func.count()).where(
            _jobs.c.status == "queued", sa.or_(_jobs.c.priority < job.priority, earlier)
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def counts(self) -> dict[str, int]:
        """How many jobs are in which status."""
        query = sa.select(_jobs.c.status, sa.func.count()).group_by(_jobs.c.status)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def num_open(self, tenant: str) -> int:
        """How many jobs of a tenant wait or run."""
        query = sa.select(sa.func.count()).where(_is_open, _jobs.c.tenant == tenant)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    # --- changing

    def add(self, job: Job) -> bool:
        """Write a new job down; False if its tenant has used the idempotency key before."""
        try:
            with self._engine.begin() as connection:
                connection.execute(_jobs.insert().values(**job.model_dump(mode="json")))
        except sa.exc.IntegrityError:
            return False
        return True

    def claim(self, job_id: str, owner: str) -> Job | None:
        """Begin an attempt, which from now on is the only one that may write; None if the job has ended."""
        values = {
            "status": "in_progress",
            "owner": owner,
            "attempts": _jobs.c.attempts + 1,
            "started_at": sa.func.coalesce(_jobs.c.started_at, time.time()),
        }
        return self.get(job_id) if self._change([_jobs.c.id == job_id, _is_open], values) else None

    def give_back(self, job_id: str, owner: str) -> None:
        """End an attempt that did not fail: its worker was asked to stop."""
        values = {"status": "queued", "owner": "", "attempts": _jobs.c.attempts - 1}
        self._change(self._mine(job_id, owner), values)

    def report(self, job_id: str, owner: str, **values: Any) -> bool:
        """Write progress; False if the job was cancelled or another attempt has taken it over."""
        return self._change(self._mine(job_id, owner), values)

    def is_held(self, job_id: str, owner: str) -> bool:
        """Whether the attempt may still write."""
        query = sa.select(_jobs.c.number).where(*self._mine(job_id, owner))
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def complete(self, job_id: str, owner: str, lifetime_s: float, **values: Any) -> bool:
        """The clip is there; False if the attempt had lost the job."""
        now = time.time()
        ended = {"status": "completed", "progress": 100, "completed_at": now, "expires_at": now + lifetime_s}
        return self._change(self._mine(job_id, owner), {**ended, **values})

    def fail(self, job_id: str, code: str, message: str, lifetime_s: float, owner: str | None = None) -> bool:
        """The job ends without a clip; False if it had ended, or if `owner` is given and has lost it."""
        where = [_jobs.c.id == job_id, _is_open] if owner is None else self._mine(job_id, owner)
        ended = {"status": "failed", "expires_at": time.time() + lifetime_s, "owner": ""}
        return self._change(where, {**ended, "error_code": code, "error_message": message})

    def expire(self, job_id: str) -> None:
        """The files are gone; the record keeps only that it was there."""
        self._change([_jobs.c.id == job_id], {"order": {}, "result": {}, "error_message": None})

    def forget(self, job_ids: Sequence[str]) -> None:
        """Remove ended jobs from the table."""
        with self._engine.begin() as connection:
            connection.execute(_jobs.delete().where(_jobs.c.id.in_(job_ids), sa.not_(_is_open)))

    # --- heartbeats

    def beat(self, slot: str, host: str) -> None:
        """Say that the worker in `slot` lives."""
        with self._engine.begin() as connection:
            again = sa.update(_slots).where(_slots.c.slot == slot)
            if connection.execute(again.values(beat=_slots.c.beat + 1, host=host)).rowcount == 0:
                connection.execute(_slots.insert().values(slot=slot, host=host, beat=1))

    def slots(self) -> dict[str, tuple[str, int]]:
        """Of each slot its host and the number of its last heartbeat."""
        with self._engine.connect() as connection:
            return {row.slot: (row.host, row.beat) for row in connection.execute(sa.select(_slots))}

    # --- how

    def _mine(self, job_id: str, owner: str) -> list[Any]:
        return [_jobs.c.id == job_id, _jobs.c.status == "in_progress", _jobs.c.owner == owner]

    def _change(self, where: Sequence[Any], values: dict[str, Any]) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(sa.update(_jobs).where(*where).values(**values)).rowcount == 1

    def _one(self, where: Any) -> Job | None:
        found = self._all(sa.select(_jobs).where(where).limit(1))
        return found[0] if found else None

    def _all(self, query: Any) -> list[Job]:
        with self._engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [Job(**{name: value for name, value in row.items() if name != "number"}) for row in rows]


def _sync_less(connection: Any, _record: Any) -> None:
    """With a write-ahead log a power cut may cost the last writes, never the file; the queue syncs fully."""
    connection.execute("PRAGMA synchronous=NORMAL")
