"""Every test here needs the tests' site, which `tests/conftest.py` deploys."""

from __future__ import annotations

import pytest

from deployed import Runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the drill last, since it empties the site."""
    items.sort(key=lambda item: item.path.stem == "test_backup")


@pytest.fixture(autouse=True)
def _deployed(site: Runs) -> None:
    """Every test here needs the site."""
