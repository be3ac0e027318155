# SPDX-License-Identifier: GPL-3.0-or-later
"""Search the lookup table: filtered and sorted by any column, page by page.

A page begins behind the last row of the page before, so that the thousandth costs as much as the
first. What few rows match is found by the filters' indexes and then sorted; what many rows match
is met soon on the way along the index of the sorted column.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha1
from typing import Any, Final

import sqlalchemy as sa

from orthanc_deid.errors import DeidError
from orthanc_deid.lookup import fold
from orthanc_deid.project_access import within
from orthanc_deid.schema import lookup, patient_identifiers, studies

COUNTED: Final = 20_000
"""Up to so many matches are counted exactly; more are «many»."""
LONGEST_PAGE: Final = 1_000
LONGEST_FILTER: Final = 200
SHORTEST_PART: Final = 3
"""Shorter texts begin a word: an index of three letters can tell no other place of theirs."""

COLUMNS: Final = (
    "project",
    "subject_number",
    "pseudonym",
    "patient_name",
    "patient_id",
    "issuer",
    "former_ids",
    "study_date",
    "anonymous_study_date",
    "accession",
    "anonymous_accession",
    "study_instance_uid",
    "anonymous_study_uid",
    "state",
)
SORTED: Final = {
    name: lookup.c["folded_name" if name == "patient_name" else name]
    for name in COLUMNS
    if name not in {"project", "issuer", "former_ids", "state"}
}

Condition = sa.ColumnElement[bool]


class SearchError(DeidError):
    """A search that cannot be made; the message names the column and what it takes."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, in which order.

    Attributes:
        filters: text by column, see `FILTERS`; all of them must hold.
        sort: one of `SORTED`.
        descending: whether the last comes first.
        after: where the page begins: `Page.next` of the one before.
        limit: rows of a page.
        projects: those that may be seen; None is all.
    """

    filters: Mapping[str, str] = field(default_factory=dict, repr=False)
    sort: str = "subject_number"
    descending: bool = False
    after: str | None = field(default=None, repr=False)
    limit: int = 100
    projects: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.filters) - set(FILTERS)):
            raise SearchError(f"{', '.join(unknown)}: no such column; there are {_list(FILTERS)}")
        if self.sort not in SORTED:
            raise SearchError(f"sort: the table is sorted by one of {_list(SORTED)}")
        if not 0 < self.limit <= LONGEST_PAGE:
            raise SearchError(f"limit: a page has 1 to {LONGEST_PAGE} rows")
        for name, text in self.filters.items():
            if len(text) > LONGEST_FILTER or "\0" in text:
                raise SearchError(f"{name}: a filter has at most {LONGEST_FILTER} characters")


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of the table.

    Attributes:
        rows: a value for each of `COLUMNS`, and `study`, the crosswalk's number of it, and what
            the Orthancs call it: `orthanc_id` on PHI, `anonymous_orthanc_id` elsewhere.
        total: how many rows match; None if they are more than `COUNTED`.
        next: what the next page's `after` is; None if there is none.
    """

    rows: list[dict[str, Any]] = field(repr=False)
    total: int | None
    next: str | None = field(repr=False)


