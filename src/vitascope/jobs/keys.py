"""API keys: made once, kept as hashes, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal, get_args

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import NotFound, RequestError, UnknownName
from vitascope.jobs.record import DEFAULT_PRIORITY
from vitascope.jobs.tables import KEYS, PACES

Scope = Literal["read", "write", "train", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_TOKEN = re.compile(r"vk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NOBODY = "0" * 64
MINUTE_S = 60.0
EPSILON_S = 1e-6


class ApiKey(BaseModel):
    """Who a key stands for and what it may do.

    `tenant`: whose jobs and files it sees; keys of one tenant share them. `best_priority`: the lowest number it
    may ask for. A limit that is None does not exist. Units: times in Unix seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str = Field(max_length=100)
    tenant: str
    scopes: tuple[Scope, ...] = ("read", "write")
    best_priority: int = Field(DEFAULT_PRIORITY, ge=1, le=9)
    max_running: int | None = Field(None, ge=1)
    max_open: int | None = Field(None, ge=1)
    requests_a_minute: int | None = Field(None, ge=1)
    created_at: float = 0.0
    revoked_at: float | None = None


LOCAL = ApiKey(id="local", name="local", tenant="local", scopes=SCOPES, best_priority=1)  # loopback, no keys


class KeyRing:
    """The keys of a service, in its ledger's database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(
        self,
        name: str,
        *,
        tenant: str | None = None,
        scopes: Sequence[str] = ("read", "write"),
        best_priority: int = DEFAULT_PRIORITY,
        max_running: int | None = None,
        max_open: int | None = None,
        requests_a_minute: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown this once. Raises: RequestError, UnknownName (scope)."""
        for scope in scopes:
            if scope not in SCOPES:
                raise UnknownName("scope", scope, SCOPES, param="scope")
        key_id = secrets.token_hex(8)
        owner = tenant or f"key-{key_id}"
        if not _TENANT.fullmatch(owner):
            raise RequestError(f"tenant {owner[:80]!r}: use up to 64 letters, digits, dots and hyphens")
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise RequestError(f"the name of a key has 1 to 100 characters, not {len(name)}", param="name")
        key = ApiKey(
            id=key_id,
            name=name,
            tenant=owner,
            scopes=tuple(dict.fromkeys(scopes)),
            best_priority=best_priority,
            max_running=max_running,
            max_open=max_open,
            requests_a_minute=requests_a_minute,
            created_at=time.time(),
        )
        secret = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            row = {**key.model_dump(mode="json"), "secret_hash": _hash(secret)}
            connection.execute(KEYS.insert().values(**row))
        return key, f"vk_{key_id}_{secret}"

    def check(self, text: str) -> ApiKey | None:
        """The key whose text this is; None for a wrong or revoked one. Takes equally long for both."""
        match = _TOKEN.fullmatch(text)
        key_id, secret = match.groups() if match else ("", "")
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(KEYS).where(KEYS.c.id == key_id)).first()
        # The secret has 256 random bits: a plain hash of it cannot be searched through.
        is_right = hmac.compare_digest(_hash(secret), row.secret_hash if row else _NOBODY)
        if row is None or not is_right or row.revoked_at is not None:
            return None
        return _key(row)

    def wait_s(self, key: ApiKey) -> float:
        """0 and one request less for a key with a rate, or the seconds until it has one; counted for all processes.

        Units: seconds. Source: the generic cell rate algorithm, ITU-T I.371: one number a key.
        """
        if key.requests_a_minute is None:
            return 0.0
        each_s = MINUTE_S / key.requests_a_minute
        due_at, now = PACES.c.due_at, _clock(self._engine)
        from_now = sa.case((due_at > now, due_at), else_=now)
        passes = sa.update(PACES).where(
            PACES.c.key_id == key.id, from_now + each_s <= now + MINUTE_S + EPSILON_S
        )
        with self._engine.begin() as connection:
            if connection.execute(passes.values(due_at=from_now + each_s)).rowcount:
                return 0.0
            left = connection.execute(sa.select(due_at - now).where(PACES.c.key_id == key.id)).scalar()
        if left is not None:
            return max(0.001, float(left) + each_s - MINUTE_S)
        try:
            with self._engine.begin() as connection:
                connection.execute(PACES.insert().values(key_id=key.id, due_at=now + each_s))
        except sa.exc.IntegrityError:  # its first two requests came at once
            return self.wait_s(key)
        return 0.0

    def listed(self) -> list[ApiKey]:
        """All keys, oldest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(sa.select(KEYS).order_by(KEYS.c.created_at))]

    def any(self) -> bool:
        """Whether a key was ever made: from then on a service asks for one."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(KEYS.c.id).limit(1)).first() is not None

    def revoke(self, key_id: str) -> None:
        """End a key for good. Raises: NotFound."""
        with self._engine.begin() as connection:
            change = sa.update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked_at.is_(None))
            if connection.execute(change.values(revoked_at=time.time())).rowcount == 0:
                raise NotFound(
                    f"no key {key_id[:40]!r} that is not revoked yet; `vitascope keys list` shows them"
                )


def _clock(engine: sa.Engine) -> Any:
    """The database's clock where machines share one, so that theirs need not agree."""
    if engine.dialect.name == "postgresql":
        return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float(53))
    return sa.literal(time.time())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: sa.Row) -> ApiKey:
    return ApiKey(**{name: value for name, value in row._mapping.items() if name != "secret_hash"})
