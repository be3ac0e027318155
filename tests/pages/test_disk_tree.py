# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of Disk's tree: where a study lies, and how it is written again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import deployed
import people
from browsing import Visitor
from people import Person

Visit = Callable[..., Visitor]
Studies = dict[Person, str]


def found(visitor: Visitor, studies: Studies, person: Person) -> Page:
    """Come to the tree from the start page, and find the studies of a patient there."""
    page = visitor.open("index.html")
    page.locator(".tile", has_text="as a tree of folders").click()
    expect(page.get_by_role("heading", name="The tree of folders")).to_be_visible()
    anonymous = deployed.state(studies[person])["anonymous_study_uid"]
    with deployed.client("disk") as disk:
        study = disk.get(f"/studies/{deployed.orthanc_id('disk', anonymous)}").json()
    pseudonym = study["PatientMainDicomTags"]["PatientID"]
    expect(page.locator("#count")).not_to_be_empty()
    page.get_by_label("Pseudonym").fill(pseudonym)
    with page.expect_response("**/tools/find"):
        page.get_by_role("button", name="Find").click()
    expect(page.locator("#found tbody th").first).to_have_text(pseudonym)
    return page


def test_a_study_lies_where_it_is_told_and_is_written_again(
    visit: Visit, studies: Studies, picture: Callable[[Page, str], None]
) -> None:
    page = found(visit("hana"), studies, people.ULTRASOUND)
    row = page.locator("#found tbody tr").first
    expect(row.locator(".badge.good")).to_be_visible()
    folder = deployed.TREE / row.locator(".folder bdi").inner_text()
    lost = next(folder.rglob("*.dcm"))
    was = lost.read_bytes()
    picture(page, "tree")
    lost.unlink()

    row.get_by_role("button", name="Write again").click()
    expect(page.locator("#message")).to_contain_text("1 file was written")
    assert lost.read_bytes() == was
    row.get_by_role("button", name="series").click()
    page.locator("tr.series").first.get_by_role("button", name="Write again").click()
    expect(page.locator("#message")).to_contain_text("Nothing was missing: the series lies in")


@pytest.mark.parametrize("name", ["vera", "rosa"])
def test_others_see_where_it_lies_and_are_told_that_they_may_not_write(
    name: str, visit: Visit, studies: Studies
) -> None:
    page = found(visit(name), studies, people.ULTRASOUND)
    row = page.locator("#found tbody tr").first
    expect(row.locator(".badge.good")).to_be_visible()
    row.get_by_role("button", name="Write again").click()
    expect(page.locator("#message")).to_contain_text("Your account may not do this.")
