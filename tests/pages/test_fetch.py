# SPDX-License-Identifier: GPL-3.0-or-later
"""The page Fetch: studies come from a real PACS, and what is not there is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

import deployed
import people
from browsing import Visitor
from pacs import archive, running_pacs

PAGE = "scrub/fetch.html"
Visit = Callable[..., Visitor]


@pytest.fixture(scope="module", autouse=True)
def _archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a PACS with three studies in it."""
    directory: Path = tmp_path_factory.mktemp("pacs")
    with running_pacs(directory):
        for number, person in enumerate((people.PLAIN, people.SCRIPT, people.ULTRASOUND)):
            archive(people.study_of(replace(person, accession=f"PACS{number}", instances=4)))
        yield


def test_a_study_is_looked_for_chosen_and_brought_to_phi(
    visit: Visit, picture: Callable[[Page, str], None]
) -> None:
    visitor = visit("hana")
    page = visitor.open(PAGE)
    query = page.locator("#query")
    query.get_by_label("Accession").fill("PACS*")
    query.get_by_role("button", name="Look").click()
    answers = page.locator("#answers")
    expect(answers).to_contain_text("pacs has 3 studies")
    expect(answers).to_contain_text(people.SCRIPT.name.split("^")[0])
    answers.get_by_label("Choose PACS1").uncheck()
    answers.get_by_role("button", name="Fetch 2 studies").click()
    first = page.locator("#fetches details").first
    expect(first).to_contain_text("2 of 2 studies", timeout=60_000)
    picture(page, "fetch")

    def brought() -> bool:
        found = visitor.api("search?accession=PACS")["studies"]
        return {one["accession"]: one["instances"] for one in found} == {"PACS0": 4, "PACS2": 4}

    # What is counted follows once the studies rest.
    deployed.wait_for("two studies of four images are on PHI", brought, 60)


def test_a_list_is_fetched_while_nobody_looks_and_what_is_missing_is_told(visit: Visit) -> None:
    visitor = visit("adam")
    page = visitor.open(PAGE)
    file: FilePayload = {
        "name": "list.csv",
        "mimeType": "text/csv",
        "buffer": '\ufeffMRN;Accession\r\n1;PACS1\r\n2;"NO\'PE"\r\n3;PACS1\r\n'.encode(),
    }
    page.get_by_label("CSV or text file").set_input_files(file)
    expect(page.locator("#listed")).to_have_text("2 accessions, 1 written more than once")
    page.get_by_role("button", name="Fetch the list").click()
    expect(page.locator("#message")).to_contain_text("2 studies are being fetched")
    page.goto("about:blank")
    number = visitor.api("fetches")["fetches"][0]["id"]
    deployed.wait_for(
        "the fetch ends", lambda: visitor.api(f"fetches/{number}")["finished"], seconds=60
    )
    page = visitor.open(PAGE)
    first = page.locator("#fetches details").first
    expect(first).to_contain_text("1 of 2 studies")
    expect(first).to_contain_text("1 did not come")
    expect(first.locator("tr", has_text="NO'PE")).to_contain_text("not found")
    with page.expect_download() as download:
        first.get_by_role("button", name="Save what did not come").click()
    assert "NO'PE" in Path(download.value.path()).read_text(encoding="utf-8-sig")
    archive(people.study_of(replace(people.QUOTES, accession="NO'PE", instances=1)))
    first.get_by_role("button", name="Try again what did not come").click()
    expect(page.locator("#fetches details").first).to_contain_text("2 of 2 studies", timeout=60_000)


def test_a_query_for_everything_is_refused_with_what_to_do(visit: Visit) -> None:
    page = visit("hana").open(PAGE)
    page.locator("#query").get_by_role("button", name="Look").click()
    expect(page.locator("#answers")).to_contain_text("Say at least a patient")


def test_a_researcher_does_not_reach_the_pacs(visit: Visit) -> None:
    visitor = visit("rosa")
    assert "fetch" not in visitor.api("me")["may"]
    answer = visitor.context.request.get("/e2e-phi/deid/v1/nodes")
    assert answer.status == 403
