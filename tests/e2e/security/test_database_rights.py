# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody tries who has stolen a password of a database's account."""

from __future__ import annotations

import subprocess

import pytest

import deployed

THIEF = "a thief of a database password"


def sql(user: str, database: str, statement: str, kind: str = "phi") -> tuple[int, str]:
    """Run a statement as an account, over TLS; return the exit code and all that is told."""
    done = subprocess.run(
        ["docker", "exec", "--env", "PGPASSWORD", f"e2e-{kind}-db", "psql", "-XAtq",
         "-v", "ON_ERROR_STOP=1", "-c", statement,
         f"host=e2e-{kind}-db user={user} dbname={database} sslmode=verify-full"
         " sslrootcert=/etc/postgresql/tls/ca.crt"],
        env={"PATH": "/usr/bin:/bin", "PGPASSWORD": deployed.secret(kind, user)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.attack(
    THIEF, "has Orthanc's password and reads the crosswalk", "a database of its own"
)
def test_orthanc_cannot_read_the_crosswalk() -> None:
    assert sql("orthanc", "orthanc", "SELECT 1") == (0, "1\n")
    code, told = sql("orthanc", "philookup", "SELECT 1")

    assert code
    assert "permission denied for database" in told


@pytest.mark.attack(
    THIEF, "has the workers' password and reads Orthanc's index", "a database of its own"
)
@pytest.mark.parametrize("user", ["philookup", "philookup_owner"])
def test_a_worker_cannot_read_orthancs_index(user: str) -> None:
    code, told = sql(user, "orthanc", "SELECT 1")

    assert code
    assert "permission denied for database" in told


@pytest.mark.attack(
    THIEF,
    "has the workers' password and drops, empties or changes tables",
    "rows only; another account owns the schema",
)
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE subjects CASCADE",
        "TRUNCATE subjects CASCADE",
        "ALTER TABLE subjects ADD COLUMN x int",
        "CREATE TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "DROP DATABASE philookup",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "ALTER ROLE philookup SUPERUSER",
        "ALTER ROLE orthanc PASSWORD 'x'",
        "SET ROLE postgres",
        "SET ROLE philookup_owner",
        "CREATE EXTENSION file_fdw",
    ],
)
def test_a_worker_changes_rows_only(statement: str) -> None:
    assert sql("philookup", "philookup", "SELECT count(*) >= 0 FROM subjects") == (0, "t\n")
    code, told = sql("philookup", "philookup", statement)

    assert code
    assert "must be" in told or "permission denied" in told


@pytest.mark.attack(
    THIEF,
    "reads files or passwords, or runs programs, by SQL",
    "no account is a superuser",
)
@pytest.mark.parametrize("user", ["orthanc", "philookup", "philookup_owner"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_read_file('/etc/postgresql/tls/server.pem')",
        "SELECT rolpassword FROM pg_authid",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT lo_import('/etc/passwd')",
        "ALTER SYSTEM SET ssl = off",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    ],
)
def test_no_account_leaves_its_tables(user: str, statement: str) -> None:
    database = "orthanc" if user == "orthanc" else "philookup"
    code, told = sql(user, database, statement)

    assert (code != 0 and ("permission denied" in told or "must" in told)) or told in {"", "f\n"}


@pytest.mark.attack(
    THIEF, "finds weakly kept passwords in a stolen database", "they are kept as SCRAM-SHA-256"
)
@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
def test_passwords_are_kept_as_scram(kind: str) -> None:
    kept = deployed.docker(
        "exec", f"e2e-{kind}-db", "psql", "-XAtc",
        "SELECT rolname, left(rolpassword, 14), rolsuper FROM pg_authid WHERE rolcanlogin",
    )  # fmt: skip
    rows = [row.split("|") for row in kept.splitlines()]

    assert len(rows) >= 2
    for name, start, superuser in rows:
        assert (start, superuser) == (("", "t") if name == "postgres" else ("SCRAM-SHA-256$", "f"))
