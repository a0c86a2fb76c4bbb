"""`vitascope serve` and `vitascope worker`."""

from __future__ import annotations

import threading
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vitascope.jobs.house import House

_GPUS_HELP = "GPUs that share each clip of a worker."
_HOUSE_HELP = "Folder of jobs and databases (default: VITASCOPE_HOME/service)."


def serve(
    host: Annotated[
        str, typer.Option(help="Loopback only; put a proxy that checks keys in front.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    house: Annotated[Path | None, typer.Option(help=_HOUSE_HELP)] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes to keep running.")] = 1,
    device: Annotated[str, typer.Option(help="Of the workers: auto, cpu, cuda, cuda:1.")] = "auto",
    gpus: Annotated[int, typer.Option(min=1, help=_GPUS_HELP)] = 1,
) -> None:
    """Answer the OpenAI Videos API at http://127.0.0.1:8000/v1, with workers beside it."""
    _need_extra()
    import uvicorn

    from vitascope.errors import RequestError
    from vitascope.jobs.office import Office
    from vitascope.jobs.supervisor import Supervisor
    from vitascope.server.app import create_app

    if host not in ("127.0.0.1", "localhost", "::1"):
        raise RequestError(f"--host {host}: this service has no keys yet and answers on loopback only")
    place = _house(house)
    app = create_app(Office(place))
    stop = threading.Event()
    slots = [f"{_hostname()}-{number}" for number in range(workers)]
    watching = threading.Thread(
        target=Supervisor(place, slots, _placed(device, gpus)).run, args=(stop,), name="supervisor"
    )
    watching.start()
    try:
        uvicorn.run(app, host=host, port=port, log_level="warning", timeout_keep_alive=75)
    finally:
        stop.set()
        watching.join()


def worker(
    slot: Annotated[list[str] | None, typer.Option(help="Name of a place to fill; may be repeated.")] = None,
    house: Annotated[Path | None, typer.Option(help=_HOUSE_HELP)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    gpus: Annotated[int, typer.Option(min=1, help=_GPUS_HELP)] = 1,
) -> None:
    """Keep workers running for a service on this machine; they share its queue."""
    _need_extra()
    from vitascope.jobs.queue import open_queue
    from vitascope.jobs.supervisor import Supervisor

    place = _house(house)
    open_queue(place)
    stop = threading.Event()
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: stop.set())
    Supervisor(place, slot or [f"{_hostname()}-worker"], _placed(device, gpus)).run(stop)


def _placed(device: str, gpus: int) -> tuple[str, ...]:
    """Flags for worker processes, after a look at whether this machine has what they ask for."""
    from vitascope.engine.placement import Placement

    Placement(device=device, gpus=gpus).resolve().check_gpus()
    return ("--device", device, "--gpus", str(gpus))


def _need_extra() -> None:
    from importlib.util import find_spec

    from vitascope.errors import DependencyMissing

    for package in ("dbos", "fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "the service")


def _house(folder: Path | None) -> House:
    from vitascope.jobs.house import House
    from vitascope.settings import Settings

    return House((folder or Settings.from_environment().home / "service").resolve())


def _hostname() -> str:
    import socket

    return socket.gethostname().replace("/", "-")
