# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test` asks one Molecule scenario that has not passed as things are, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from due_scenarios import digest, due, looked_at, one_of

NOW = {"firewall": "1", "orthanc_anon": "2", "site": "3"}


def test_what_passed_as_it_is_now_is_not_due() -> None:
    assert due(NOW, {"firewall": "1", "orthanc_anon": "old"}) == ["orthanc_anon", "site"]
    assert due(NOW, NOW) == []


def test_commits_come_to_each_short_scenario_in_turn() -> None:
    short = ["firewall", "orthanc_anon", "orthanc_disk"]
    names = [*short, "apache_proxy", "site"]
    assert [one_of(names, commits)[0] for commits in (6, 7, 8, 9)] == [*short, "firewall"]
    assert one_of(["site"], 6) == []


@pytest.mark.parametrize(
    ("scenario", "path"),
    [
        ("firewall", "roles/firewall"),
        ("orthanc_phi", "roles/orthanc_instance"),
        ("apache_proxy", "plugins"),
        ("site", "inventories/example"),
    ],
)
def test_a_scenario_looks_at_its_role_and_what_that_needs(scenario: str, path: str) -> None:
    assert path in looked_at(scenario)


def test_a_digest_is_another_one_after_any_change(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    before = digest([one, two], tmp_path)

    assert digest([two, one], tmp_path) == before
    two.write_text("3")
    assert digest([one, two], tmp_path) != before
    assert digest([one], tmp_path) != before
