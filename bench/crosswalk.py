# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the crosswalk takes to find and to add a patient, as it grows.

Required: with one million subjects and five million studies a look-up under 5 ms and an insert
under 10 ms at the median, and no more memory than with few. The peer is PostgreSQL itself: one
row by its key, and one row added, over the same kind of connection.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk
from postgres_server import running_postgres

SIZES = ((1_000, 5_000), (1_000_000, 5_000_000))
SHORT_SIZES = ((1_000, 5_000), (50_000, 250_000))
ROUNDS = 300
MOST_MORE_MEMORY = 16  # MiB

_GENERATE = (
    "INSERT INTO projects (name, last_number) VALUES ('default', :subjects)",
    "INSERT INTO subjects (project, number, date_offset, created_at) "
    "SELECT 'default', n, -1 - n % 365, now() FROM generate_series(1, :subjects) n",
    "INSERT INTO patient_identifiers "
    "(project, patient_id, issuer, accession, subject_id, created_at) "
    "SELECT project, 'MRN' || number, '', '', id, created_at FROM subjects",
    "INSERT INTO pseudonyms (project, value, subject_id, created_at) "
    "SELECT project, 'ANON_ID' || lpad(number::text, 6, '0'), id, created_at FROM subjects",
    "INSERT INTO studies (project, orthanc_id, study_instance_uid, anonymous_study_uid, "
    "subject_id, state, created_at, updated_at) "
    "SELECT 'default', 'o-' || n, '1.2.3.' || n, '2.25.' || n, s.id, 'delivered', now(), now() "
    "FROM generate_series(1, :studies) n "
    "JOIN subjects s ON s.project = 'default' AND s.number = 1 + n % :subjects",
)


def main() -> int:
    """Run the bench; returns 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(prog="bench/crosswalk.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="50,000 subjects instead of a million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    rows = []
    with running_postgres(fsync=True) as url:
        for subjects, studies in SHORT_SIZES if arguments.short else SIZES:
            console.print(f"adding rows: {subjects:,} subjects, {studies:,} studies")
            rows.append(_measure(_filled(url, subjects, studies), subjects, studies))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    table = Table(*rows[0], title="Crosswalk: medians in milliseconds, peak memory in MiB")
    for row in rows:
        table.add_row(*(f"{value:,}" for value in row.values()))
    Console().print(table)
    few, many = rows
    fast = many["look-up"] < 5 and many["study by UID"] < 5 and many["insert"] < 10
    flat = many["memory"] - few["memory"] < MOST_MORE_MEMORY
    return 0 if fast and flat else 1


def _filled(server: sa.URL, subjects: int, studies: int) -> sa.URL:
    """Make a database of this size; returns its address."""
    url = server.set(database=f"bench_{subjects}")
    own = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {url.database}"))
    own.dispose()
    migrate.upgrade(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        # Only the filling: what is measured waits for the disk.
        connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
        connection.execute(sa.text("SET LOCAL work_mem = '256MB'"))
        for statement in _GENERATE:
            connection.execute(sa.text(statement), {"subjects": subjects, "studies": studies})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    engine.dispose()
    return url


def _measure(url: sa.URL, subjects: int, studies: int) -> dict[str, float]:
    crosswalk = Crosswalk(url, base_name="ANON")
    known = _numbers(subjects)
    fresh = (f"NEW{n}" for n in range(ROUNDS))
    study = _numbers(studies)
    new = (f"new-{n}" for n in range(ROUNDS))
    figures: dict[str, float] = {
        "subjects": subjects,
        "studies": studies,
        "look-up": _median(lambda: crosswalk.subject(f"MRN{next(known)}")),
        "insert": _median(lambda: crosswalk.subject(next(fresh))),
        "study by UID": _median(lambda: crosswalk.studies.find(f"1.2.3.{next(study)}")),
        "study by Orthanc's id": _median(lambda: crosswalk.studies.of_orthanc(f"o-{next(study)}")),
        "is anonymous": _median(lambda: crosswalk.studies.is_anonymous(f"2.25.{next(study)}")),
        "study added": _median(lambda: crosswalk.studies.add(orthanc_id=next(new))),
    }
    crosswalk.close()
    engine = sa.create_engine(url)
    row = _numbers(subjects)
    with engine.connect() as connection:
        query = sa.text(
            "SELECT date_offset FROM subjects WHERE project = 'default' AND number = :n"
        )
        figures["peer: row by key"] = _median(
            lambda: connection.execute(query, {"n": next(row)}).one()
        )
        connection.rollback()
        add = sa.text("INSERT INTO events (at, actor, action) VALUES (now(), 'bench', 'peer')")

        def insert() -> None:
            connection.execute(add)
            connection.commit()

        figures["peer: row added"] = _median(insert)
    engine.dispose()
    figures["memory"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return figures


def _numbers(count: int) -> Iterator[int]:
    """Yield numbers up to `count` in an order without locality, the same in each run."""
    return (1 + n * 7_919 % count for n in range(1, sys.maxsize))


def _median(action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return round(1000 * statistics.median(seconds), 2)


if __name__ == "__main__":
    sys.exit(main())
