# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table as a file, made piece by piece while it is sent: CSV, or XLSX.

No cell of either is ever a formula, whatever a patient's name looks like.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, Final

import xlsxwriter  # type: ignore[import-untyped]

from orthanc_deid.lookup_search import COLUMNS, LONGEST_PAGE, LookupSearch, Search, SearchError

XLSX_ROWS: Final = 100_000
PIECE: Final = 1 << 20  # bytes
_CSV: Final = "text/csv; charset=utf-8; header=present"
_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA_TYPES: Final = {"csv": _CSV, "xlsx": _XLSX}
HEADINGS: Final = {
    "project": "Project",
    "subject_number": "Subject number",
    "pseudonym": "Pseudonym",
    "patient_name": "Patient's Name",
    "patient_id": "Patient ID",
    "issuer": "Issuer of Patient ID",
    "former_ids": "Former Patient IDs",
    "study_date": "Study Date",
    "anonymous_study_date": "Anonymous Study Date",
    "accession": "Accession Number",
    "anonymous_accession": "Anonymous Accession Number",
    "study_instance_uid": "Study Instance UID",
    "anonymous_study_uid": "Anonymous Study Instance UID",
    "state": "State",
}
# What a spreadsheet takes for the beginning of a formula, also in its wide forms.
_FORMULA: Final = frozenset("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20")


def export(table: LookupSearch, search: Search, kind: str) -> Iterator[bytes]:
    """Yield the file piece by piece, with every row that matches; a piece may be empty.

    Raises:
        SearchError: an XLSX file of so many rows is not made.
    """
    whole = replace(search, after=None, limit=LONGEST_PAGE)
    if kind == "csv":
        return _csv(table, whole)
    if table.has_more_than(XLSX_ROWS, whole):
        raise SearchError(
            f"an XLSX file has at most {XLSX_ROWS:,} rows here; take CSV, or filter more"
        )
    return _xlsx(table, whole)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe stands before it.

    >>> harmless("=HYPERLINK(1)")
    "'=HYPERLINK(1)"
    """
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA and text else text


def _csv(table: LookupSearch, search: Search) -> Iterator[bytes]:
    # Spreadsheets take a file without the mark at its beginning for one of the last century.
    yield ("\ufeff" + _lines([list(HEADINGS.values())])).encode()
    for rows in table.pages(search):
        yield _lines([[harmless(cell) for cell in _cells(row)] for row in rows]).encode()


def _lines(rows: list[list[str]]) -> str:
    file = StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return file.getvalue()


def _xlsx(table: LookupSearch, search: Search) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="lookup-") as private:
        path = Path(private) / "lookup.xlsx"
        workbook = xlsxwriter.Workbook(
            path,
            {
                "constant_memory": True,
                "tmpdir": private,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        sheet = workbook.add_worksheet("Lookup table")
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(COLUMNS) - 1, 22)
        sheet.write_row(0, 0, list(HEADINGS.values()), workbook.add_format({"bold": True}))
        count = 0
        for rows in table.pages(search):
            for row in rows:
                count += 1
                for column, text in enumerate(_cells(row)):
                    sheet.write_string(count, column, text)
            yield b""
        sheet.autofilter(0, 0, count, len(COLUMNS) - 1)
        workbook.close()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def _cells(row: dict[str, Any]) -> list[str]:
    shown = {**row, "former_ids": ", ".join(row["former_ids"])}
    return [str(shown[name]) for name in COLUMNS]
