"""`vitascope serve` and `vitascope worker`."""

from __future__ import annotations

import ipaddress
import re
import sys
import threading
from itertools import chain, count, islice
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vitascope.jobs.house import House
    from vitascope.server.app import ServicePolicy

HOUSE_HELP = "Folder of jobs and databases (default: VITASCOPE_HOME/service)."
DATABASE_HELP = "postgresql://... that several machines share (or VITASCOPE_DATABASE)."
_STORE_HELP = "Where finished files go, such as s3://bucket/prefix (or VITASCOPE_ARTIFACTS)."
_DAYS_HELP = "How long finished videos are kept."
_ATTEMPTS_HELP = "A job that kills its worker so often is given up."
HouseFolder = Annotated[Path | None, typer.Option(help=HOUSE_HELP)]
Database = Annotated[str | None, typer.Option(help=DATABASE_HELP)]
Store = Annotated[str | None, typer.Option(help=_STORE_HELP)]
Device = Annotated[str, typer.Option(help="Of the workers: auto, cpu, cuda, cuda:1.")]
Gpus = Annotated[int, typer.Option(min=1, help="GPUs that share each clip of one worker.")]
Memory = Annotated[str | None, typer.Option(help="GPU memory that a worker stays within, e.g. 24GiB.")]
Days = Annotated[float, typer.Option(min=0.01, help=_DAYS_HELP)]
Attempts = Annotated[int, typer.Option(min=1, max=40, help=_ATTEMPTS_HELP)]
_BATCH_HELP = (
    "Requests of one kind that a worker may denoise together; this changes the last bits of their clips."
)
Batch = Annotated[int, typer.Option(min=1, max=64, help=_BATCH_HELP)]
DAY_S = 86_400


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; all but loopback need API keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    house: HouseFolder = None,
    database: Database = None,
    artifacts: Store = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes to keep running.")] = 1,
    device: Device = "auto",
    gpus: Gpus = 1,
    memory: Memory = None,
    public_name: Annotated[
        list[str] | None, typer.Option(help="Name under which clients call this service; may be repeated.")
    ] = None,
    fetch_from: Annotated[
        list[str] | None, typer.Option(help="Public host whose URLs requests may name; may be repeated.")
    ] = None,
    webhook_host: Annotated[
        list[str] | None, typer.Option(help="Private receiver of webhooks, as host or host:port.")
    ] = None,
    max_open: Annotated[int, typer.Option(min=1, help="Waiting and running jobs of one tenant.")] = 1000,
    keep_days: Days = 7,
    max_attempts: Attempts = 3,
    batch: Batch = 1,
    arena: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of `vitascope eval` whose clips are voted on; may be repeated."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="cn, c2pa, cn,c2pa: on every clip, whatever a request says.")
    ] = None,
) -> None:
    """Answer the OpenAI Videos API at http://127.0.0.1:8000/v1, with workers beside it."""
    need_extra()
    from vitascope.evaluation.stand import open_stands
    from vitascope.jobs.office import Office
    from vitascope.jobs.rules import Rules
    from vitascope.jobs.supervisor import Supervisor
    from vitascope.server.app import create_app
    from vitascope.server.listening import listen

    _check_free(host, port)
    place = house_of(house, database, artifacts)
    if not workers:
        _check_no_worker_asked(device, gpus, memory, batch)
    worker_words = _worker_words(device, gpus, memory, keep_days, max_attempts, batch)
    rules, stands = Rules.of_deployment(label), open_stands(arena or [])
    office = Office(place, max_open=max_open, lifetime_s=keep_days * DAY_S, rules=rules)
    policy = _policy(host, public_name, fetch_from, webhook_host)
    shown = f"[{host}]" if ":" in host else host
    print(
        f"http://{shown}:{port}/v1 answers; http://{shown}:{port} shows its pages; Ctrl-C stops it",
        flush=True,
    )
    if not policy.open_without_keys and not office.keys.any():
        print("no API key exists yet; make one with: vitascope keys create NAME", file=sys.stderr)
    app = create_app(office, policy, stands)
    stop = threading.Event()
    slots = _free_slots(place, (f"{_hostname()}-{number}" for number in count()), workers)
    supervisor = Supervisor(place, slots, worker_words)
    watching = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: stop.set())
    watching.start()
    try:
        if not stop.is_set():
            listen(app, host, port)
    finally:
        stop.set()
        watching.join()


