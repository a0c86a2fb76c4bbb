"""Who is at a page: a key in a cookie, once the service has keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from vitascope.jobs.keys import LOCAL, ApiKey, KeyRing

COOKIE = "vitascope_key"
# The key that a text is; None for no valid one.
Identify = Callable[[str | None], ApiKey | None]
# Counts one request of a key, and refuses what is too much.
SlowDown = Callable[[ApiKey], None]


def identify_with(keys: KeyRing, open_without_keys: bool) -> Identify:
    """How visitors are told apart: as the API does it, by keys once there are some."""

    def identify(text: str | None) -> ApiKey | None:
        if open_without_keys and not keys.any():
            return LOCAL
        return keys.check(text) if text else None

    return identify


def key_in(headers: Any) -> str | None:
    """The key that a browser's cookie carries."""
    cookie = SimpleCookie()
    cookie.load(headers.get("cookie") or "")
    return cookie[COOKIE].value if COOKIE in cookie else None


@dataclass(frozen=True)
class CookieAsKey:
    """Lets a page's own requests to the API, such as a video element's, carry the key of its cookie.

    The cookie is never sent from other sites, and the API refuses their origin besides.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the key where the API looks for it, unless the request brings one."""
        if scope["type"] == "http" and scope["path"].startswith(("/v1/", "/arena/")):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            key = key_in(headers)
            if key is not None and "authorization" not in headers:
                bearer = (b"authorization", f"Bearer {key}".encode("latin-1", "ignore"))
                scope = {**scope, "headers": [*scope["headers"], bearer]}
        await self.app(scope, receive, send)
