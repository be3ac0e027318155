"""Every test here needs the tests' site, which `tests/conftest.py` deploys."""

from __future__ import annotations

import pytest

from deployed import Runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that empty the site, and among them those that change its versions."""
    last = ("test_backup", "test_operations")
    items.sort(key=lambda item: last.index(item.path.stem) + 1 if item.path.stem in last else 0)


@pytest.fixture(autouse=True)
def _deployed(site: Runs) -> None:
    """Every test here needs the site."""
