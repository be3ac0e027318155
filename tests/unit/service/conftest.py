# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL for the tests of the service, started once and thrown away."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk
from postgres_server import running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """The address of a running server, as its superuser."""
    with running_postgres(fsync=False) as url:
        yield url


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
