"""Around every request: what is refused before it is read, headers that every answer carries, and the count."""

from __future__ import annotations

import time
from collections.abc import MutableMapping, Sequence
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

    def __init__(self, app: ASGIApp, metrics: Metrics, hosts: Sequence[str]) -> None:
        self._app, self._metrics, self._hosts = app, metrics, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket" and _refusal(Headers(scope=scope), self._hosts):
            await send({"type": "websocket.close", "code": 1008})
            return
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

        refusal = _refusal(Headers(scope=scope), self._hosts)
        method: str = scope["method"]
        answering: Send = send_more
        if method == "HEAD":  # whatever can be got can be asked about
            scope, answering = {**scope, "method": "GET"}, _without_body(send_more)
        try:
            await (refusal or self._app)(scope, receive, answering)
        finally:
            self._metrics.count(method, _route(scope), status, time.perf_counter() - started)


def _without_body(send: Send) -> Send:
    """Sends the head of an answer, and the end of its body at once."""
    has_ended = False

    async def head_alone(message: Message) -> None:
        nonlocal has_ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not has_ended:
            has_ended = True
            await send({"type": "http.response.body", "body": b""})

    return head_alone


def _add_headers(headers: MutableHeaders, path: str) -> None:
    headers["x-request-id"] = f"req_{uuid4().hex}"
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith(_API_PATHS):
        headers.setdefault("content-security-policy", _PAGES_MAY)
        headers.setdefault("cache-control", "no-store")


def _refusal(headers: Headers, hosts: Sequence[str]) -> JSONResponse | None:
    length = headers.get("content-length", "0")
    origin = headers.get("origin")
    if "*" not in hosts and _name_in(headers.get("host", "")) not in hosts:
        return enveloped(400, "this service is not known under that host name", code="host")
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


def _name_in(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _route(scope: MutableMapping[str, Any]) -> str:
    """The route's pattern, so that ids do not become labels."""
    return getattr(scope.get("route"), "path", None) or "other"
