"""Who wants to hear of ended jobs, and what was sent: endpoints and a delivery log.

Source: Standard Webhooks 1.0.0, https://github.com/standard-webhooks/standard-webhooks: headers, signature,
"whsec_" secrets; the endpoint objects are those of the OpenAI client.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from vitascope.errors import NotFound, RequestError, UnknownName
from vitascope.jobs.record import Job
from vitascope.jobs.tables import DELIVERIES, ENDPOINTS

_VIDEO = ("video.completed", "video.failed")
_TRAINING = ("fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled")
EVENT_TYPES = (*_VIDEO, *_TRAINING)
RETRY_AFTER_S = (5, 30, 120, 600, 3600, 6 * 3600)
CLAIM_S = 60.0  # for how long a delivery that is being tried is left alone by other processes
DAY_S = 86_400.0
MAX_ENDPOINTS = 20
NUM_AT_ONCE = 20  # deliveries that one process claims


@dataclass(frozen=True)
class Endpoint:
    """An address that wants events of some types. Units: times in Unix seconds."""

    id: str
    tenant: str
    name: str
    url: str
    event_types: tuple[str, ...]
    secret: str
    created_at: float
    updated_at: float
    old_secret: str | None = None
    old_secret_until: float | None = None


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint, and how often it was tried. `next_at` is None once it is over."""

    id: str
    endpoint_id: str
    job_id: str
    event_type: str
    body: str
    created_at: float
    attempts: int = 0
    next_at: float | None = None
    status_code: int | None = None
    error: str | None = None
    delivered_at: float | None = None


