# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table: filled by workers and from PHI, then searched by any column."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from lookup_rows import add_rows
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.lookup import Lookup, fold, iso_date
from orthanc_deid.lookup_search import LookupSearch, Search, SearchError, orthanc_id
from orthanc_deid.subjects import Subjects

from .fake_orthanc import FakeOrthanc, file
from .test_subjects import send_out


def told(patient: str = "MRN-1", **values: str) -> Any:
    """What an instance says."""
    said = {
        "patient_name": "Müller^Jürgen",
        "patient_id": patient,
        "issuer": "",
        "accession_number": "A-1",
        "study_date": "20260131",
        "study_instance_uid": f"1.2.{patient}",
    }
    return SimpleNamespace(**{**said, **values})


def kept(crosswalk: Crosswalk, patient: str = "MRN-1", **values: str) -> int:
    """Have a study of the patient in the table; returns its number."""
    study = send_out(crosswalk, patient)
    subject = crosswalk.subject(patient)
    crosswalk.lookup.identified(study, told(patient, **values), subject, f"2.25.{patient}")
    return study


def rows(crosswalk: Crosswalk, sort: str = "subject_number", **filters: str) -> list[str]:
    """The patients that a search finds."""
    page = LookupSearch(crosswalk.engine).page(Search(filters, sort))
    assert page.total == len(page.rows)
    return [row["patient_id"] for row in page.rows]


def test_a_study_stands_there_with_both_identities(crosswalk: Crosswalk) -> None:
    study = kept(crosswalk)
    made = told("DEMO1", accession_number="000000000000042", study_date="20251224")
    crosswalk.lookup.anonymized(study, made)
    (row,) = LookupSearch(crosswalk.engine).page(Search()).rows
    assert row == {
        "project": "default",
        "subject_number": 1,
        "pseudonym": "DEMO1",
        "patient_name": "Müller^Jürgen",
        "patient_id": "MRN-1",
        "issuer": "",
        "former_ids": [],
        "study_date": "2026-01-31",
        "anonymous_study_date": "2025-12-24",
        "accession": "A-1",
        "anonymous_accession": "000000000000042",
        "study_instance_uid": "1.2.MRN-1",
        "anonymous_study_uid": "2.25.MRN-1",
        "state": "delivered",
        "study": study,
        "orthanc_id": "s-MRN-1-1.2.MRN-1",
        "anonymous_orthanc_id": orthanc_id("DEMO1", "2.25.MRN-1"),
    }


def test_what_a_database_cannot_keep_is_left_out_of_a_name(crosswalk: Crosswalk) -> None:
    kept(crosswalk, patient_name="A\0B\ud800^C")
    (row,) = LookupSearch(crosswalk.engine).page(Search()).rows
    assert row["patient_name"] == "AB?^C"


NAMES = {
    "Müller^Jürgen": "jurgen MULLER",
    "Yamada^Tarou=山田^太郎=やまだ^たろう": "山田",
    "Suzuki^Ichiro=鈴木^一郎": "一 鈴",
    "כהן^נועה": "כהן",
    "<script>alert('1')</script>^\"Bob\"": "<script>",
    "100%^Sure_": "100% sure_",
    "back\\slash": "back\\slash",
}


def test_a_name_is_found_by_its_words(crosswalk: Crosswalk) -> None:
    for number, name in enumerate(NAMES):
        kept(crosswalk, f"MRN-{number}", patient_name=name)
    found = [rows(crosswalk, patient_name=words) for words in NAMES.values()]
    assert found == [[f"MRN-{number}"] for number in range(len(NAMES))]


def test_one_or_two_letters_begin_a_word(crosswalk: Crosswalk) -> None:
    kept(crosswalk, "MRN-1", patient_name="Xu^Ling")
    kept(crosswalk, "MRN-2", patient_name="Li^Xuan")
    kept(crosswalk, "AM-3", patient_name="Felix^Sulin")
    assert rows(crosswalk, patient_name="xu") == ["MRN-1", "MRN-2"]
    assert rows(crosswalk, patient_name="x li") == ["MRN-1", "MRN-2"]
    assert rows(crosswalk, patient_name="lix") == ["AM-3"]
    assert rows(crosswalk, patient_id="m") == ["MRN-1", "MRN-2"]


FILTERS = [
    ("patient_id", "rn-1"),
    ("patient_id", " MRN-1 "),
    ("issuer", "HOSPITAL"),
    ("accession", "cc7"),
    ("study_date", "2026-01"),
    ("study_date", "2025-12..2026-02"),
    ("study_date", "..2026-01-31"),
    ("subject_number", "1"),
    ("subject_number", "0-1"),
    ("pseudonym", "demo_id000001"),
    ("study_instance_uid", "1.2.MRN-1"),
    ("anonymous_study_uid", "2.25.MRN-1"),
]


