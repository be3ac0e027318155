# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the crosswalk database to the schema that this version of the package needs."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orthanc_deid import database
from orthanc_deid.errors import DeidError

ADVISORY_LOCK = 0x6F72_7468_6465_6964  # "orthdeid"
LOCK_SECONDS = 300


class MigrationError(DeidError):
    """The database cannot be brought to the schema of this version."""


def upgrade(url: str | sa.URL, revision: str = "head") -> str | None:
    """Apply what is missing; returns the revision reached, or None if nothing was missing.

    On PostgreSQL several may be started at once: the first one works and the others wait.

    Raises:
        MigrationError: the database is of a newer version, or another migration does not end.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or refuses.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = database.connect(url)
    try:
        with database.unhurried(), engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                _wait_for_turn(connection)
            else:
                _let_tables_be_replaced(connection)
            return _apply(config, connection, revision)
    finally:
        engine.dispose()  # ends the session, and with it the lock


def _apply(config: Config, connection: sa.Connection, revision: str) -> str | None:
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return None
    if current is not None and current not in {
        script.revision for script in scripts.walk_revisions()
    }:
        raise MigrationError(
            f"the database has schema revision {current}, which this version does not know; "
            "use the version that made it, or a newer one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()
    return MigrationContext.configure(connection).get_current_revision()


def _let_tables_be_replaced(connection: sa.Connection) -> None:
    """Let SQLite, which cannot change a table, replace one that others refer to."""
    driver = connection.connection.driver_connection
    if driver is not None:  # not within a transaction, where SQLite would ignore it
        driver.execute("PRAGMA foreign_keys = OFF")


def _wait_for_turn(connection: sa.Connection) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK))):
        connection.commit()
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another migration of this database has not ended within {LOCK_SECONDS} s; "
                "look for it in pg_stat_activity (application orthanc_deid)"
            )
        time.sleep(0.5)
    connection.commit()
