"""One question to an OpenAI-compatible chat endpoint, with a time limit that holds.

A socket's time-out starts anew with each byte, so a server that drips could hold a job for ever; here the whole
exchange has one deadline, after which the connection is cut. Only the standard library is used: the clients that
are installed anyway have time-outs of the other kind.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vitascope.context import Context
from vitascope.errors import RequestError, ResourceError

MAX_BYTES = 2**20


class NoAnswer(ResourceError):
    """The endpoint gave nothing that can be used; the message says why."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask. `url` ends in /v1 or names the whole path; `key` is never logged or kept in a recipe."""

    url: str
    model: str
    key: str | None = None

    @property
    def path(self) -> str:
        """The path of the chat route on the host."""
        path = urlsplit(self.url).path.rstrip("/")
        return path if path.endswith("/chat/completions") else f"{path}/chat/completions"


def ask(
    endpoint: Endpoint,
    messages: Sequence[Mapping[str, Any]],
    context: Context,
    *,
    timeout_s: float,
    max_tokens: int,
) -> str:
    """The endpoint's answer as text.

    Units: timeout_s in seconds for everything from connecting to the last byte.
    Raises: NoAnswer (down, slow, an error status, not JSON, too long), RequestError (not an http address),
    JobCancelled.
    """
    parts = urlsplit(endpoint.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"endpoint {endpoint.url!r} is not an http(s) address", param="url")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s + 5)  # the deadline below comes first
    body = {
        "model": endpoint.model,
        "messages": [*messages],
        "max_tokens": max_tokens,
        "temperature": 0.7,
        "seed": 0,
    }
    exchange = _Exchange(connection, endpoint, json.dumps(body).encode())
    exchange.start()
    deadline = time.monotonic() + timeout_s
    while exchange.is_alive() and time.monotonic() < deadline and not context.cancel.is_set():
        exchange.join(0.05)
    late = exchange.is_alive()
    connection.close()  # also ends a server that drips
    context.check_cancelled()
    if late:
        raise NoAnswer(f"no whole answer within {timeout_s:g} s")
    if exchange.error:
        raise NoAnswer(exchange.error)
    return _content(exchange.status, exchange.body)


class _Exchange(threading.Thread):
    """The blocking half of a question; what it got stands in its fields."""

    def __init__(self, connection: http.client.HTTPConnection, endpoint: Endpoint, body: bytes) -> None:
        super().__init__(daemon=True)
        self.connection, self.endpoint, self.sent = connection, endpoint, body
        self.status, self.body, self.error = 0, b"", ""

    def run(self) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        try:
            self.connection.request("POST", self.endpoint.path, self.sent, headers)
            response = self.connection.getresponse()
            self.status = response.status
            self.body = response.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # AttributeError: http.client's own, when the connection is cut under it
            self.error = f"the endpoint cannot be reached: {error or type(error).__name__}"


def _content(status: int, body: bytes) -> str:
    if status != 200:
        raise NoAnswer(f"the endpoint answered with status {status}")
    if len(body) > MAX_BYTES:
        raise NoAnswer(f"the answer is longer than {MAX_BYTES} bytes")
    try:
        answer: Any = json.loads(body)
        choice = answer["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise NoAnswer("the answer is not an OpenAI chat completion") from error
    if not isinstance(content, str):
        raise NoAnswer("the answer has no text")
    return _whole_sentences(content) if choice.get("finish_reason") == "length" else content


def _whole_sentences(text: str) -> str:
    """What stands before the sentence that the token limit cut. Raises: NoAnswer if nothing does."""
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s)|[。！？]", text)]
    if not ends:
        raise NoAnswer("the answer was cut at the token limit, before its first sentence ended")
    return text[: ends[-1]]