def new_secret() -> str:
    """A signing secret of 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def event(event_type: str, job_id: str) -> dict[str, Any]:
    """The body of a webhook."""
    data = {"id": job_id}
    now = int(time.time())
    return {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "created_at": now,
        "type": event_type,
        "data": data,
    }


def event_type_of(job: Job) -> str:
    """What the end of a job is called."""
    completed, failed = _VIDEO if job.kind == "video" else _TRAINING[:2]
    if job.kind == "training" and job.error_code == "cancelled":
        return _TRAINING[2]
    return completed if job.status == "completed" else failed


def signed_headers(endpoint: Endpoint, message_id: str, body: str) -> dict[str, str]:
    """The headers that let the receiver verify a message, with the old secret's signature while it counts."""
    now = int(time.time())
    known = [endpoint.secret]
    if endpoint.old_secret and (endpoint.old_secret_until or 0) > now:
        known.append(endpoint.old_secret)
    said = f"{message_id}.{now}.{body}".encode()
    keys = (base64.b64decode(secret.removeprefix("whsec_")) for secret in known)
    marks = (base64.b64encode(hmac.digest(key, said, hashlib.sha256)).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


class Webhooks:
    """Endpoints and deliveries in the ledger's database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    # --- endpoints

    def add(self, tenant: str, name: str, url: str, event_types: Sequence[str]) -> Endpoint:
        """A new endpoint with a new secret. Raises: UnknownName (event type), RequestError for too many."""
        if len(self.page(tenant, None, MAX_ENDPOINTS)) >= MAX_ENDPOINTS:
            raise RequestError(f"there are {MAX_ENDPOINTS} webhook endpoints already; delete one first")
        now, endpoint_id = time.time(), f"we_{secrets.token_hex(12)}"
        endpoint = Endpoint(endpoint_id, tenant, name, url, _known(event_types), new_secret(), now, now)
        with self._engine.begin() as connection:
            connection.execute(ENDPOINTS.insert().values(**asdict(endpoint)))
        return endpoint

    def find(self, endpoint_id: str, tenant: str) -> Endpoint:
        """A tenant's endpoint. Raises: NotFound."""
        mine = sa.and_(ENDPOINTS.c.id == endpoint_id, ENDPOINTS.c.tenant == tenant)
        found = self._endpoints(sa.select(ENDPOINTS).where(mine))
        if not found:
            raise NotFound(f"no webhook endpoint {endpoint_id[:80]!r}", param="webhook_endpoint_id")
        return found[0]

    def page(self, tenant: str, after: str | None, limit: int) -> list[Endpoint]:
        """Up to `limit` endpoints of a tenant, newest first, those after the endpoint `after`."""
        query = sa.select(ENDPOINTS).where(ENDPOINTS.c.tenant == tenant)
        if after is not None:
            mark = sa.select(ENDPOINTS.c.number).where(ENDPOINTS.c.id == after).scalar_subquery()
            query = query.where(ENDPOINTS.c.number < mark)
        return self._endpoints(query.order_by(ENDPOINTS.c.number.desc()).limit(limit))

    def change(self, endpoint: Endpoint, **changes: Any) -> Endpoint:
        """The endpoint with another name, address or event types. Raises: UnknownName (event type)."""
        if "event_types" in changes:
            changes["event_types"] = _known(changes["event_types"])
        new = replace(endpoint, **changes)
        if new == endpoint:
            return endpoint
        new = replace(new, updated_at=time.time())
        with self._engine.begin() as connection:
            update = sa.update(ENDPOINTS).where(ENDPOINTS.c.id == endpoint.id)
            connection.execute(update.values(**asdict(new)))
        return new

    def rotate(self, endpoint: Endpoint, *, keep_old: bool) -> Endpoint:
        """The endpoint with a new secret; the old one signs too for another day if `keep_old`."""
        old = {"old_secret": endpoint.secret, "old_secret_until": time.time() + DAY_S}
        kept = old if keep_old else dict.fromkeys(old)
        return self.change(endpoint, secret=new_secret(), **kept)

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint and its log."""
        with self._engine.begin() as connection:
            connection.execute(DELIVERIES.delete().where(DELIVERIES.c.endpoint_id == endpoint.id))
            connection.execute(ENDPOINTS.delete().where(ENDPOINTS.c.id == endpoint.id))

    def _endpoints(self, query: Any) -> list[Endpoint]:
        with self._engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        for row in rows:
            del row["number"]
            row["event_types"] = tuple(row["event_types"])
        return [Endpoint(**row) for row in rows]

    # --- deliveries

    def announce(self, job: Job, mark: Any) -> None:
        """Write down the events of an ended job, once; `mark` is the statement that says so in its record."""
        event_type = event_type_of(job)
        wanted = [e for e in self.page(job.tenant, None, MAX_ENDPOINTS) if event_type in e.event_types]
        with self._engine.begin() as connection:
            if connection.execute(mark).rowcount == 0:
                return  # another process has done it
            for endpoint in wanted:
                said = json.dumps(event(event_type, job.id))
                now = time.time()
                row = Delivery(
                    f"whd_{secrets.token_hex(12)}", endpoint.id, job.id, event_type, said, now, next_at=now
                )
                connection.execute(DELIVERIES.insert().values(**asdict(row)))

    def claim_due(self) -> list[tuple[Delivery, Endpoint]]:
        """Deliveries whose time has come, which no other process will try meanwhile."""
        now, claimed = time.time(), []
        due = (
            sa.select(DELIVERIES)
            .where(DELIVERIES.c.next_at <= now)
            .order_by(DELIVERIES.c.next_at)
            .limit(NUM_AT_ONCE)
        )
        for row in self._deliveries(due):
            mine = sa.update(DELIVERIES).where(DELIVERIES.c.id == row.id, DELIVERIES.c.next_at == row.next_at)
            with self._engine.begin() as connection:
                if connection.execute(mine.values(next_at=now + CLAIM_S)).rowcount == 0:
                    continue
            where = ENDPOINTS.c.id == row.endpoint_id
            claimed += [(row, endpoint) for endpoint in self._endpoints(sa.select(ENDPOINTS).where(where))]
        return claimed

    def note(self, delivery: Delivery, status_code: int | None, error: str | None) -> None:
        """Write down how an attempt went, and when the next one is due."""
        now, attempts = time.time(), delivery.attempts + 1
        is_ok = status_code is not None and 200 <= status_code < 300
        is_over = (
            is_ok or attempts > len(RETRY_AFTER_S) or status_code == 410
        )  # 410: the receiver is gone for good
        values = {
            "attempts": attempts,
            "status_code": status_code,
            "error": error,
            "delivered_at": now if is_ok else None,
            "next_at": None if is_over else now + RETRY_AFTER_S[attempts - 1],
        }
        with self._engine.begin() as connection:
            connection.execute(sa.update(DELIVERIES).where(DELIVERIES.c.id == delivery.id).values(**values))

    def log(self, endpoint: Endpoint, limit: int) -> list[Delivery]:
        """The last deliveries to an endpoint, newest first."""
        mine = sa.select(DELIVERIES).where(DELIVERIES.c.endpoint_id == endpoint.id)
        return self._deliveries(mine.order_by(DELIVERIES.c.number.desc()).limit(limit))

    def _deliveries(self, query: Any) -> list[Delivery]:
        with self._engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [Delivery(**{name: value for name, value in row.items() if name != "number"}) for row in rows]


def sweep(engine: sa.Engine, older_than_s: float = 30 * DAY_S) -> None:
    """Remove old rows of the delivery log."""
    with engine.begin() as connection:
        connection.execute(DELIVERIES.delete().where(DELIVERIES.c.created_at < time.time() - older_than_s))


def _known(event_types: Sequence[str]) -> tuple[str, ...]:
    for name in event_types:
        if name not in EVENT_TYPES:
            raise UnknownName("event type", name, EVENT_TYPES, param="event_types")
    if not event_types:
        raise RequestError("event_types is empty; name at least one", param="event_types")
    return tuple(dict.fromkeys(event_types))
