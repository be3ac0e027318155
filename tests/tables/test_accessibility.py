# SPDX-License-Identifier: GPL-3.0-or-later
"""What axe finds on the pages: contrast, names and roles for people who do not see or point."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .desk import Desk, Open
from .test_anonymize_page import PAGE as ANONYMIZE
from .test_review_page import NUMBERS, choose, ultrasound

AXE = Axe()


def look(page: Page) -> None:
    """Fail with what axe complains of."""
    found = AXE.run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("colours", ["light", "dark"])
class TestPages:
    """Each page, as a person has it before them."""

    def test_start(self, visit: Open, colours: str) -> None:
        page = visit("index.html", color_scheme=colours)
        expect(page.locator(".tile").first).to_be_visible()
        look(page)

    def test_anonymize(self, visit: Open, colours: str) -> None:
        page = visit(ANONYMIZE, color_scheme=colours)
        expect(page.locator("#rows tr").nth(8)).to_be_visible()
        look(page)
        page.locator("#rows tr").first.locator("th button").click()
        expect(page.locator(".facts code")).to_be_visible()
        look(page)
        page.keyboard.press("Escape")
        page.locator("#rows tr").first.get_by_role("checkbox").check()
        page.get_by_role("button", name="Anonymize…").click()
        expect(page.locator(".becomes code")).to_have_count(1)
        look(page)

    def test_lookup(self, visit: Open, colours: str) -> None:
        page = visit("lookup/master/lookuptable.html", color_scheme=colours)
        expect(page.locator(".tabulator-row").first).to_be_visible()
        look(page)

    def test_review(self, visit: Open, desk: Desk, colours: str) -> None:
        dataset = ultrasound("Lindqvist^Astrid", f"Sono {next(NUMBERS)}")
        desk.phi.store(dataset)
        desk.admit()
        page = visit("review/quarantine.html", color_scheme=colours)
        choose(page, dataset)
        look(page)

    def test_work(self, visit: Open, colours: str) -> None:
        page = visit("work/work.html", color_scheme=colours)
        expect(page.locator("#certificates")).not_to_be_empty()
        look(page)
