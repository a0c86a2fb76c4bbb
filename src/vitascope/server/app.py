"""The web application: routes, error shape, headers that every answer carries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vitascope import __version__
from vitascope.jobs.office import Office
from vitascope.server import envelope, videos
from vitascope.server.events import Broadcast

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MAX_REQUEST_BYTES = 80 * 2**20  # an upload and its form; more is refused before it is read


def create_app(office: Office, hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """The service in front of `office`. `hosts`: names under which it may be called, against DNS rebinding."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        polling = asyncio.create_task(app.state.broadcast.run())
        yield
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling
        office.close()

    app = FastAPI(
        title="Vitascope",
        version=__version__,
        docs_url=None,  # their pages load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.office, app.state.broadcast = office, Broadcast(office)
    envelope.install(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.middleware("http")(_guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.include_router(videos.router)
    app.get("/health", summary="Whether the process lives")(_health)
    app.get("/ready", summary="Whether jobs can be taken")(_ready)
    return app


async def _guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    length = request.headers.get("content-length", "0")
    is_form = "multipart" in request.headers.get("content-type", "")
    origin = request.headers.get("origin")
    if not length.isdecimal():
        response: Response = envelope.enveloped(400, "content-length is not a number", code="bad_request")
    elif (
        is_form and "content-length" not in request.headers
    ):  # a form is spooled to disk: its size comes first
        response = envelope.enveloped(411, "send a form with its content-length", code="length_required")
    elif int(length) > MAX_REQUEST_BYTES:
        response = envelope.enveloped(413, f"a request may have {MAX_REQUEST_BYTES} bytes", code="too_large")
    elif origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        response = envelope.enveloped(403, "requests from pages of other sites are refused", code="origin")
    else:
        response = await proceed(request)
    response.headers["x-request-id"] = f"req_{uuid4().hex}"
    response.headers["x-content-type-options"] = "nosniff"
    return response


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "registered for this class"
    first = error.errors()[0]
    where = str(first["loc"][-1])
    return envelope.enveloped(400, f"{where}: {first['msg']}", code="invalid_value", param=where)


async def _health() -> dict[str, str]:
    """Alive."""
    return {"status": "ok", "version": __version__}


def _ready(request: Request) -> dict[str, object]:
    """The ledger answers; how many jobs are in which state."""
    return {"status": "ok", "jobs": request.app.state.office.ledger.counts()}
