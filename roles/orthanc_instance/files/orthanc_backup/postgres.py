# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL in a container, by its own programs and without a password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from orthanc_backup.config import INDEX, Database
from orthanc_backup.errors import BackupError, harmless
from orthanc_backup.running import pipe, program

# Rows, and for the crosswalk the sum of the rows' hashes: a count cannot tell a wrong row.
Census = dict[str, tuple[int, str]]

# psql says nothing of an error but its code, since the rest may hold a row.
PSQL = ("psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate")
SETTINGS = """
SET client_min_messages = error; SET timezone = 'UTC'; SET datestyle = 'ISO';
SET extra_float_digits = 1; SET idle_in_transaction_session_timeout = 0;
"""
TABLES = r"""
SELECT format('SELECT %L, count(*), {hash} FROM %I.%I AS whole_row', n.nspname || '.' || c.relname,
              n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY 1 \gexec
\echo
"""
ROWS_ONLY = "''''"
ROWS_HASHED = (
    "coalesce(sum((''x'' || left(encode(sha256(convert_to(whole_row::text, ''UTF8'')), ''hex''),"
    " 15))::bit(60)::bigint), 0)"
)


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Snapshot:
    """One moment of a database: what was in it, and the name by which others see the same."""

    name: str
    census: Census


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server, by the name of its container."""

    container: str

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs in the container."""
        return [program("docker"), "exec", "-i", self.container, *command]

    def psql(self, database: str) -> list[str]:
        """Return the command that reads SQL for a database from its input."""
        return self.inside(*PSQL, "-U", "postgres", "-d", database)

    def sql(self, database: str, text: str) -> list[list[str]]:
        """Run SQL and return the rows that it answers."""
        what = f"{self.container} refused a statement in {database}"
        answer = pipe(what, self.psql(database), given=(SETTINGS + text).encode())
        return [line.split("\t") for line in answer.decode().splitlines()]

    def databases(self) -> set[str]:
        """Return the names of the server's databases."""
        return {row[0] for row in self.sql("postgres", "SELECT datname FROM pg_database;")}

    def census(self, database: str, index: bool) -> Census:
        """Return what each table of a database holds; of an index only the rows are counted."""
        return dict(_counted(row) for row in self.sql(database, _tables(index)) if len(row) == 3)

    @contextmanager
    def snapshot(self, database: str) -> Iterator[Snapshot]:
        """Hold one moment of a database open, for a dump that agrees with the census."""
        session = subprocess.Popen(
            self.psql(database),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield _taken(session, f"{database} on {self.container}", database == INDEX)
        finally:
            session.communicate()

    def dump(self, database: str, snapshot: Snapshot) -> list[str]:
        """Return the command that writes a dump of that moment."""
        return self.inside(
            "pg_dump", "-U", "postgres", "--format=custom", "--lock-wait-timeout=300s",
            f"--snapshot={snapshot.name}", database,
        )  # fmt: skip

    def restoring(self, database: str) -> list[str]:
        """Return the command that restores the dump in its input."""
        return self.inside("pg_restore", "-U", "postgres", "--exit-on-error", "-d", database)

    def create(self, name: str, database: Database) -> None:
        """Make an empty database with the owner of another, and the accounts that a dump names."""
        roles = "".join(
            f"SELECT 'CREATE ROLE {quoted(role)}' WHERE NOT EXISTS"
            f" (SELECT FROM pg_roles WHERE rolname = {literal(role)}) \\gexec\n"
            for role in sorted({database.owner, database.user})
        )
        owner = quoted(database.owner)
        text = f"CREATE DATABASE {quoted(name)} OWNER {owner} TEMPLATE template0;"
        self.sql("postgres", roles + text)


def _tables(index: bool) -> str:
    return TABLES.format(hash=ROWS_ONLY if index else ROWS_HASHED)


def _counted(row: list[str]) -> tuple[str, tuple[int, str]]:
    table, rows, content = row
    return table, (int(rows), content)


def _taken(session: subprocess.Popen[str], where: str, index: bool) -> Snapshot:
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();\n"
    lines = _asked(session, SETTINGS + begin + _tables(index))
    if not lines:
        told = harmless(session.stderr.read()) if session.stderr else ""
        raise BackupError(f"No snapshot can be taken of {where}{told}.")
    return Snapshot(lines[0], dict(_counted(line.split("\t")) for line in lines[1:]))


def _asked(session: subprocess.Popen[str], text: str) -> list[str]:
    """Give SQL to an open session; return its answer up to an empty line, or nothing if it died."""
    lines: list[str] = []
    if session.stdin and session.stdout:
        with suppress(BrokenPipeError):
            session.stdin.write(text)
            session.stdin.flush()
        for line in session.stdout:
            if line == "\n":
                return lines
            lines.append(line.rstrip("\n"))
    return []