def worker(
    slot: Annotated[list[str] | None, typer.Option(help="Name of a place to fill; may be repeated.")] = None,
    house: HouseFolder = None,
    database: Database = None,
    artifacts: Store = None,
    device: Device = "auto",
    gpus: Gpus = 1,
    memory: Memory = None,
    cards: Annotated[
        list[str] | None,
        typer.Option(help="GPUs of one worker, such as 0 or 2,3; repeated, one worker each."),
    ] = None,
    keep_days: Days = 7,
    max_attempts: Attempts = 3,
    batch: Batch = 1,
) -> None:
    """Keep workers running; with --database and --artifacts, for a service on other machines too."""
    need_extra()
    from vitascope.errors import RequestError
    from vitascope.jobs.queue import open_queue
    from vitascope.jobs.slots import hold_slot
    from vitascope.jobs.supervisor import Supervisor

    owned = cards or []
    named = slot or [f"{_hostname()}-gpu{numbers.replace(',', '.')}" for numbers in owned]
    if owned and len(owned) != len(named):
        raise RequestError(f"{len(named)} --slot and {len(owned)} --cards: give as many of both")
    if any(len(numbers.split(",")) != gpus for numbers in owned):
        raise RequestError(f"--gpus {gpus}: each --cards must name so many")
    place = house_of(house, database, artifacts)
    open_queue(place)
    host = f"{_hostname()}-worker"
    for name in named:
        hold_slot(place.lock(name)).close()
    slots = named or _free_slots(place, chain([host], (f"{host}-{number}" for number in count(2))), 1)
    stop = threading.Event()
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: stop.set())
    Supervisor(
        place, slots, _worker_words(device, gpus, memory, keep_days, max_attempts, batch), cards=owned
    ).run(stop)


def _free_slots(house: House, names: Iterator[str], number: int) -> list[str]:
    """The first slots that no other worker of this machine has."""
    from vitascope.jobs.slots import is_held

    return list(islice((name for name in names if not is_held(house.lock(name))), number))


def _worker_words(
    device: str, gpus: int, memory: str | None, keep_days: float, max_attempts: int, batch: int
) -> tuple[str, ...]:
    """Flags for worker processes, after a look at whether this machine has what they ask for."""
    from vitascope.cli.making import parse_memory
    from vitascope.engine.placement import Placement

    memory_gib = parse_memory(memory)
    if gpus > 1 or device not in ("auto", "cpu"):  # which every machine has: that needs no look
        Placement(device=device, gpus=gpus).resolve().check_gpus()
    words = {
        "device": device,
        "gpus": gpus,
        **({} if memory_gib is None else {"memory-gib": memory_gib}),
        "lifetime": keep_days * DAY_S,
        "max-attempts": max_attempts,
        "batch": batch,
    }
    return tuple(word for name, value in words.items() for word in (f"--{name}", str(value)))


def _check_no_worker_asked(device: str, gpus: int, memory: str | None, batch: int) -> None:
    """Raises: RequestError for what would be said to workers that are not started."""
    from vitascope.errors import RequestError

    flags = {
        "--device": device != "auto",
        "--gpus": gpus > 1,
        "--memory": memory is not None,
        "--batch": batch > 1,
    }
    for name, given in flags.items():
        if given:
            raise RequestError(
                f"{name} is for workers, and --workers 0 starts none; say it to `vitascope worker`",
                param="workers",
            )


def _check_free(host: str, port: int) -> None:
    """Raises: RequestError if nobody can listen there."""
    import socket

    from vitascope.errors import RequestError

    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = error.strerror or str(error)
        raise RequestError(
            f"cannot listen on {host}:{port}: {why}; choose another --host or --port"
        ) from error


def _policy(
    host: str, public_name: list[str] | None, fetch_from: list[str] | None, webhook_host: list[str] | None
) -> ServicePolicy:
    from vitascope.server.app import LOOPBACK, ServicePolicy

    is_loopback = host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
    hosts = (*LOOPBACK, *(public_name or ())) if is_loopback or public_name else ("*",)
    return ServicePolicy(
        hosts=hosts,
        open_without_keys=is_loopback,
        fetch_from=tuple(fetch_from or ()),
        webhook_hosts=tuple(webhook_host or ()),
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def need_extra() -> None:
    """Raises: DependencyMissing without the packages of the extra `serve`."""
    from importlib.util import find_spec

    from vitascope.errors import DependencyMissing

    for package in ("dbos", "fastapi", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "the service")


def house_of(folder: Path | None, database: str | None, artifacts: str | None) -> House:
    """The house that options and environment name. Raises: RequestError for a database that is no URL."""
    from vitascope.jobs.house import House
    from vitascope.settings import Settings

    settings = Settings.from_environment()
    root = (folder or settings.home / "service").expanduser().resolve()
    chosen = settings.database if database is None else database
    return House(root, chosen, settings.artifacts if artifacts is None else artifacts)


def _hostname() -> str:
    import socket

    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:80] or "host"
