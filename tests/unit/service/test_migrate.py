# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations: they make what the code expects, once, whoever starts them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orthanc_deid import database, migrate
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.schema import metadata

VERSIONS = Path(migrate.__file__).with_name("migrations") / "versions"
HEAD = max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


@pytest.fixture(params=["empty_database", "embedded_nothing"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> sa.URL:
    if request.param == "embedded_nothing":
        return sa.make_url(f"sqlite:///{tmp_path}/new.sqlite")
    found: sa.URL = request.getfixturevalue("empty_database")
    return found


def test_a_second_migration_has_nothing_to_do(url: sa.URL) -> None:
    assert migrate.upgrade(url) == HEAD
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
    assert sorted(reached, key=str) == [HEAD, None, None, None]


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


SUBJECTS = """
    INSERT INTO subjects (project, patient_id, issuer, number, date_offset, created_at)
    VALUES ('default', 'MRN-1', '', 7, -30, '2026-01-01 00:00:00+00'),
           ('default', 'MRN-1', 'A', 8, -40, '2026-01-01 00:00:00+00')
"""
STUDIES = """
    INSERT INTO studies (project, orthanc_id, subject_id, state, created_at, updated_at)
    VALUES ('default', 'gone-out', 1, 'delivered', '2026-01-01', '2026-01-01'),
           ('default', 'on-its-way', 2, 'working', '2026-01-01', '2026-01-01')
"""
DELIVERIES = """
    INSERT INTO deliveries (study_id, destination, state, updated_at)
    VALUES (1, 'anon', 'delivered', '2026-01-01')
"""


def test_subjects_of_the_version_before_keep_their_numbers_and_studies(url: sa.URL) -> None:
    migrate.upgrade(url, "0002")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO projects (name, last_number) VALUES ('default', 8)")
        for rows in (SUBJECTS, STUDIES, DELIVERIES):
            connection.exec_driver_sql(rows)

    assert migrate.upgrade(url) == HEAD

    crosswalk = Crosswalk(url, base_name="DEMO")
    first, second = crosswalk.subject("MRN-1"), crosswalk.subject("MRN-1", "A")
    assert (first.number, first.date_offset) == (7, -30)
    assert (second.number, second.date_offset) == (8, -40)
    kept = {study.orthanc_id: study for study in crosswalk.studies.in_states()}
    assert (kept["gone-out"].number, kept["gone-out"].number_modifier) == (7, "")
    assert (kept["on-its-way"].number, kept["on-its-way"].number_modifier) == (8, None)
    assert crosswalk.subject("MRN-2").number == 9
    for wrong in ("UPDATE subjects SET number = 0", "UPDATE studies SET subject_id = 99"):
        with pytest.raises(sa.exc.IntegrityError), crosswalk.engine.begin() as connection:
            connection.exec_driver_sql(wrong)


def test_a_migration_may_take_longer_than_a_statement_of_the_service(
    empty_database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0)
    with pytest.raises(sa.exc.OperationalError, match="did not answer"):
        database.connect(empty_database).connect()
    assert migrate.upgrade(empty_database) == HEAD
    with pytest.raises(sa.exc.OperationalError, match="did not answer"):
        database.connect(empty_database).connect()
