"""The tables of a service's ledger, and how its database is opened."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from vitascope.errors import ResourceError

METADATA = sa.MetaData()
YES, NO, NONE = sa.text("true"), sa.text("false"), sa.text("0")

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), unique=True, nullable=False),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("order", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("seconds", sa.String(16), nullable=False),
    sa.Column("size", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("released", sa.Boolean, nullable=False, server_default=YES),
    sa.Column("max_running", sa.Integer),
    sa.Column("batched_with", sa.String(40)),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("completed_at", sa.Float),
    sa.Column("expires_at", sa.Float, index=True),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.Text),
    sa.Column("announced", sa.Boolean, nullable=False, server_default=YES, index=True),
    sa.Column("remixed_from", sa.String(40)),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("estimate", sa.JSON),
    sa.Column("result", sa.JSON, nullable=False),
    sa.UniqueConstraint("tenant", "idempotency_key"),
    sa.Index("jobs_of_tenant", "tenant", "number"),
    sa.Index(
        "jobs_of_tenant_by_status", "tenant", "status"
    ),  # what a tenant has open is counted with each request
)
SLOTS = sa.Table(
    "slots",
    METADATA,
    sa.Column("slot", sa.String(128), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("beat", sa.Integer, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False, server_default=NONE),
    sa.Column("device", sa.String(64), nullable=False, server_default=""),
    sa.Column("memory_gib", sa.Float, nullable=False, server_default=NONE),
)
KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("best_priority", sa.Integer, nullable=False),
    sa.Column("max_running", sa.Integer),
    sa.Column("max_open", sa.Integer),
    sa.Column("requests_a_minute", sa.Integer),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revoked_at", sa.Float),
)
PACES = sa.Table(
    "paces",
    METADATA,
    sa.Column("key_id", sa.String(32), primary_key=True),
    sa.Column("due_at", sa.Float(53), nullable=False),  # when the key's allowance will be whole again
)
UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), unique=True, nullable=False),
    sa.Column("tenant", sa.String(64), nullable=False, index=True),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("num_bytes", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False, index=True),
)
ENDPOINTS = sa.Table(
    "webhook_endpoints",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), unique=True, nullable=False),
    sa.Column("tenant", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("event_types", sa.JSON, nullable=False),
    sa.Column("secret", sa.String(100), nullable=False),
    sa.Column("old_secret", sa.String(100)),
    sa.Column("old_secret_until", sa.Float),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
)
DELIVERIES = sa.Table(
    "webhook_deliveries",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), unique=True, nullable=False),
    sa.Column("endpoint_id", sa.String(40), nullable=False, index=True),
    sa.Column("job_id", sa.String(40), nullable=False),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Float, index=True),  # None: delivered, or given up
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.String(300)),
    sa.Column("delivered_at", sa.Float),
    sa.UniqueConstraint("endpoint_id", "job_id", "event_type"),
)


class DatabaseUnreachable(ResourceError):
    """The service's database does not answer, or lets nobody in."""


def open_database(url: str) -> sa.Engine:
    """Connect, and make what is missing: tables of a new service, columns of one that is older than this version.

    Raises: DatabaseUnreachable.
    """
    engine = connect(url)
    try:
        _make(engine)
    except sa.exc.OperationalError as error:
        engine.dispose()
        raise DatabaseUnreachable(f"{_shown(engine.url)} cannot be used: {in_one_line(error)}") from error
    return engine


def connect(url: str, *, writes_at_once: bool = False) -> sa.Engine:
    """An engine for a database, as all processes of a service use it.

    `writes_at_once`: transactions of SQLite take the lock for writing when they begin, as DBOS wants it.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": 30})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    if writes_at_once:
        sa.event.listen(engine, "connect", _lock_at_once)
    return engine


def _shown(url: sa.URL) -> str:
    """A database without its password."""
    if url.drivername.startswith("sqlite"):
        return f"the database {url.database!r}"
    return f"the database {url.database!r} at {url.host}:{url.port or 5432}"


def in_one_line(error: sa.exc.DBAPIError) -> str:
    """What the driver says, without its advice."""
    said = " ".join(str(error.orig).split())
    return said.rpartition("failed: ")[2].partition(" Is the server running")[0][:200]


def _make(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # of processes that start at once, one makes the tables
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7201)"))
        METADATA.create_all(connection)
        there = sa.inspect(connection)
        for table in METADATA.sorted_tables:
            have = {column["name"] for column in there.get_columns(table.name)}
            for column in table.columns:
                if column.name not in have:
                    ddl = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {ddl}"))
            for index in table.indexes:
                index.create(connection, checkfirst=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """With a write-ahead log a power cut may cost the last writes, never the file."""
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _lock_at_once(connection: Any, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
