# SPDX-License-Identifier: GPL-3.0-or-later
"""The page Anonymize over a hundred thousand studies on PHI: found, chosen, and followed."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from orthanc_deid.states import State

from .desk import Desk, Open, Picture

pytestmark = pytest.mark.usefixtures("held")

PAGE = "scrub/study_anonymize.html"
ONE = "00000007-00000000-00000000-00000000-00000000"


def row_of(page: Page, number: int) -> Locator:
    page.get_by_label("Description").fill(f"({number})")
    row = page.locator("#rows tr", has_text=f"CT Thorax ({number})")
    expect(page.locator("#rows tr")).to_have_count(1)
    return row


def test_a_study_among_many_is_found_at_once(visit: Open, picture: Picture) -> None:
    page = visit(PAGE)
    expect(page.locator("#found")).to_have_text("More than 10,000 studies")
    picture(page, "anonymize")
    for label, value, wanted in (
        ("Patient", "johnson", "Johnson"),
        ("Description", "thorax (4711)", "CT Thorax (4711)"),
        ("Accession", "ACC0", "ACC0"),
    ):
        started = time.monotonic()
        page.get_by_label(label).first.fill(value)
        expect(page.locator("#rows tr").first).to_contain_text(wanted)
        assert time.monotonic() - started < 5
        page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Next page →").click()
    expect(page.locator("#place")).to_have_text("51 to 100")


def test_base_name_destinations_and_review_are_chosen(visit: Open, picture: Picture) -> None:
    page = visit(PAGE)
    row_of(page, 31).get_by_role("checkbox").check()
    page.get_by_role("button", name="Anonymize…").click()
    dialog = page.get_by_role("dialog")
    becomes = dialog.locator(".becomes code")
    expect(becomes).to_have_text(re.compile(r"^DEMO\^ID\d+"))
    start = dialog.get_by_role("button", name="Start 1 study")
    for name in ("anon", "disk"):
        dialog.get_by_role("checkbox", name=name).uncheck()
    expect(start).to_be_disabled()
    dialog.get_by_label("Base name").select_option("lung")
    expect(becomes).to_have_text(re.compile(r"^LUNG\^ID\?+"))
    shown_first = dialog.get_by_label("Show me the result first")
    expect(shown_first).to_be_checked()
    expect(shown_first).to_be_disabled()
    expect(dialog.get_by_role("checkbox", name="anon")).to_have_count(0)
    dialog.get_by_label("Base name").select_option("default")
    expect(dialog.get_by_label("Send it to the destinations at once")).to_be_checked()
    dialog.get_by_role("checkbox", name="disk").uncheck()
    dialog.get_by_label("Profile").select_option("basic")
    dialog.get_by_label("Note").fill("a test")
    picture(page, "start-dialog")
    with page.expect_request(re.compile(r"/anonymize$")) as asked:
        start.click()
    assert asked.value.post_data_json == {
        "note": "a test", "profile": "basic", "project": "default", "destinations": ["anon"],
    }  # fmt: skip


def test_progress_is_seen_live_and_after_the_page_was_closed(
    visit: Open, desk: Desk, picture: Picture
) -> None:
    studies = desk.crosswalk.studies
    study = studies.add(orthanc_id=ONE)
    for state in (State.QUEUED, State.WORKING):
        studies.move(study.id, state)

    def tell(read: int, deidentified: int, sent: int = 0, verified: int = 0) -> None:
        going = [
            {"destination": "anon", "instances": 118, "sent": sent, "verified": verified},
            {"destination": "disk", "instances": 118, "sent": 0, "verified": 0},
        ]
        studies.tell_progress(
            study.id,
            {
                "instances": 120, "read": read, "deidentified": deidentified,
                "destinations": going if sent else [],
            },
        )  # fmt: skip

    tell(60, 30)
    page = visit(PAGE)
    row = row_of(page, 7)
    expect(row).to_contain_text(re.compile(r"anonymizing 25\s%"))
    row.locator("th button").click()
    bars = page.locator(".bars")
    expect(bars.locator("label", has_text="De-identified")).to_contain_text("30 of 120")
    tell(120, 90)
    expect(bars.locator("label", has_text="De-identified")).to_contain_text("90 of 120")
    picture(page, "study")
    studies.move(study.id, State.DELIVERING)
    tell(120, 120, sent=118, verified=118)
    expect(bars.locator("label", has_text="anon")).to_contain_text("verified there")
    again = visit(PAGE)
    expect(row_of(again, 7)).to_contain_text(re.compile(r"delivering 50\s%"))
    studies.finish(study.id)
    expect(page.locator(".bars")).to_have_count(0)
    expect(page.locator(".steps li").last).to_have_class("past now")
