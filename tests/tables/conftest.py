# SPDX-License-Identifier: GPL-3.0-or-later
"""A desk with a hundred thousand studies in its lookup table, and a browser before it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, sync_playwright

from lookup_rows import add_rows
from orthanc_deid import migrate
from postgres_server import running_postgres

from .desk import STUDIES, Desk, Open, serve

REGISTRY = "https://registry.npmjs.org/"
FETCH = Path(__file__).parents[2] / (
    "roles/container_host/files/orthanc_phi/fetch_browser_libraries.py"
)
_HELD = """
    INSERT INTO held_studies (orthanc_id, last_update, study_instance_uid, patient_name, patient_id,
    birth_date, accession, study_date, description, modalities, source, folded_patient,
    folded_description, series, instances, received_at)
    SELECT lpad(to_hex(study_id), 8, '0') || '-00000000-00000000-00000000-00000000', '1',
    study_instance_uid, patient_name, patient_id, '19610423', accession,
    replace(study_date, '-', ''), 'CT Thorax (' || study_id || ')', ' CT ', 'CT' || study_id % 5,
    folded_name || ' ' || lower(patient_id), 'ct thorax (' || study_id || ')', 3, 120,
    now() - study_id * interval '1 minute' FROM lookup WHERE study_id <= :studies
"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages need in the browser, as the image's build fetches it."""
    directory = tmp_path_factory.mktemp("browser")
    bundle = directory / "none.crt"
    bundle.touch()
    subprocess.run(
        [sys.executable, str(FETCH), REGISTRY, str(bundle), str(directory / "lib")], check=True
    )
    return directory / "lib"


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, libraries: Path) -> Iterator[Desk]:
    """The pages and their API."""
    with running_postgres(fsync=False) as url:
        migrate.upgrade(url)
        add_rows(url, STUDIES)
        # None of them is on PHI, and none was delivered just now.
        with sa.create_engine(url).begin() as connection:
            connection.exec_driver_sql(
                "UPDATE studies SET orthanc_id = NULL, delivered_at = now() - interval '1 year'"
            )
        opened = Desk(url, tmp_path_factory.mktemp("spool"), libraries)
        yield opened
        opened.crosswalk.close()


@pytest.fixture(scope="module")
def held(desk: Desk) -> Iterator[None]:
    """Let PHI hold a study for each row of the lookup table."""
    with desk.crosswalk.engine.begin() as connection:
        connection.execute(sa.text(_HELD), {"studies": STUDIES})
        connection.execute(sa.text("ANALYZE held_studies"))
    yield
    with desk.crosswalk.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM held_studies"))


@pytest.fixture(scope="session")
def address(desk: Desk) -> Iterator[str]:
    """Where the desk is served."""
    server = serve(desk)
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, address: str) -> Iterator[Open]:
    """Return the function that opens a page; a script that fails, or leads away, fails the test."""
    complaints: list[str] = []
    contexts = []

    def come(path: str, account: str = "honest_broker", **options: object) -> Page:
        context = chromium.new_context(
            base_url=address,
            extra_http_headers={"X-Account": account},
            viewport={"width": 1440, "height": 860},
            accept_downloads=True,
            **options,  # type: ignore[arg-type]
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on("console", lambda said: _listen(said.text, complaints))
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((address, "blob:", "data:"))
                else complaints.append(f"asked {asked.url}")
            ),
        )
        page.goto(f"/extra/{path}")
        return page

    yield come
    for context in contexts:
        context.close()
    assert complaints == []


def _listen(text: str, complaints: list[str]) -> None:
    if "Content Security" in text or "Invalid" in text:
        complaints.append(text)
