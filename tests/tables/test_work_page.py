# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the work: what needs somebody, the figures, and the plots."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from orthanc_deid.heartbeat import Heartbeat

from .desk import STUDIES, Desk, Open

PAGE = "work/work.html"


@pytest.fixture
def deliveries(desk: Desk) -> None:
    """Some studies that went out on several days."""
    with desk.crosswalk.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE studies SET delivered_at = now() - mod(id, 9) * interval '1 day' WHERE id < 500"
        )
        connection.exec_driver_sql(
            "INSERT INTO deliveries (study_id, destination, state, instances, updated_at,"
            " delivered_at) SELECT id, 'anon', 'delivered', 9, delivered_at, delivered_at"
            " FROM studies WHERE id < 500 ON CONFLICT DO NOTHING"
        )


@pytest.mark.usefixtures("deliveries")
def test_the_page_tells_how_things_stand(visit: Open, desk: Desk, tmp_path: Path) -> None:
    Heartbeat(desk.crosswalk.engine, tmp_path, "worker-1").beat()
    page = visit(PAGE)
    expect(page.locator("#workers")).to_contain_text("worker-1")
    expect(page.locator("#workers .badge")).to_have_text("alive")
    delivered = page.locator(".figure", has_text="all destinations").locator("strong")
    assert int(delivered.inner_text().replace(",", "")) >= STUDIES - 10
    expect(page.locator("#days canvas, #hours canvas, #ages canvas")).to_have_count(3)
    expect(page.locator("#days .uplot")).to_have_attribute("role", "img")
    # Nobody listens where the certificates are looked for.
    expect(page.locator("#needs")).to_contain_text("cannot be reached")


@pytest.mark.usefixtures("deliveries")
def test_a_silent_worker_needs_somebody(visit: Open, desk: Desk) -> None:
    with desk.crosswalk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE workers SET beat_at = now() - interval '5 minutes'")
        connection.exec_driver_sql("UPDATE workers SET name = 'worker-2'")
    page = visit(PAGE)
    expect(page.locator("#needs")).to_contain_text("No worker is alive.")


def test_dark_and_narrow_windows_show_all_of_it(visit: Open) -> None:
    page = visit(PAGE, color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.locator(".figure").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("account", ["viewer", "researcher"])
def test_others_do_not_see_it(visit: Open, account: str) -> None:
    page = visit("index.html", account)
    expect(page.locator("nav[aria-label=Pages]")).to_be_visible()
    expect(page.get_by_role("link", name="Work")).to_have_count(0)
    assert page.request.get("/deid/v1/work").status == 403