def test_each_column_filters(crosswalk: Crosswalk) -> None:
    kept(crosswalk, "MRN-1", issuer="HOSPITAL", accession_number="ACC7")
    kept(crosswalk, "MRN-2", issuer="OTHER", accession_number="X", study_date="20260801")
    found = {each: rows(crosswalk, **dict([each])) for each in FILTERS}
    assert found == {each: ["MRN-1"] for each in FILTERS}
    assert rows(crosswalk, study_date="2026-02..") == ["MRN-2"]
    assert rows(crosswalk, patient_id="%") == rows(crosswalk, patient_id="MRN_1") == []
    assert rows(crosswalk, study_date="", patient_id=" ") == ["MRN-1", "MRN-2"]


def test_former_ids_are_shown_and_lead_to_the_patient(crosswalk: Crosswalk) -> None:
    kept(crosswalk, "MRN-1")
    kept(crosswalk, "OLD-7")
    Subjects(crosswalk).merge(1, 2, actor="broker", force=True)
    found = LookupSearch(crosswalk.engine).page(Search({"former_ids": "old-7"})).rows
    assert [(row["patient_id"], row["former_ids"]) for row in found] == [
        ("MRN-1", ["OLD-7"]),
        ("OLD-7", ["MRN-1"]),
    ]
    assert {row["subject_number"] for row in found} == {1}


def test_pages_follow_each_other_without_a_gap(crosswalk: Crosswalk) -> None:
    for number in range(7):
        kept(crosswalk, f"MRN-{number}", accession_number=f"{number % 3}")
    for sort in ("subject_number", "patient_name", "study_date", "accession"):
        for descending in (False, True):
            search = Search({}, sort, descending, limit=2)
            pages = list(LookupSearch(crosswalk.engine).pages(search))
            assert [len(page) for page in pages] == [2, 2, 2, 1]
            found = [row for page in pages for row in page]
            assert len({row["patient_id"] for row in found}) == 7
            keys = [row[sort] for row in found]
            assert keys == sorted(keys, reverse=descending)


def test_many_rows_are_walked_through_as_well(database: sa.URL) -> None:
    add_rows(database, 25_000)
    search = LookupSearch(sa.create_engine(database))
    many = Search({"study_date": "20"}, "patient_name", limit=1000)
    assert search.page(many).total is None
    seen = [row["study"] for page in search.pages(many) for row in page]
    assert len(seen) == len(set(seen)) == 25_000
    few = search.page(Search({"patient_name": "山田"}))
    assert few.total == len(
        {row["study"] for page in search.pages(Search({"patient_name": "yamada"})) for row in page}
    )


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"filters": {"colour": "x"}}, "colour: no such column"),
        ({"sort": "state"}, "sort: "),
        ({"limit": 0}, "limit: "),
        ({"limit": 10**6}, "limit: "),
        ({"filters": {"patient_id": "x" * 300}}, "patient_id: "),
        ({"filters": {"subject_number": "one"}}, "subject_number: "),
        ({"filters": {"study_date": "yesterday"}}, "study_date: "),
        ({"after": "rubbish"}, "after: "),
        ({"after": "WzEsMiwzLDRd"}, "after: "),
    ],
)
def test_a_search_that_cannot_be_made_says_why(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SearchError, match=problem):
        LookupSearch(sa.create_engine("sqlite://")).page(Search(**wrong))


def test_what_is_older_than_the_table_is_filled_from_phi(crosswalk: Crosswalk) -> None:
    phi = FakeOrthanc("phi")
    phi.store(file("MRN1", "1.2.MRN1", "1"))
    for patient in ("MRN1", "MRN2"):
        number = send_out(crosswalk, patient)
        with crosswalk.engine.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO lookup (study_id, project) VALUES ({number}, 'default')"
            )
    assert crosswalk.lookup.refill(phi.client()) == 2
    assert crosswalk.lookup.refill(phi.client()) == 0
    found = LookupSearch(crosswalk.engine).page(Search()).rows
    assert [(row["patient_name"], row["study_date"]) for row in found] == [
        ("Name^MRN1", "2026-01-31"),
        ("", ""),
    ]


def test_another_projects_studies_are_left_to_its_workers(crosswalk: Crosswalk) -> None:
    number = kept(crosswalk)
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE lookup SET source = ''")
    assert Lookup(crosswalk.engine, "other").refill(FakeOrthanc("phi").client()) == 0
    assert number


def test_dates_and_names_are_brought_into_one_form() -> None:
    assert [iso_date(text) for text in ("20260131", "2026.01.31", "2026", "x", "")] == [
        "2026-01-31",
        "2026-01-31",
        "",
        "",
        "",
    ]
    assert fold("Émile^O'Neil=山田") == "emile o'neil 山田"


def test_a_study_is_called_as_orthanc_calls_it() -> None:
    # From Orthanc's own documentation of its identifiers.
    assert orthanc_id("5Yp0E", "2.16.840.1.113669.632.20.1211.10000357775") == (
        "27f7126f-4f66fb14-03f4081b-f9341db2-53925988"
    )
