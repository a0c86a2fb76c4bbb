"""`vitascope keys`: who may use a service."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli.display import print_json
from vitascope.cli.serve import DATABASE_HELP, HOUSE_HELP, house_of, need_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vitascope.jobs.keys import ApiKey, KeyRing

app = typer.Typer(help="Make, list and revoke the API keys of a service.", no_args_is_help=True)
House = Annotated[Path | None, typer.Option(help=HOUSE_HELP)]
Database = Annotated[str | None, typer.Option(help=DATABASE_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    tenant: Annotated[str | None, typer.Option(help="Keys of one tenant share jobs and files.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write, train, metrics; may be repeated.")
    ] = None,
    max_running: Annotated[int | None, typer.Option(min=1, help="Jobs of the tenant at a time.")] = None,
    max_open: Annotated[int | None, typer.Option(min=1, help="Waiting and running jobs.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
    best_priority: Annotated[int, typer.Option(min=1, max=9, help="1 is served first.")] = 5,
    house: House = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: this once, since only its hash is kept."""
    with _ring(house, database) as ring:
        key, text = ring.create(
            name,
            tenant=tenant,
            scopes=scope or ("read", "write"),
            best_priority=best_priority,
            max_running=max_running,
            max_open=max_open,
            requests_a_minute=rate,
        )
    if as_json:
        print_json({"id": key.id, "tenant": key.tenant, "key": text})
        return
    print(text)


@app.command("list")
def list_keys(house: House = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show all keys, without their text."""
    with _ring(house, database) as ring:
        keys = ring.listed()
    if as_json:
        print_json([key.model_dump(mode="json") for key in keys])
        return
    for key in keys:
        made = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
        print(f"{key.id}  {made}  {'revoked' if key.revoked_at else 'valid':7}  {_said(key)}")


def _said(key: ApiKey) -> str:
    limits = {"running": key.max_running, "open": key.max_open, "a minute": key.requests_a_minute}
    said = [f"{number} {what}" for what, number in limits.items() if number is not None]
    return "  ".join([key.name, f"tenant {key.tenant}", "+".join(key.scopes), *said])


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    house: House = None,
    database: Database = None,
) -> None:
    """End a key for good; a running service notices within five seconds."""
    with _ring(house, database) as ring:
        ring.revoke(key_id)
    print(f"revoked {key_id}")


@contextmanager
def _ring(house: Path | None, database: str | None) -> Iterator[KeyRing]:
    need_extra()
    from vitascope.jobs.keys import KeyRing
    from vitascope.jobs.tables import open_database

    place = house_of(house, database, None)
    place.open()
    engine = open_database(place.ledger_url)
    try:
        yield KeyRing(engine)
    finally:
        engine.dispose()
