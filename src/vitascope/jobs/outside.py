"""The one door to other hosts: only those that are allowed, never a private address, no redirects.

The address that was checked is the one that is connected to, so that a name cannot mean another host meanwhile.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vitascope.errors import DependencyMissing, NoNetwork, RequestError

MAX_REPLY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Outside:
    """Which hosts may be reached. `hosts`: names, or name:port; "*" is any public one.

    A host that is named outright may have a private address, as receivers of webhooks inside a company do, but
    only if `may_be_private`.
    """

    hosts: tuple[str, ...] = ()
    may_be_private: bool = False
    timeout_s: float = 10.0

    def check(self, url: str, param: str) -> None:
        """Look at an address without connecting. Raises: RequestError."""
        self._resolved(url, param)

    def _resolved(self, url: str, param: str) -> tuple[str, int, str]:
        """The host, the port and the numeric address to connect to."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise RequestError("the URL cannot be read", param=param) from error
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise RequestError("the URL must be http(s)://host/..., without a user or password", param=param)
        port = port or (443 if parts.scheme == "https" else 80)
        is_named = host in self.hosts or f"{host}:{port}" in self.hosts
        if not is_named and not ("*" in self.hosts and parts.scheme == "https"):
            raise RequestError(
                "this service may not reach that host; ask its operator to allow it", param=param
            )
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RequestError("the host of the URL cannot be found", param=param) from error
        addresses = [str(row[4][0]).partition("%")[0] for row in found]
        if not (is_named and self.may_be_private) and not all(map(_is_public, addresses)):
            raise RequestError("the URL leads to a private address; this is never followed", param=param)
        return host, port, addresses[0]

    def request(
        self,
        method: str,
        url: str,
        param: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> tuple[int, bytes]:
        """Status and body of one request. Raises: RequestError for a host or reply that is refused, NoNetwork."""
        try:
            import httpcore
        except ImportError as error:
            raise DependencyMissing("httpcore", "serve", "reaching other hosts") from error
        _, _, address = self._resolved(url, param)
        waits = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)
        sent = {**(headers or {}), "user-agent": "vitascope"}
        with httpcore.ConnectionPool(network_backend=_pinned(httpcore, address)) as pool:
            try:
                with pool.stream(
                    method, url, headers=list(sent.items()), content=content, extensions={"timeout": waits}
                ) as reply:
                    return reply.status, _limited(
                        reply.iter_stream(), max_bytes, time.monotonic() + 6 * self.timeout_s, param
                    )
            except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
                raise NoNetwork(f"the host could not be reached: {type(error).__name__}") from error


def _pinned(httpcore: Any, address: str) -> Any:
    """A network that connects to one address, whatever name is asked for."""

    class Pinned(httpcore.SyncBackend):
        def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> Any:  # noqa: ARG002
            return super().connect_tcp(address, port, *rest, **options)

    return Pinned()


def _limited(pieces: Iterable[bytes], max_bytes: int, deadline: float, param: str) -> bytes:
    data = b""
    for piece in pieces:
        data += piece
        if time.monotonic() > deadline:
            raise NoNetwork("the host answers too slowly")
        if len(data) > max_bytes:
            raise RequestError(f"what the URL gives is larger than {max_bytes} bytes", param=param)
    return data


def _is_public(address: str) -> bool:
    number = ipaddress.ip_address(address)
    inner = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None)
    return number.is_global and not number.is_multicast and (inner is None or inner.is_global)
