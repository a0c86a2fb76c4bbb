"""Every error as `{"error": {message, type, param, code}}`, which is what clients of this API read."""

from __future__ import annotations

import errno
import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from vitascope.errors import NotFound, RequestError, UnknownName, VitascopeError
from vitascope.jobs.tables import in_one_line

log = logging.getLogger(__name__)
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ADDRESSED = ("video_id", "file_id", "webhook_endpoint_id", "fine_tuning_job_id")
_DISK_FULL = "the service's disk is full; try again later"
_RETRY_AFTER_S = {429: "5", 503: "30"}


class Refusal(RequestError):
    """A request that HTTP has its own status for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        unsatisfied_of: int | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.status, self.reason, self.retry_after_s = status, code, retry_after_s
        self.headers = {} if unsatisfied_of is None else {"content-range": f"bytes */{unsatisfied_of}"}


def enveloped(
    status: int,
    message: str,
    *,
    code: str | None,
    param: str | None = None,
    retry_after_s: int | None = None,
) -> JSONResponse:
    """One error as a response."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    headers = {"retry-after": _RETRY_AFTER_S[status]} if status in _RETRY_AFTER_S else {}
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(content, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of `app` in this shape."""
    app.add_exception_handler(VitascopeError, _ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(DBAPIError, _of_the_database)
    app.add_exception_handler(OSError, _of_the_disk)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VitascopeError), "registered for this class"
    param = getattr(error, "param", None)
    if isinstance(error, Refusal):
        again_s = error.retry_after_s
        answer = enveloped(error.status, str(error), code=error.reason, param=param, retry_after_s=again_s)
        answer.headers.update(error.headers)
        return answer
    # 404 is for things at an address; an unknown name inside a request is a bad request
    status = 400 if isinstance(error, UnknownName) else error.http_status
    if isinstance(error, NotFound) and param not in _ADDRESSED:
        status = 400
    return enveloped(status, str(error), code=_code(error), param=param)


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "registered for this class"
    answer = enveloped(error.status_code, str(error.detail), code=None)
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


async def _of_the_database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DBAPIError), "registered for this class"
    log.error("%s %s failed: %s", request.method, request.url.path, in_one_line(error))
    if "is full" in str(error):  # as SQLite says it
        return enveloped(507, _DISK_FULL, code="disk_full")
    return enveloped(503, "the service's database does not answer; try again", code="database_unavailable")


async def _of_the_disk(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return enveloped(507, _DISK_FULL, code="disk_full")
    return await _unforeseen(request, error)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return enveloped(500, "an error of ours; it is in the server's log", code="internal_error")


def _code(error: VitascopeError) -> str:
    if isinstance(error, UnknownName) and error.param == "model":
        return "model_not_found"
    return error.code
