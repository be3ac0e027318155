# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the lookup table takes to show a page, with one million studies in it.

Required: the first page under a second, and each filter and each order under a second, at the
slowest of some tries. The peer is what one would write first: the same filters as plain SQL on the
joined tables, counted, sorted and cut by LIMIT and OFFSET, in the same database.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from lookup_rows import add_rows
from orthanc_deid import database, migrate
from orthanc_deid.lookup_search import LookupSearch, Search
from postgres_server import running_postgres

STUDIES, SHORT = 1_000_000, 100_000
SECONDS = 1.0
TRIES = 3
PATIENCE = 2000  # milliseconds; a peer that takes longer is asked once

PEER = """
    SELECT count(*) OVER (), lookup.*, studies.state FROM lookup JOIN studies
    ON studies.id = lookup.study_id WHERE {where} ORDER BY {order} LIMIT 100 OFFSET {offset}
"""


@dataclass(frozen=True)
class Question:
    """A page that somebody wants to see, and the plain SQL for it."""

    name: str
    search: Search
    where: str = "true"
    order: str = "subject_number"
    pages: int = 1


QUESTIONS = (
    Question("first page", Search()),
    Question("fifth page", Search(), pages=5),
    Question("newest first", Search(sort="study_date", descending=True), order="study_date DESC"),
    Question("by name", Search(sort="patient_name"), order="patient_name"),
    Question(
        "one patient's name",
        Search({"patient_name": "johnson jennifer 4711"}),
        "patient_name ILIKE '%johnson%' AND patient_name ILIKE '%4711%'",
    ),
    Question(
        "a common name, newest first",
        Search({"patient_name": "garcia"}, "study_date", True),
        "patient_name ILIKE '%garcia%'",
        "study_date DESC",
    ),
    Question("two letters", Search({"patient_name": "ya"}), r"patient_name ~* '\mya'"),
    Question("two Kanji", Search({"patient_name": "山田"}), r"patient_name ~* '\m山田'"),
    Question("nobody's name", Search({"patient_name": "xy"}), r"patient_name ~* '\mxy'"),
    Question("an ID", Search({"patient_id": "7306436"}), "patient_id ILIKE '%7306436%'"),
    Question("a former ID", Search({"former_ids": "OLD777"}), "false"),
    Question("a number", Search({"subject_number": "4711"}), "subject_number = 4711"),
    Question(
        "numbers, by pseudonym",
        Search({"subject_number": "150000-190000"}, "pseudonym"),
        "subject_number BETWEEN 150000 AND 190000",
        "pseudonym",
    ),
    Question(
        "an accession", Search({"accession": "ACC31569234"}), "accession ILIKE '%ACC31569234%'"
    ),
    Question("part of an accession", Search({"accession": "4321"}), "accession ILIKE '%4321%'"),
    Question(
        "a year, by name",
        Search({"study_date": "2024"}, "patient_name"),
        "study_date LIKE '2024%'",
        "patient_name",
    ),
    Question(
        "a day of the shifted dates",
        Search({"anonymous_study_date": "2023-05-17"}),
        "anonymous_study_date LIKE '2023-05-17%'",
    ),
    Question(
        "a StudyInstanceUID",
        Search({"study_instance_uid": "1.2.826.0.1.4711."}),
        "lookup.study_instance_uid LIKE '1.2.826.0.1.4711.%'",
    ),
    Question(
        "name and year, by accession",
        Search({"patient_name": "smith", "study_date": "2022"}, "accession"),
        "patient_name ILIKE '%smith%' AND study_date LIKE '2022%'",
        "accession",
    ),
)


def main() -> int:
    """Run the bench; returns 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(prog="bench/lookup_table.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"{SHORT:,} studies only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    count = SHORT if arguments.short else STUDIES
    with running_postgres(fsync=False) as url:
        Console(stderr=True).print(f"adding rows: {count:,} studies")
        migrate.upgrade(url)
        add_rows(url, count)
        rows = list(_measure(url))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    table = Table(*rows[0], title=f"A page of the lookup table of {count:,} studies, in ms")
    for row in rows:
        table.add_row(
            *(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values())
        )
    Console().print(table)
    return 0 if max(int(row["slowest"]) for row in rows) < 1000 * SECONDS else 1


def _measure(url: sa.URL) -> Iterator[dict[str, str | int]]:
    engine = database.connect(url)
    searching = LookupSearch(engine)
    # The product's driver gives up after some seconds, which the peer may well need.
    peer = sa.create_engine(url.set(drivername="postgresql+psycopg"))
    for question in QUESTIONS:
        yield _ask(peer, searching, question)
    for one in (engine, peer):
        one.dispose()


def _ask(plain: sa.Engine, searching: LookupSearch, question: Question) -> dict[str, str | int]:
    search = question.search
    page = searching.page(search)
    for _ in range(question.pages - 1):
        search = Search(search.filters, search.sort, search.descending, page.next)
        page = searching.page(search)
    took = [_milliseconds(lambda: searching.page(search)) for _ in range(TRIES)]
    statement = PEER.format(
        where=question.where, order=question.order, offset=100 * (question.pages - 1)
    )
    peer = [_milliseconds(lambda: _all(plain, statement))]
    if peer[0] < PATIENCE:
        peer += [_milliseconds(lambda: _all(plain, statement)) for _ in range(TRIES - 1)]
    return {
        "page": question.name,
        "rows": "many" if page.total is None else page.total,
        "median": sorted(took)[TRIES // 2],
        "slowest": max(took),
        "peer's median": sorted(peer)[len(peer) // 2],
    }


def _all(engine: sa.Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text(statement)).all()


def _milliseconds(action: Callable[[], object]) -> int:
    start = time.perf_counter()
    action()
    return round(1000 * (time.perf_counter() - start))


if __name__ == "__main__":
    sys.exit(main())
