"""The tests' site, deployed once for all that need it; pictures; the table of attacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from deployed import Runs

PROPERTY = "attack"
PICTURES = Path(__file__).parents[1] / "docs/images"
REMOVE = ("-e", "{orthanc_site_remove_data: true, orthanc_site_remove_backups: true}")


@pytest.fixture(scope="session")
def site() -> Iterator[Runs]:
    """Deploy the site from nothing: predicted in check mode first, then for real.

    With `E2E_KEEP` it stays afterwards, and the next run brings it up to date instead.
    """
    import deployed  # noqa: PLC0415 - unit tests need nothing of it

    keep = bool(os.environ.get("E2E_KEEP"))
    if deployed.CONFIG.exists() and keep:
        again = deployed.playbook("site", "--diff")
        yield deployed.Runs(again, again)
        return
    if deployed.CONFIG.exists():  # of a run that was cut off
        deployed.playbook("remove", *REMOVE)
    predicted = deployed.playbook("site", "--check", "--diff")
    first = deployed.playbook("site", "--diff")
    yield deployed.Runs(predicted, first)
    if not keep:
        deployed.playbook("remove", *REMOVE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the pictures of the documentation be taken where the tests see what they show."""
    parser.addoption(
        "--pictures", action="store_true", help="save pictures of pages in docs/images"
    )


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Return the function that saves what a page shows, light and dark, if that is asked for."""

    def take(page: Page, name: str) -> None:
        if not request.config.getoption("pictures"):
            return
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{name}-{scheme}.png", animations="disabled")
        page.emulate_media(color_scheme="null")

    return take


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known by which a test says what it tries."""
    config.addinivalue_line(
        "markers", "attack(by, tries, stopped_by): a row of the table in docs/security.md"
    )


def attacks(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, tuple[str, str, str]]]:
    """Yield each test that is an attack, with who tries what and what stops it."""
    for item in items:
        if marker := item.get_closest_marker("attack"):
            by, tries, stopped_by = marker.args
            yield item, (by, tries, stopped_by)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the report of each attack tell its row of the table."""
    for item, row in attacks(items):
        item.user_properties.append((PROPERTY, row))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, one row for all tests of an attack."""
    held: dict[tuple[str, str, str], bool] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            # A file that cannot be read has none.
            for name, row in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    held[row] = held.get(row, True) and outcome == "passed"
    if not held:
        return
    terminalreporter.section("attacks")
    terminalreporter.write_line("| from | tried | stopped by | held |")
    terminalreporter.write_line("| --- | --- | --- | --- |")
    for row, good in sorted(held.items()):
        terminalreporter.write_line(f"| {' | '.join(row)} | {'yes' if good else '**no**'} |")
