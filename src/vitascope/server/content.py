"""Finished files over HTTP, whole or in ranges, from a folder or from an object store."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import FileResponse, Response, StreamingResponse

from vitascope.jobs.artifacts import Artifacts
from vitascope.server.envelope import Refusal

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(
    artifacts: Artifacts, name: str, kind: str, shown_as: str, asked: Mapping[str, str]
) -> Response:
    """The file `name` as a download called `shown_as`. Raises: NotFound, ResourceError, Refusal (416)."""
    near = artifacts.folder / name
    headers = {
        "cache-control": "private, max-age=60",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    if near.is_file():
        return FileResponse(near, media_type=kind, filename=shown_as, headers=headers)
    size = artifacts.size(name)
    start, end, status = 0, size, 200
    if (match := _RANGE.fullmatch(asked.get("range", ""))) and match[0] != "bytes=-":
        start, end, status = *_bounds(match[1], match[2], size), 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers |= {"accept-ranges": "bytes", "content-length": str(end - start)}
    headers["content-disposition"] = f'attachment; filename="{shown_as}"'
    return StreamingResponse(artifacts.pieces(name, start, end), status, headers, media_type=kind)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise Refusal(416, f"the file has {size} bytes", code="range_not_satisfiable")
    return start, end
