"""Around every request: what is refused before it is read, headers that every answer carries, and the count."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitascope.server.envelope import enveloped
from vitascope.server.metrics import Metrics

MAX_REQUEST_BYTES = 80 * 2**20  # an upload and its form; more is refused before it is read
_API_PATHS = ("/v1/", "/health", "/ready", "/metrics", "/openapi.json")
_PAGES_MAY = "default-src 'none'; frame-ancestors 'none'"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Plain ASGI, since Starlette's wrapper for functions costs a task a request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = _refusal(Headers(scope=scope))
        try:
            await (refusal or self._app)(scope, receive, send_more)
        finally:
            self._metrics.count(scope["method"], _route(scope), status, time.perf_counter() - started)


def _add_headers(headers: MutableHeaders, path: str) -> None:
    headers["x-request-id"] = f"req_{uuid4().hex}"
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith(_API_PATHS):
        headers.setdefault("content-security-policy", _PAGES_MAY)
        headers.setdefault("cache-control", "no-store")


def _refusal(headers: Headers) -> JSONResponse | None:
    length = headers.get("content-length", "0")
    origin = headers.get("origin")
    if not length.isdecimal() or len(length) > 18:
        return enveloped(400, "content-length is not a number", code="bad_request")
    if "multipart" in headers.get("content-type", "") and "content-length" not in headers:
        # a form is spooled to disk: its size comes first
        return enveloped(411, "send a form with its content-length", code="length_required")
    if int(length) > MAX_REQUEST_BYTES:
        return enveloped(413, f"a request may have {MAX_REQUEST_BYTES} bytes", code="too_large")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return enveloped(403, "requests from pages of other sites are refused", code="origin")
    return None


def _route(scope: MutableMapping[str, Any]) -> str:
    """The route's pattern, so that ids do not become labels."""
    return getattr(scope.get("route"), "path", None) or "other"
