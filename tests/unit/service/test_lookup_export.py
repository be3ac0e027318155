# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table as a file: whole, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import zipfile
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from lookup_rows import add_rows
from orthanc_deid import lookup_export
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.lookup_export import HEADINGS, export, harmless
from orthanc_deid.lookup_search import COLUMNS, LookupSearch, Search, SearchError

from .test_lookup import kept

EVIL = '=HYPERLINK("http://evil","x")^@SUM(1)'
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_csv(crosswalk: Crosswalk, search: Search | None = None) -> list[list[str]]:
    pieces = export(LookupSearch(crosswalk.engine), search or Search(), "csv")
    text = b"".join(pieces).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def read_xlsx(crosswalk: Crosswalk, search: Search | None = None) -> list[list[str]]:
    content = b"".join(export(LookupSearch(crosswalk.engine), search or Search(), "xlsx"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    assert sheet.find(f".//{SHEET}f") is None, "a cell holds a formula"
    return [["".join(cell.itertext()) for cell in row] for row in sheet.iter(f"{SHEET}row")]


@pytest.fixture
def embedded_crosswalk(embedded: sa.URL) -> Crosswalk:
    return Crosswalk(embedded, base_name="DEMO")


def test_both_files_hold_all_columns(embedded_crosswalk: Crosswalk) -> None:
    kept(embedded_crosswalk, "0012", patient_name="山田^太郎", accession_number="0007")
    for read in (read_csv, read_xlsx):
        head, row = read(embedded_crosswalk)
        assert head == list(HEADINGS.values())
        cells = dict(zip(COLUMNS, row, strict=True))
        assert cells["patient_name"] == "山田^太郎"
        assert (cells["patient_id"], cells["accession"]) == ("0012", "0007")


def test_no_name_becomes_a_formula(embedded_crosswalk: Crosswalk) -> None:
    kept(embedded_crosswalk, "1", patient_name=EVIL, accession_number='-1+1|"x"\n=2')
    _, row = read_csv(embedded_crosswalk)
    assert row[3] == f"'{EVIL}"
    assert row[9].startswith("'-1+1")
    _, row = read_xlsx(embedded_crosswalk)
    assert row[3] == EVIL


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "  =1", "\r=1", "\uff1d1", "|x"])
def test_what_could_begin_a_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Doe^John", "1.2.3", "2026-01-31", "'=1"])
def test_what_is_harmless_stays(text: str) -> None:
    assert harmless(text) == text


def test_only_what_matches_is_exported_and_all_of_it(database: sa.URL) -> None:
    add_rows(database, 3_000)
    crosswalk = Crosswalk(database, base_name="DEMO")
    assert len(read_csv(crosswalk)) == len(read_xlsx(crosswalk)) == 3_001
    few = Search({"patient_name": "yamada"}, limit=2)
    names = [row[3] for row in read_csv(crosswalk, few)[1:]]
    assert len(names) > 50
    assert all("Yamada" in name for name in names)


def test_a_spreadsheet_of_too_many_rows_is_refused(
    embedded_crosswalk: Crosswalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_export, "XLSX_ROWS", 1)
    for number in range(2):
        kept(embedded_crosswalk, f"{number}")
    with pytest.raises(SearchError, match="take CSV"):
        read_xlsx(embedded_crosswalk)
