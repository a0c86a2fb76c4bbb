"""The web application: its rooms put together."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from vitascope import __version__
from vitascope.evaluation.stand import Stand
from vitascope.jobs.announcer import Announcer
from vitascope.jobs.office import Office
from vitascope.jobs.outside import Outside
from vitascope.server import envelope, files, fine_tuning, pages, shelves, videos, webhook_endpoints
from vitascope.server.access import Gate, MetricsReader
from vitascope.server.events import Broadcast
from vitascope.server.guard import Guard
from vitascope.server.metrics import Metrics
from vitascope.server.ui.mount import mount

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class ServicePolicy:
    """How a service behaves towards others.

    `hosts`: names under which it may be called, against DNS rebinding. `open_without_keys`: on loopback only.
    `fetch_from`: hosts whose URLs a request may name, never private ones. `webhook_hosts`: receivers that may be
    private because the operator names them; public ones over https are always allowed.
    """

    hosts: Sequence[str] = LOOPBACK
    open_without_keys: bool = True
    fetch_from: tuple[str, ...] = ()
    webhook_hosts: tuple[str, ...] = ()


def create_app(
    office: Office, policy: ServicePolicy | None = None, stands: Mapping[str, Stand] | None = None
) -> FastAPI:
    """The service in front of `office`; `stands`: runs whose clips are voted on, by name."""
    policy = policy or ServicePolicy()
    receivers = Outside(("*", *policy.webhook_hosts), may_be_private=True)
    announcer, stop = Announcer(office.ledger, receivers), threading.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        polling = asyncio.create_task(app.state.broadcast.run())
        announcing = threading.Thread(target=announcer.run, args=(stop,), name="announcer", daemon=True)
        announcing.start()
        yield
        stop.set()
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling
        await asyncio.to_thread(announcing.join, 15)
        office.close()

    app = FastAPI(
        title="Vitascope",
        version=__version__,
        docs_url=None,  # their pages load scripts from other hosts; ours is in `pages`
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.office, app.state.broadcast = office, Broadcast(office)
    app.state.gate = Gate(office.keys, policy.open_without_keys)
    app.state.sources, app.state.receivers = Outside(policy.fetch_from), receivers
    app.state.announcer, app.state.metrics = announcer, Metrics(office.ledger)
    envelope.install(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    mount(app, office, app.state.gate, stands or {})
    app.add_middleware(Guard, metrics=app.state.metrics, hosts=tuple(policy.hosts))
    for room in (videos, files, fine_tuning, webhook_endpoints, shelves):
        app.include_router(room.router)
    pages.mount(app)
    app.get("/health", summary="Whether the process lives", tags=["service"])(_health)
    app.get("/ready", summary="Whether jobs can be taken", tags=["service"])(_ready)
    app.get("/metrics", summary="Numbers for Prometheus", tags=["service"], response_class=Response)(_metrics)
    return app


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "registered for this class"
    first = error.errors()[0]
    where = str(first["loc"][-1])
    return envelope.enveloped(400, f"{where}: {first['msg']}", code="invalid_value", param=where)


async def _health() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "ok", "version": __version__}


def _ready(request: Request) -> JSONResponse:
    """The ledger and the queue answer."""
    office: Office = request.app.state.office
    try:
        office.ledger.num_slots()
        office.queue.statuses(["video_none"])
    except (SQLAlchemyError, OSError):
        return envelope.enveloped(503, "the database does not answer", code="not_ready")
    return JSONResponse({"status": "ok"})


def _metrics(request: Request, _: MetricsReader) -> Response:
    """Prometheus' text format; a key needs the scope `metrics`."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