class LookupSearch:
    """Searches the lookup table of a database, with the studies of all its projects."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def page(self, search: Search, *, many: bool = False) -> Page:
        """Return the rows of a page; `many` tells that more than `COUNTED` rows match.

        Raises:
            SearchError: a filter or `after` cannot be understood.
        """
        conditions = _conditions(search)
        begin = _after(search)
        with self._engine.connect() as connection:
            found, total = ([], None) if many else self._few(connection, search, conditions, begin)
            if total is None:
                found = self._along(connection, search, [*conditions, *begin])
            rows = _rows(connection, [study_id for study_id, _ in found[: search.limit]])
        following = None
        if len(found) > search.limit:
            following = _cursor(search, found[search.limit - 1])
        return Page(rows, total, following)

    def has_more_than(self, count: int, search: Search) -> bool:
        """Tell whether more than so many rows match; raises `SearchError`."""
        matching = (
            sa.select(lookup.c.study_id).where(*_conditions(search)).limit(count + 1).subquery()
        )
        with self._engine.connect() as connection:
            found = connection.scalar(sa.select(sa.func.count()).select_from(matching))
        return (found or 0) > count

    def pages(self, search: Search) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows that match, page by page."""
        many = False
        while True:
            page = self.page(search, many=many)
            many = page.total is None
            yield page.rows
            if page.next is None:
                return
            search = replace(search, after=page.next)

    def _few(
        self,
        connection: sa.Connection,
        search: Search,
        conditions: list[Condition],
        begin: list[Condition],
    ) -> tuple[list[Any], int | None]:
        """Return the page if it is one of few rows, and their number; None if they are many."""
        column = SORTED[search.sort]
        matching = (
            sa.select(lookup.c.study_id, column.label("sorted"))
            .where(*conditions)
            .limit(COUNTED + 1)
            .cte("matching")
        )
        count = sa.select(sa.func.count()).select_from(matching).scalar_subquery()
        here = sa.literal(True) if not begin else _behind(search, matching.c.sorted, matching.c)
        found = connection.execute(
            sa.select(matching.c.study_id, matching.c.sorted, count.label("total"))
            .where(here)
            .order_by(*_order(search, matching.c.sorted, matching.c.study_id))
            .limit(search.limit + 1)
        ).all()
        total = found[0].total if found else 0
        if total > COUNTED:
            return [], None
        return [(row.study_id, row.sorted) for row in found], total

    def _along(
        self, connection: sa.Connection, search: Search, conditions: list[Condition]
    ) -> list[Any]:
        if connection.dialect.name == "postgresql":
            # Sorting all that match is what must not happen here.
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
        column = SORTED[search.sort]
        return [
            (study_id, value)
            for study_id, value in connection.execute(
                sa.select(lookup.c.study_id, column)
                .where(*conditions)
                .order_by(*_order(search, column, lookup.c.study_id))
                .limit(search.limit + 1)
            )
        ]


