# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the databases of one server into another, of a newer version of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

from orthanc_backup.config import INDEX, Config
from orthanc_backup.errors import BackupError
from orthanc_backup.postgres import Server, quoted
from orthanc_backup.proof import compare
from orthanc_backup.running import pipe

RESOURCES = "public.resources"


def move(config: Config, source: Server) -> Iterator[str]:
    """Copy each database from a server that nobody uses into this Orthanc's own; compare them.

    The source stays as it is. An interrupted move is run again.

    Raises:
        BackupError: This server holds studies of its own already, or a copy is not what it was.
    """
    server = Server(config.server)
    for database in config.databases:
        name, new = database.name, f"{database.name}_moved"
        index = name == INDEX
        held = server.census(name, index=True)
        server.sql("postgres", f"DROP DATABASE IF EXISTS {quoted(new)};")
        with source.snapshot(name) as snapshot:
            wanted = snapshot.census
            if any(rows for rows, _ in held.values()):
                if server.census(name, index=index) != wanted:
                    raise BackupError(
                        f"{server.container} holds something else in {name} than {source.container}"
                        ": it has worked already. Nothing was changed; see which of them is right."
                    )
                yield f"{name} was moved already."
                continue
            server.create(new, database)
            what = f"{name} cannot be moved from {source.container} to {server.container}"
            pipe(what, source.dump(name, snapshot), server.restoring(new))
        compare(f"{name} in {server.container}", wanted, server.census(new, index=index))
        server.sql(
            "postgres",
            f"DROP DATABASE {quoted(name)} WITH (FORCE);\n"
            f"ALTER DATABASE {quoted(new)} RENAME TO {quoted(name)};",
        )
        rows = sum(rows for rows, _ in wanted.values())
        yield f"{name} was moved: {rows} rows in {len(wanted)} tables, each compared."


def see_that_it_answers(source: Server) -> None:
    """Raise `BackupError` if a server is not there."""
    if INDEX not in source.databases():
        raise BackupError(f"{source.container} has no database {INDEX}: it is not an Orthanc's.")
