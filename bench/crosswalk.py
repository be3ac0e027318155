# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the crosswalk takes to find and to add patients and studies, as it grows.

Required: with one million subjects and five million studies a look-up under 5 ms and an insert
under 10 ms at the median, and no more memory than with few. Each is asked of the product's own
code, one after the other over one connection to a server that waits for the disk. The peer is
PostgreSQL itself: one row by its key, and one row added.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from lookup_rows import add_rows
from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk
from postgres_server import running_postgres

PER_SUBJECT = 5
SIZES = (5_000, 5_000_000)
SHORT_SIZES = (5_000, 250_000)
ROUNDS = 500
LOOK_UP, INSERT = 5.0, 10.0  # ms
MOST_MORE_MEMORY = 16  # MiB


@dataclass(frozen=True)
class Figure:
    """How long something took in milliseconds: half of the tries, and 19 of 20; and may take."""

    name: str
    median: float
    most: float
    limit: float | None

    @property
    def kept(self) -> bool:
        """Whether it took no longer than it may."""
        return self.limit is None or self.median < self.limit


@dataclass(frozen=True)
class Told:
    """What a new study says of its patient."""

    patient_id: str
    study_instance_uid: str
    accession_number: str
    patient_name: str = "Müller^Jürgen"
    study_date: str = "20260131"
    issuer: str = ""


def main() -> int:
    """Run the bench; returns 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(prog="bench/crosswalk.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="50,000 subjects instead of a million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    figures: dict[int, list[Figure]] = {}
    memory = []
    with running_postgres(fsync=True) as server:
        for studies in SHORT_SIZES if arguments.short else SIZES:
            url = _filled(server, studies)
            figures[studies] = list(_measured(url, studies))
            memory.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    if arguments.json:
        told = {n: [asdict(one) for one in rows] for n, rows in figures.items()}
        arguments.json.write_text(json.dumps({"ms": told, "MiB": memory}, indent=2) + "\n")
    _print(figures)
    few, many = memory
    Console().print(f"Memory at its peak: {few} MiB, then {many} MiB")
    kept = all(one.kept for rows in figures.values() for one in rows)
    return 0 if kept and many - few < MOST_MORE_MEMORY else 1


def _filled(server: sa.URL, studies: int) -> sa.URL:
    """Make a database of this size; returns its address."""
    begin = time.perf_counter()
    url = server.set(database=f"bench_{studies}")
    own = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {url.database}"))
    own.dispose()
    migrate.upgrade(url)
    add_rows(url, studies)
    own = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
        # What was written is on the disk before anything is measured.
        connection.exec_driver_sql("CHECKPOINT")
    own.dispose()
    seconds = time.perf_counter() - begin
    Console(stderr=True).print(
        f"added {studies // PER_SUBJECT:,} subjects and {studies:,} studies, "
        f"{size / 1e9:.1f} GB, in {seconds:.0f} s"
    )
    return url


def _measured(url: sa.URL, studies: int) -> Iterator[Figure]:
    crosswalk = Crosswalk(url, base_name="DEMO")
    patient, number = _spread(studies // PER_SUBJECT), _spread(studies)
    subject = crosswalk.subject(_patient(1))
    rows = crosswalk.studies
    added: list[int] = []

    def add_study(n: int) -> None:
        added.append(rows.add(orthanc_id=f"new-{n}").id)

    def identify(n: int) -> None:
        uid = f"1.2.3.{n}"
        rows.identify(
            added[n], study_instance_uid=uid, anonymous_study_uid=f"2.25.3{n}", subject=subject
        )

    def tell(n: int) -> None:
        told = Told(f"NEW{n}", f"1.2.3.{n}", f"NEW{n * 7_919 % 99_991}")
        crosswalk.lookup.identified(added[n], told, subject, f"2.25.3{n}")

    def look(name: str, action: Callable[[], object]) -> Figure:
        return _timed(f"look-up: {name}", LOOK_UP, lambda _: action())

    def insert(name: str, action: Callable[[int], object]) -> Figure:
        return _timed(f"insert: {name}", INSERT, action)

    yield look("patient", lambda: crosswalk.subject(_patient(next(patient))))
    yield look("study in Orthanc", lambda: rows.of_orthanc(f"orthanc-{next(number)}"))
    yield look("study by its UID", lambda: rows.find(_study_uid(next(number))))
    yield look("anonymized study?", lambda: rows.is_anonymous(_study_uid(next(number))))
    yield insert("patient", lambda n: crosswalk.subject(f"NEW{n}"))
    yield insert("study", add_study)
    yield insert("study's patient", identify)
    yield insert("row of lookup table", tell)
    yield insert("delivery", lambda n: rows.set_delivery(added[n], "anon", instances=100))
    crosswalk.close()
    yield from _peer(url, patient)


def _peer(url: sa.URL, number: Iterator[int]) -> Iterator[Figure]:
    engine = sa.create_engine(url)
    query = sa.text("SELECT date_offset FROM subjects WHERE project = 'default' AND number = :n")
    add = sa.text("INSERT INTO events (at, actor, action) VALUES (now(), 'bench', 'peer')")
    with engine.connect() as connection:

        def find(_: int) -> None:
            connection.execute(query, {"n": next(number)}).one()

        def insert(_: int) -> None:
            connection.execute(add)
            connection.commit()

        yield _timed("peer: row by its key", None, find)
        connection.rollback()
        yield _timed("peer: row added", None, insert)
    engine.dispose()


def _patient(number: int) -> str:
    return f"{number * 7_919 % 9_999_991:07}"


def _study_uid(number: int) -> str:
    return f"1.2.826.0.1.{number}.{number * 31 % 977}"


def _spread(count: int) -> Iterator[int]:
    """Yield numbers up to `count` in an order without locality, the same in each run."""
    return (1 + n * 7_919 % count for n in range(1, sys.maxsize))


def _timed(name: str, limit: float | None, action: Callable[[int], object]) -> Figure:
    tries = []
    for n in range(ROUNDS):
        start = time.perf_counter()
        action(n)
        tries.append(1000 * (time.perf_counter() - start))
    most = statistics.quantiles(tries, n=20)[-1]
    return Figure(name, round(statistics.median(tries), 2), round(most, 2), limit)


def _print(figures: dict[int, list[Figure]]) -> None:
    columns = (name for count in figures for name in (f"{count:,} studies: median", "19 of 20"))
    table = Table("ms", *columns, "required", title="Crosswalk")
    for row in zip(*figures.values(), strict=True):
        told = (str(value) for figure in row for value in (figure.median, figure.most))
        limit = row[-1].limit
        table.add_row(row[-1].name, *told, f"< {limit:g}" if limit else "")
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