def orthanc_id(patient_id: str, study_instance_uid: str) -> str:
    """Return what every Orthanc calls a study."""
    digest = sha1(f"{patient_id}|{study_instance_uid}".encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


def _rows(connection: sa.Connection, study_ids: list[int]) -> list[dict[str, Any]]:
    query = (
        sa.select(lookup, studies.c.orthanc_id, studies.c.state, studies.c.subject_id)
        .join(studies, studies.c.id == lookup.c.study_id)
        .where(lookup.c.study_id.in_(study_ids))
    )
    by_id = {row["study_id"]: dict(row) for row in connection.execute(query).mappings()}
    former = _former_ids(connection, {row["subject_id"] for row in by_id.values()} - {None})
    rows = []
    for study_id in study_ids:
        if row := by_id.get(study_id):
            others = former.get(row["subject_id"], set()) - {row["patient_id"]}
            row["former_ids"] = sorted(others)
            shown = {name: row[name] for name in COLUMNS}
            rows.append(
                {
                    **shown,
                    "study": study_id,
                    "orthanc_id": row["orthanc_id"],
                    "anonymous_orthanc_id": orthanc_id(
                        row["pseudonym"], row["anonymous_study_uid"]
                    ),
                }
            )
    return rows


def _former_ids(connection: sa.Connection, subject_ids: set[int]) -> dict[int, set[str]]:
    query = sa.select(patient_identifiers.c.subject_id, patient_identifiers.c.patient_id).where(
        patient_identifiers.c.subject_id.in_(subject_ids)
    )
    known: dict[int, set[str]] = {}
    for subject_id, patient_id in connection.execute(query):
        known.setdefault(subject_id, set()).add(patient_id)
    return known


def _conditions(search: Search) -> list[Condition]:
    filtered = [FILTERS[name](text) for name, text in search.filters.items() if text.strip()]
    return [*within(lookup.c.project, search.projects), *filtered]


def _order(search: Search, *columns: Any) -> list[Any]:
    return [column.desc() if search.descending else column for column in columns]


def _after(search: Search) -> list[Condition]:
    if search.after is None:
        return []
    return [_behind(search, SORTED[search.sort], lookup.c)]


def _behind(search: Search, column: Any, columns: Any) -> Condition:
    """Return the condition of the rows behind `search.after`."""
    value, study_id = _place(search)
    row = sa.tuple_(sa.literal(value), sa.literal(study_id))
    both = sa.tuple_(column, columns.study_id)
    return both < row if search.descending else both > row


def _place(search: Search) -> tuple[str | int, int]:
    try:
        told = json.loads(base64.urlsafe_b64decode(search.after or ""))
    except ValueError:
        told = None
    kind = int if search.sort == "subject_number" else str
    match told:
        case [search.sort, search.descending, kind() as value, int(study_id)]:
            return value, study_id
    raise SearchError("after: take what the page before called next, in the same order")


def _cursor(search: Search, last: Any) -> str:
    study_id, value = last
    told = json.dumps([search.sort, search.descending, value, study_id])
    return base64.urlsafe_b64encode(told.encode()).decode()


def _pattern(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return text


def _holds(column: sa.Column[Any], text: str) -> Condition:
    """Return the condition of a column that has a text in it, in upper or lower case."""
    pattern = f"{_pattern(text)}%"
    starts = [f"%{pattern}"] if len(text) >= SHORTEST_PART else [pattern, f"% {pattern}"]
    return sa.or_(*(column.ilike(start, escape="\\") for start in starts))


def _contains(name: str) -> Callable[[str], Condition]:
    return lambda text: _holds(lookup.c[name], text.strip())


def _begins(name: str) -> Callable[[str], Condition]:
    def condition(text: str) -> Condition:
        start = text.strip()
        # A range, which every index knows, whatever the order of letters in the database.
        return sa.and_(lookup.c[name] >= start, lookup.c[name] < start + "\U0010ffff")

    return condition


def _name(text: str) -> Condition:
    return sa.and_(*(_holds(lookup.c.folded_name, word) for word in fold(text).split()))


def _number(text: str) -> Condition:
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 9:
        raise SearchError("subject_number: write a number, or a range such as 100-200")
    return lookup.c.subject_number.between(int(first), int(last or first))


def _date(name: str) -> Callable[[str], Condition]:
    def condition(text: str) -> Condition:
        first, _, last = (part.strip() for part in text.partition(".."))
        for part in filter(None, (first, last)):
            if not part.replace("-", "").isdecimal():
                raise SearchError(
                    f"{name}: write 2026, 2026-01 or 2026-01-31, or a range such as 2025..2026-03"
                )
        last = last if ".." in text else first
        column = lookup.c[name]
        upper = column < last + "\U0010ffff" if last else sa.true()
        return sa.and_(column >= (first or "0"), upper)

    return condition


def _former(text: str) -> Condition:
    called = sa.select(patient_identifiers.c.subject_id).where(
        _holds(patient_identifiers.c.patient_id, text.strip())
    )
    return lookup.c.study_id.in_(sa.select(studies.c.id).where(studies.c.subject_id.in_(called)))


FILTERS: Final[Mapping[str, Callable[[str], Condition]]] = {
    "project": lambda text: lookup.c.project == text.strip(),
    "subject_number": _number,
    "pseudonym": _contains("pseudonym"),
    "patient_name": _name,
    "patient_id": _contains("patient_id"),
    "issuer": lambda text: lookup.c.issuer == text.strip(),
    "former_ids": _former,
    "study_date": _date("study_date"),
    "anonymous_study_date": _date("anonymous_study_date"),
    "accession": _contains("accession"),
    "anonymous_accession": _contains("anonymous_accession"),
    "study_instance_uid": _begins("study_instance_uid"),
    "anonymous_study_uid": _begins("anonymous_study_uid"),
}


def _list(names: Any) -> str:
    return ", ".join(names)
