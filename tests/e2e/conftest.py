"""Deploys the tests' site once, before the first test, and removes it after the last."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import deployed
from deployed import Runs

REMOVE = ("-e", "{orthanc_site_remove_data: true, orthanc_site_remove_backups: true}")


@pytest.fixture(scope="session")
def site() -> Iterator[Runs]:
    """Deploy the site from nothing: predicted in check mode first, then for real.

    With `E2E_KEEP` it stays afterwards, and the next run brings it up to date instead.
    """
    keep = bool(os.environ.get("E2E_KEEP"))
    if deployed.CONFIG.exists() and keep:
        again = deployed.playbook("site", "--diff")
        yield Runs(again, again)
        return
    if deployed.CONFIG.exists():  # of a run that was cut off
        deployed.playbook("remove", *REMOVE)
    predicted = deployed.playbook("site", "--check", "--diff")
    first = deployed.playbook("site", "--diff")
    yield Runs(predicted, first)
    if not keep:
        deployed.playbook("remove", *REMOVE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the drill last, since it empties the site."""
    items.sort(key=lambda item: item.path.stem == "test_backup")


@pytest.fixture(autouse=True)
def _deployed(site: Runs) -> None:
    """Every test here needs the site."""
