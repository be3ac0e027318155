# SPDX-License-Identifier: GPL-3.0-or-later
"""Read tables out of what `pg_dump` writes, without a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from orthanc_deid.errors import DeidError

_COPY: Final = re.compile(r'COPY (?:"?\w+"?\.)?"?(\w+)"? \((.*)\) FROM stdin;\n?\Z')
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

Row = dict[str, str | None]


class DumpError(DeidError):
    """What was given is not a dump that can be read."""


def read_dump(lines: Iterable[str], tables: Mapping[str, frozenset[str]]) -> dict[str, list[Row]]:
    """Return the rows of some tables of a dump in plain SQL, each as column to text.

    Args:
        lines: what `pg_dump` wrote, with its usual COPY blocks.
        tables: for each table the columns that it must have.

    Raises:
        DumpError: the dump has none of the tables, lacks columns, or ends in the middle.
    """
    found: dict[str, list[Row]] = {}
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if line.startswith("PGDMP"):
            raise DumpError(
                "this is a dump in PostgreSQL's custom format: give it as plain SQL, as "
                "`pg_restore -f - FILE` prints it"
            )
        if (match := _COPY.match(line)) and match[1] in tables:
            name, columns = match[1], [one.strip().strip('"') for one in match[2].split(",")]
            if lacking := sorted(tables[name] - set(columns)):
                raise DumpError(f"line {number}: {name} has no column {', '.join(lacking)}")
            if name in found:
                raise DumpError(f"line {number}: {name} is there twice: dump one database only")
            found[name] = list(_rows(name, columns, numbered))
    if not found:
        raise DumpError(
            f"none of the tables {', '.join(sorted(tables))} is there as COPY: make the dump with "
            "pg_dump, without --inserts"
        )
    return found


def _rows(name: str, columns: list[str], numbered: Iterator[tuple[int, str]]) -> Iterator[Row]:
    for number, line in numbered:
        text = line.removesuffix("\n")
        if text == r"\.":
            return
        values = text.split("\t")
        if len(values) != len(columns):
            raise DumpError(f"line {number}: a row of {name} has not as many values as columns")
        yield dict(zip(columns, map(_value, values), strict=True))
    raise DumpError(f"the dump ends in the middle of {name}: make it again")


def _value(text: str) -> str | None:
    if text == r"\N":
        return None
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)
