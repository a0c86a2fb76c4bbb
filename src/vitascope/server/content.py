"""Finished files over HTTP, whole or in ranges, from a folder or from an object store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vitascope.jobs.artifacts import Artifacts
from vitascope.server.envelope import Refusal

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class WholeFile(FileResponse):
    """A file of which no part was asked for in a way that anybody understands; RFC 9110 then sends all of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as if there had been no Range header."""
        headers = MutableHeaders(raw=list(scope["headers"]))
        del headers["range"]
        await super().__call__({**scope, "headers": headers.raw}, receive, send)


def file_response(
    artifacts: Artifacts, name: str, kind: str, shown_as: str, asked: Mapping[str, str]
) -> Response:
    """The file `name` as a download called `shown_as`. Raises: NotFound, ResourceError, Refusal (416)."""
    near = artifacts.folder / name
    size = artifacts.size(name)
    part = _part(asked.get("range", ""), size)
    headers = {
        "cache-control": "private, max-age=60",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    if near.is_file():
        answer = WholeFile if part is None else FileResponse
        return answer(near, media_type=kind, filename=shown_as, headers=headers)
    start, end = part or (0, size)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers |= {"accept-ranges": "bytes", "content-length": str(end - start)}
    headers["content-disposition"] = f'attachment; filename="{shown_as}"'
    pieces = artifacts.pieces(name, start, end)
    first = next(pieces, b"")  # a file that is gone by now can still be refused
    return StreamingResponse(chain([first], pieces), 200 if part is None else 206, headers, media_type=kind)


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """From where to where one range goes; None for no range, several, or one that says nothing.

    Raises: Refusal (416) for one beyond the end.
    """
    match = _RANGE.fullmatch(asked)
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise Refusal(416, f"the file has {size} bytes", code="range_not_satisfiable", unsatisfied_of=size)
    return start, end
