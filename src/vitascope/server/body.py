"""Requests in either wire form, JSON or multipart, as one mapping and at most one file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from vitascope.errors import RequestError
from vitascope.server.envelope import Refusal

MAX_FORM_FIELDS = 200
MAX_JSON_BYTES = 2**20
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


@dataclass(frozen=True)
class Body:
    """What a request carried: plain fields, and the one file that the route takes."""

    fields: dict[str, Any]
    file: UploadFile | None = None


async def read_body(request: Request, file_field: str = "input_reference") -> Body:
    """The request's body; a file may come as `file_field`.

    Raises: RequestError for what is neither form, Refusal (413) if too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _form(request, file_field)
    if kind not in ("application/json", ""):
        raise Refusal(
            415,
            f"content type {kind[:80]!r}: send JSON or multipart/form-data",
            code="unsupported_media_type",
        )
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_JSON_BYTES:
            raise Refusal(413, f"a JSON body may have {MAX_JSON_BYTES} bytes", code="too_large")
    try:
        fields = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is not valid JSON") from error
    if not isinstance(fields, dict):
        raise RequestError("the body must be a JSON object")
    return Body(_storable(fields))


async def _form(request: Request, file_field: str) -> Body:
    try:
        form = await request.form(max_files=1, max_fields=MAX_FORM_FIELDS)
    except HTTPException as error:
        raise RequestError(f"the form cannot be read: {error.detail}") from error
    fields: dict[str, Any] = {}
    file = None
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            if key != file_field:
                raise RequestError(f"a file is taken as {file_field}, not as {key[:80]!r}", param=key[:80])
            file = value
        else:
            _fold(fields, key, value)
    return Body(_storable(fields), file)


def _storable(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, if every database and client can take them.

    Raises: RequestError for lone surrogates, NUL, NaN, nesting without end.
    """
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise RequestError("the body holds text that is not Unicode, or a number that is none") from error
    if "\\u0000" in text:
        raise RequestError("the body holds a NUL character")
    return fields


def _fold(fields: dict[str, Any], key: str, value: str) -> None:
    """Put `a[b]` into the mapping `a`, and `a[]` at the end of the list `a`. Raises: RequestError."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise RequestError(f"form field {key[:80]!r} has brackets that do not close", param=key[:80])
    path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    here: Any = fields
    for part, following in zip(path, [*path[1:], None], strict=True):
        fresh: Any = value if following is None else [] if following == "" else {}
        if isinstance(here, list):
            if part != "":
                raise RequestError(f"form field {key[:80]!r} is a list and a mapping", param=key[:80])
            here.append(fresh)
            here = fresh
        elif not isinstance(here, dict) or (following is None and part in here):
            raise RequestError(f"form field {key[:80]!r} is given twice", param=key[:80])
        else:
            here = here.setdefault(part, fresh)
