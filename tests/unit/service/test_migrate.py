# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations: they make what the code expects, once, whoever starts them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orthanc_deid import migrate
from orthanc_deid.schema import metadata


@pytest.fixture(params=["empty_database", "embedded_nothing"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> sa.URL:
    if request.param == "embedded_nothing":
        return sa.make_url(f"sqlite:///{tmp_path}/new.sqlite")
    found: sa.URL = request.getfixturevalue("empty_database")
    return found


def test_a_second_migration_has_nothing_to_do(url: sa.URL) -> None:
    assert migrate.upgrade(url) == "0002"
    assert migrate.upgrade(url) is None


def test_the_migrations_make_the_tables_that_the_code_uses(url: sa.URL) -> None:
    migrate.upgrade(url)
    with sa.create_engine(url).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _parents: (
                    kind != "table" or not name.startswith("procrastinate_")
                )
            },
        )
        assert compare_metadata(context, metadata) == []


def test_migrations_started_together_do_not_disturb_each_other(empty_database: sa.URL) -> None:
    with ThreadPoolExecutor(4) as threads:
        reached = list(threads.map(migrate.upgrade, [empty_database] * 4))
    assert sorted(reached, key=str) == ["0002", None, None, None]


def test_a_database_of_a_newer_version_is_refused(url: sa.URL) -> None:
    migrate.upgrade(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.MigrationError, match="9999"):
        migrate.upgrade(url)


def test_the_queue_of_jobs_is_there_afterwards(database: sa.URL) -> None:
    with sa.create_engine(database).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM procrastinate_jobs")) == 0
