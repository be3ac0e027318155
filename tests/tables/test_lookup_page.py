# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table in a browser, with a hundred thousand studies in it."""

from __future__ import annotations

import csv
import io
import time
import zipfile

import pytest
from playwright.sync_api import Page, expect

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.schema import lookup

from .desk import STUDIES, Desk, Open, Picture

PAGE = "lookup/master/lookuptable.html"
EVIL = {
    "<script>alert(1)</script>^Eve": "script alert eve",
    'O\'Brien "Jo"^Sean': "brien",
    "Yamada^Tarou=山田^太郎=やまだ^たろう": "太郎",
    "كريم^أحمد": "كريم",
    '=HYPERLINK("http://evil")^Mallory': "mallory",
}


@pytest.fixture(scope="module", autouse=True)
def _evil(desk: Desk) -> None:
    """Have names in the table that would break a page that took text for anything else."""
    for at, (name, _words) in enumerate(EVIL.items(), 1):
        _rename(desk.crosswalk, at, name)


def _rename(crosswalk: Crosswalk, study: int, name: str) -> None:
    from orthanc_deid.lookup import fold  # noqa: PLC0415

    with crosswalk.engine.begin() as connection:
        connection.execute(
            lookup.update()
            .where(lookup.c.study_id == study)
            .values(patient_name=name, folded_name=fold(name))
        )


def rows(page: Page) -> list[str]:
    """The names in the table."""
    return page.locator(".tabulator-row [tabulator-field=patient_name]").all_inner_texts()


def filtered(page: Page, column: str, text: str) -> None:
    """Write into the filter of a column, and wait for the answer."""
    with page.expect_response("**/deid/v1/lookup"):
        page.get_by_label(f"Filter by {column}", exact=True).fill(text)


def test_the_first_page_is_there_in_a_second(visit: Open, picture: Picture) -> None:
    page = visit(PAGE)
    expect(page.locator("#count")).to_have_text("More than 20,000 studies")
    assert len(rows(page)) > 5
    picture(page, "lookup")
    started = time.monotonic()
    filtered(page, "accession", "1234")
    assert time.monotonic() - started < 1 + 0.35 + 1  # the pause of typing, and a busy machine
    expect(page.locator("#count")).to_contain_text("found")


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_shown_as_it_is(visit: Open, name: str) -> None:
    page = visit(PAGE)
    expect(page.locator("#count")).not_to_be_empty()
    filtered(page, "patient's name", EVIL[name])
    shown = page.locator(".tabulator-row").first
    expect(shown).to_be_visible()
    # Groups of a name are divided by an equals sign.
    family = name.lstrip("=").split("^", maxsplit=1)[0]
    expect(shown.locator("bdi").first).to_contain_text(family)
    expect(page.locator(".tabulator-row script, .tabulator-row img")).to_have_count(0)


def test_scrolling_brings_more_and_sorting_turns_it_round(visit: Open) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    with page.expect_response("**/deid/v1/lookup"):
        page.locator(".tabulator-tableholder").evaluate("it => it.scrollTo(0, it.scrollHeight)")
    with page.expect_response("**/deid/v1/lookup") as answer:
        page.locator("[tabulator-field=study_date] .tabulator-col-title").click()
        page.locator("[tabulator-field=study_date] .tabulator-col-title").click()
    del answer
    expect(page.locator(".tabulator-row [tabulator-field=study_date]").first).to_contain_text(
        "2025"
    )


def test_filters_hold_together_and_are_cleared(visit: Open) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    filtered(page, "subject number", "100-200")
    filtered(page, "study date", "2015")
    count = page.locator("#count")
    expect(count).to_contain_text("found")
    assert 0 < int(count.inner_text().split()[0]) < 505
    page.get_by_role("button", name="Clear filters").click()
    expect(count).to_have_text("More than 20,000 studies")


def test_a_filter_that_makes_no_sense_says_what_to_write(visit: Open) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    filtered(page, "subject number", "one")
    expect(page.locator("#message")).to_contain_text("write a number, or a range")


def test_columns_are_chosen_and_stay_chosen(visit: Open) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    page.locator("#columns summary").click()
    page.get_by_label("Study UID", exact=True).check()
    page.reload()
    expect(page.locator(".tabulator-col[tabulator-field=study_instance_uid]")).to_be_visible()


def test_what_matches_is_exported_as_csv_and_xlsx(visit: Open, desk: Desk) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    filtered(page, "patient's name", "mallory")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export CSV").click()
    head, row = csv.reader(io.StringIO(saved.value.path().read_text(encoding="utf-8-sig")))
    assert head[3] == "Patient's Name"
    assert row[3].startswith("'=HYPERLINK")
    expect(page.locator("#message")).to_contain_text("keep it as safe as the patients' records")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export XLSX").click()
    with zipfile.ZipFile(saved.value.path()) as book:
        assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")
    with desk.crosswalk.engine.connect() as connection:
        query = "SELECT detail FROM events WHERE action = 'lookup exported' ORDER BY id"
        assert [row[0] for row in connection.exec_driver_sql(query)][-2:] == [
            "csv; by patient_name",
            "xlsx; by patient_name",
        ]


def test_the_whole_table_is_exported(visit: Open) -> None:
    page = visit(PAGE)
    expect(page.locator(".tabulator-row").first).to_be_visible()
    with page.expect_download(timeout=180_000) as saved:
        page.get_by_role("button", name="Export CSV").click()
    lines = saved.value.path().read_text(encoding="utf-8-sig").splitlines()
    # The tests of the page of reviews may have added a few.
    assert STUDIES + 1 <= len(lines) < STUDIES + 50


@pytest.mark.parametrize("account", ["viewer", "researcher"])
def test_others_see_nothing_of_it(visit: Open, account: str) -> None:
    page = visit("index.html", account)
    expect(page.locator("nav[aria-label=Pages]")).to_be_visible()
    expect(page.get_by_role("link", name="Lookup table")).to_have_count(0)
    assert page.request.get(f"/extra/{PAGE}").status == 403
    for path in ("lookup", "lookup/export"):
        assert page.request.post(f"/deid/v1/{path}", data="{}").status == 403
