"""Who is asking: API keys, what each may do, how often it may ask."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from vitascope.jobs.keys import LOCAL, ApiKey, KeyRing, Scope
from vitascope.server.envelope import Refusal

REMEMBERED_S = 5.0  # so long may a revoked key still be taken
MAX_REMEMBERED = 10_000
_scheme = HTTPBearer(auto_error=False, description="A key made by `vitascope keys create`")


@dataclass
class Gate:
    """The check before every route. `may_be_open`: on loopback, as long as no key was ever made, all may in."""

    keys: KeyRing
    may_be_open: bool
    _known: dict[bytes, tuple[float, ApiKey | None]] = field(default_factory=dict)
    _is_open: tuple[float, bool] = (0.0, False)

    async def admit(self, request: Request, scope: Scope) -> ApiKey:
        """The key of a request. Raises: Refusal 401, 403, 429."""
        key = LOCAL if await self.is_open() else await self.identify(request.headers.get("authorization", ""))
        if key is None:
            raise Refusal(
                401, "the API key is missing or wrong; send it as a bearer token", code="invalid_api_key"
            )
        if scope not in key.scopes:
            raise Refusal(
                403,
                f"this key lacks the scope {scope!r}; it has {', '.join(key.scopes)}",
                code="missing_scope",
            )
        if key.requests_a_minute is not None:
            await asyncio.to_thread(self.slow_down, key)
        return key

    async def is_open(self) -> bool:
        """Whether this service asks for no key."""
        if not self.may_be_open:
            return False
        asked_at, is_open = self._is_open
        if time.monotonic() - asked_at > REMEMBERED_S or asked_at == 0.0:
            is_open = not await asyncio.to_thread(self.keys.any)
            self._is_open = (time.monotonic(), is_open)
        return is_open

    async def identify(self, header: str) -> ApiKey | None:
        """The key that an Authorization header carries, or None."""
        kind, _, text = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        mark = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        until, key = self._known.get(mark, (0.0, None))
        if time.monotonic() > until:
            key = await asyncio.to_thread(self.keys.check, text.strip())
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[mark] = (time.monotonic() + REMEMBERED_S, key)
        return key

    def slow_down(self, key: ApiKey) -> None:
        """Count one request of a key. Raises: Refusal (429) if it has asked too often."""
        if key.requests_a_minute is None:
            return
        wait_s = self.keys.wait_s(key)
        if wait_s > 0:
            raise Refusal(
                429,
                f"this key may ask {key.requests_a_minute} times a minute; ask again in {math.ceil(wait_s)} s",
                code="rate_limit_exceeded",
                retry_after_s=math.ceil(wait_s),
            )


def _needs(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    async def admitted(request: Request, _: Annotated[object, Security(_scheme)]) -> ApiKey:
        gate: Gate = request.app.state.gate
        return await gate.admit(request, scope)

    return admitted


Reader = Annotated[ApiKey, Depends(_needs("read"))]
Writer = Annotated[ApiKey, Depends(_needs("write"))]
Trainer = Annotated[ApiKey, Depends(_needs("train"))]
MetricsReader = Annotated[ApiKey, Depends(_needs("metrics"))]
