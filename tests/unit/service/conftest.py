# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL for the tests of the service, started once and thrown away."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk


def _binaries() -> Path:
    """Where initdb is; Debian's package is installed if it is nowhere."""

    def found() -> list[Path]:
        return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    if not found():
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
        subprocess.run(
            ["apt-get", "install", "-qy", "--no-install-recommends", "postgresql"],
            check=True,
            env=environment,
        )
    return found()[-1].parent


def _server_user() -> pwd.struct_passwd:
    """PostgreSQL refuses root; then the account of its package runs it."""
    return pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam("postgres")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """The address of a running server, as its superuser."""
    binaries, user, port = _binaries(), _server_user(), _free_port()
    home = Path(tempfile.mkdtemp(prefix="orthanc-deid-pg-"))
    os.chown(home, user.pw_uid, user.pw_gid)
    account = user.pw_uid if os.geteuid() == 0 else None

    def run(*command: str) -> None:
        subprocess.run(command, check=True, cwd=home, stdout=subprocess.DEVNULL, user=account)

    try:
        run(f"{binaries}/initdb", "-D", "data", "-U", "owner", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -c fsync=off"
        run(f"{binaries}/pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        yield sa.make_url(f"postgresql+psycopg2://owner@127.0.0.1:{port}/postgres")
        run(f"{binaries}/pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home)


@pytest.fixture
def empty_database(postgres: sa.URL) -> Iterator[sa.URL]:
    """A new database, dropped afterwards."""
    name = f"t{uuid.uuid4().hex}"
    server = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield postgres.set(database=name)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def database(empty_database: sa.URL) -> sa.URL:
    """A new database with the schema of this version."""
    migrate.upgrade(empty_database)
    return empty_database


@pytest.fixture
def embedded(tmp_path: Path) -> sa.URL:
    """A new embedded store with the schema of this version."""
    url = sa.make_url(f"sqlite:///{tmp_path}/crosswalk.sqlite")
    migrate.upgrade(url)
    return url


@pytest.fixture(params=["PostgreSQL", "SQLite"])
def crosswalk(request: pytest.FixtureRequest) -> Iterator[Crosswalk]:
    """A crosswalk with nothing in it, on either kind of store."""
    url = request.getfixturevalue("database" if request.param == "PostgreSQL" else "embedded")
    opened = Crosswalk(url, base_name="DEMO")
    yield opened
    opened.close()
