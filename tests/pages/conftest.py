# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser for each person, on the site that the end-to-end tests deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

import browsing
import deployed
import people
from browsing import Visitor
from deployed import Runs
from people import Person


@pytest.fixture(autouse=True, scope="session")
def _deployed(site: Runs) -> None:
    """Every test here needs the site."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests, which waits as long as a busy machine needs."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsing.CHROMIUM, headless=True, args=browsing.FLAGS
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    """Let people come; what their pages complained of fails the test."""
    visitors: list[Visitor] = []

    def come(name: str, **options: object) -> Visitor:
        visitors.append(Visitor(chromium, name, tmp_path, **options))
        return visitors[-1]

    yield come
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.leave()
    assert complaints == []


@pytest.fixture(scope="session")
def studies() -> dict[Person, str]:
    """Send a study of everybody to PHI and wait until all are delivered; returns their UIDs."""
    sent: dict[Person, str] = {}
    for person in people.EVERYBODY:
        instances = people.study_of(person)
        assert set(deployed.send(instances)) == {0}
        sent[person] = str(instances[0].StudyInstanceUID)
    for person, uid in sent.items():
        deployed.delivered(uid, person.instances)
    return sent
