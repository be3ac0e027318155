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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from lookup_rows import add_rows
from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.subject import Subject
from postgres_server import running_postgres

PER_SUBJECT = 5
SIZES = (5_000, 5_000_000)
SHORT_SIZES = (5_000, 250_000)
ROUNDS = 500
LOOK_UP, INSERT = 5.0, 10.0  # ms
MOST_MORE_MEMORY = 16  # MiB


@dataclass(frozen=True)
class Figure:
    """How long one thing took, in milliseconds: half of the tries, and 19 of 20."""

    median: float
    most: float


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
    few, many = SHORT_SIZES if arguments.short else SIZES
    figures, memory = {}, {}
    with running_postgres(fsync=True) as server:
        for studies in (few, many):
            url = _filled(server, studies)
            begin = time.perf_counter()
            figures[studies] = dict(_measured(url, studies))
            memory[studies] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            _say(f"measured in {time.perf_counter() - begin:.0f} s")
    rows = list(_rows(figures[few], figures[many]))
    if arguments.json:
        told = {"studies": [few, many], "memory_mib": [memory[few], memory[many]], "rows": rows}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")
    _print(rows, few, many)
    grown = memory[many] - memory[few]
    Console().print(f"Memory at its peak: {memory[few]} MiB, then {memory[many]} MiB")
    return 0 if all(row["kept"] for row in rows) and grown < MOST_MORE_MEMORY else 1


def _say(text: str) -> None:
    Console(stderr=True).print(text)


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
    _say(
        f"added {studies // PER_SUBJECT:,} subjects and {studies:,} studies, "
        f"{size / 1e9:.1f} GB, in {seconds:.0f} s"
    )
    return url


def _measured(url: sa.URL, studies: int) -> Iterator[tuple[str, tuple[Figure, float | None]]]:
    """Yield what was done, how long it took, and how long it may take."""
    crosswalk = Crosswalk(url, base_name="DEMO")
    known, numbers = _spread(studies // PER_SUBJECT), _spread(studies)
    fresh, new = iter(range(10**9)), iter(range(10**9))
    rows: dict[int, tuple[int, Subject]] = {}
    subject = crosswalk.subject(_patient(1))

    def add_study() -> None:
        n = len(rows)
        rows[n] = crosswalk.studies.add(orthanc_id=f"new-{next(new)}").id, subject

    def identify(n: int) -> None:
        study, whose = rows[n]
        crosswalk.studies.identify(
            study,
            study_instance_uid=f"1.2.3.{study}",
            anonymous_study_uid=f"2.25.3{study}",
            subject=whose,
        )

    def look(n: int) -> None:
        study, whose = rows[n]
        told = Told(f"P{study}", f"1.2.3.{study}", f"NEW{study * 7_919 % 99_991}")
        crosswalk.lookup.identified(study, told, whose, f"2.25.3{study}")

    def deliver(n: int) -> None:
        crosswalk.studies.set_delivery(rows[n][0], "anon", instances=100)

    told = crosswalk.studies
    yield "look-up: subject of a patient", (
        _timed(lambda: crosswalk.subject(_patient(next(known)))),
        LOOK_UP,
    )
    yield "look-up: study by Orthanc's identifier", (
        _timed(lambda: told.of_orthanc(f"orthanc-{next(numbers)}")),
        LOOK_UP,
    )
    yield "look-up: study by StudyInstanceUID", (
        _timed(lambda: told.find(_study_uid(next(numbers)))),
        LOOK_UP,
    )
    yield "look-up: whether a study is an anonymized one", (
        _timed(lambda: told.is_anonymous(_study_uid(next(numbers)))),
        LOOK_UP,
    )
    yield "insert: new patient", (_timed(lambda: crosswalk.subject(f"NEW{next(fresh)}")), INSERT)
    yield "insert: new study", (_timed(add_study), INSERT)
    each = iter(range(ROUNDS))
    yield "insert: whose study it is", (_timed(lambda: identify(next(each))), INSERT)
    each = iter(range(ROUNDS))
    yield "insert: its row of the lookup table", (_timed(lambda: look(next(each))), INSERT)
    each = iter(range(ROUNDS))
    yield "insert: its delivery", (_timed(lambda: deliver(next(each))), INSERT)
    crosswalk.close()
    yield from _peer(url, studies)


def _peer(url: sa.URL, studies: int) -> Iterator[tuple[str, tuple[Figure, float | None]]]:
    engine = sa.create_engine(url)
    row = _spread(studies // PER_SUBJECT)
    query = sa.text("SELECT date_offset FROM subjects WHERE project = 'default' AND number = :n")
    add = sa.text("INSERT INTO events (at, actor, action) VALUES (now(), 'bench', 'peer')")
    with engine.connect() as connection:
        yield "peer: a row by its key", (
            _timed(lambda: connection.execute(query, {"n": next(row)}).one()),
            None,
        )
        connection.rollback()

        def insert() -> None:
            connection.execute(add)
            connection.commit()

        yield "peer: a row added", (_timed(insert), None)
    engine.dispose()


def _patient(number: int) -> str:
    return f"{number * 7_919 % 9_999_991:07}"


def _study_uid(number: int) -> str:
    return f"1.2.826.0.1.{number}.{number * 31 % 977}"


def _spread(count: int) -> Iterator[int]:
    """Yield numbers up to `count` in an order without locality, the same in each run."""
    return (1 + n * 7_919 % count for n in range(1, sys.maxsize))


def _timed(action: Callable[[], Any]) -> Figure:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        seconds.append(1000 * (time.perf_counter() - start))
    return Figure(
        round(statistics.median(seconds), 2), round(statistics.quantiles(seconds, n=20)[-1], 2)
    )


def _rows(few: dict[str, Any], many: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, (figure, limit) in many.items():
        small, _ = few[name]
        yield {
            "what": name,
            "few": small.median,
            "few, 19 of 20": small.most,
            "many": figure.median,
            "many, 19 of 20": figure.most,
            "required": limit,
            "kept": limit is None or figure.median < limit,
        }


def _print(rows: list[dict[str, Any]], few: int, many: int) -> None:
    table = Table(
        "ms",
        f"{few:,} studies, median",
        "19 of 20",
        f"{many:,} studies, median",
        "19 of 20",
        "required",
        title=f"Crosswalk of {many // PER_SUBJECT:,} subjects",
    )
    for row in rows:
        *told, required, _ = row.values()
        table.add_row(*map(str, told), f"< {required:g}" if required else "")
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
