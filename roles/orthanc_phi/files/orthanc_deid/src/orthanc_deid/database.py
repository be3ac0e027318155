# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the crosswalk database: PostgreSQL by psycopg2, or the embedded SQLite store."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import psycopg2.extensions  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

STATEMENT_SECONDS = 30
# Without these a host that vanished would hold the studies that it claimed for two hours.
_SESSION = " ".join(
    f"-c tcp_keepalives_{name}={number}"
    for name, number in (("idle", 30), ("interval", 10), ("count", 3))
)


def connect(url: str | sa.URL) -> sa.Engine:
    """Return an engine for `url` (`postgresql+psycopg2://…` or `sqlite:///FILE`).

    Nothing is opened yet. No statement waits longer than `STATEMENT_SECONDS` for the server.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    # A paused server acknowledges packets and never answers: only the client can give up.
    psycopg2.extensions.set_wait_callback(_wait)
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg2"),
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=5,
        pool_timeout=STATEMENT_SECONDS,
        hide_parameters=True,  # the parameters are patients' identifiers
        connect_args={
            "connect_timeout": 10,
            "application_name": "orthanc_deid",
            "options": _SESSION,
        },
    )


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Let this process wait as long as a statement takes, such as an index of millions of rows."""
    hurried = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(None)
    try:
        yield
    finally:
        psycopg2.extensions.set_wait_callback(hurried)


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT that knows ON CONFLICT, in the dialect of `connection`."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, hide_parameters=True, connect_args={"timeout": STATEMENT_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that starts by reading cannot start to write once another has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _wait(connection: Any) -> None:
    """Let psycopg2 wait for the server, but not for ever.

    It closes the connection when this raises. Closing it here would wait for psycopg2's own lock,
    which it holds meanwhile.
    """
    deadline = time.monotonic() + STATEMENT_SECONDS
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        remaining = deadline - time.monotonic()
        reading = [connection] if state == psycopg2.extensions.POLL_READ else []
        writing = [connection] if state == psycopg2.extensions.POLL_WRITE else []
        if remaining <= 0 or not any(select.select(reading, writing, [], remaining)):
            raise psycopg2.OperationalError(
                f"the database did not answer within {STATEMENT_SECONDS} s; is it paused or stuck?"
            )
