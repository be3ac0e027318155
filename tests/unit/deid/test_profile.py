# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles: what the site decides wins, and what is wrong is said at once, with the nearest."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import orthanc_deid
from orthanc_deid.cli import main
from orthanc_deid.engine import Engine
from orthanc_deid.errors import ProfileError
from orthanc_deid.profile import check_profiles, load_profile

from .instances import KEYS, deidentify, instance, read


def test_the_site_keeps_removes_and_empties_what_it_wants() -> None:
    actions = {"StationName": "keep", "0018,1030": "remove", "Manufacturer": "empty"}
    engine = Engine(load_profile("basic", {"tag_actions": actions}), KEYS)
    given = instance(StationName="CT1", ProtocolName="Routine", Manufacturer="Maker")
    after = read(deidentify(given, engine).data)
    assert after.StationName == "CT1"
    assert "ProtocolName" not in after
    assert after.Manufacturer == ""


def test_every_problem_is_named_at_once_with_the_nearest_right_word() -> None:
    with pytest.raises(ProfileError) as caught:
        load_profile(
            "basic",
            {"tag_actions": {"StationNam": "keep", "0018,1030": "remvoe", "PatientID": "keep"}},
        )
    problems = "\n".join(caught.value.problems)
    assert "'StationNam'" in problems
    assert "StationName" in problems
    assert "'remvoe'" in problems
    assert "nearest is remove" in problems
    assert "always written by the engine" in problems


def test_a_profile_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        'name = "site"\noptions = ["retain_modified_dates"]\n[tag_actions]\n"0008,1010" = "keep"\n'
    )
    profile = load_profile(path)
    assert profile.name == "site"
    assert profile.tag_actions == {0x00081010: "keep"}


def test_two_profiles_differ_in_their_digest_if_they_decide_differently() -> None:
    basic = load_profile("basic")
    assert basic.digest == load_profile("basic").digest
    assert basic.digest != load_profile("basic", {"tag_actions": {"StationName": "keep"}}).digest


def test_an_unknown_profile_says_which_there_are() -> None:
    with pytest.raises(ProfileError, match="basic"):
        load_profile("basci")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"tag_actions": {"StationName": "keep"}}', 0),
        ('[tag_actions]\nStationName = "keep"', 0),
        ('{"tag_actions": {"StationName": "hold"}}', 1),
        ("{nonsense", 1),
    ],
)
def test_profile_check_reads_json_and_toml(
    text: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["profile", "check", "-"]) == status


def test_the_profiles_of_a_site_are_checked_with_what_it_decides_beside_them(
    tmp_path: Path,
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('options = ["retain_uid"]')

    def check(*others: str, **site: object) -> list[str]:
        sources = {"profile": ["research"], "other_profiles": ["basic", *others], "projects": []}
        return check_profiles({"sources": {**sources, "projects": others}, "site": site})

    assert check() == []
    assert check(tag_actions={"StationName": "keep"}) == []
    (own,) = check(tag_actions={"StationName": "hold"})
    assert own.startswith("tag_actions: ")
    (option,) = check(str(bad), second_look=["US"])
    assert option.startswith(f"other_profiles: {bad}: options: 'retain_uid' is not known")
    (missing,) = check(str(tmp_path / "none.toml"))
    assert "is neither built in" in missing


def test_profile_check_needs_no_package_but_pydicom() -> None:
    blocked = ("sqlalchemy", "httpx", "rich", "procrastinate", "psycopg", "psycopg2", "alembic")
    program = (
        f"import sys; sys.path.insert(0, {str(Path(orthanc_deid.__file__).parents[1])!r}); "
        f"sys.modules.update(dict.fromkeys({blocked!r})); "
        "from orthanc_deid.cli import main; sys.exit(main(['profile', 'check', '-']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"tag_actions": {"StationName": "keep"}}),
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("basic", ["113100", "113107"]),
        ("research", ["113100", "113103", "113104", "113105", "113107", "113108", "113111"]),
        ("full_dates", ["113100", "113103", "113104", "113105", "113106", "113108", "113111"]),
    ],
)
def test_a_ready_profile_claims_what_it_carries_out(name: str, codes: list[str]) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert [code for code, _ in profile.codes] == codes


def test_the_research_profile_keeps_what_a_collection_needs() -> None:
    given = instance(
        StudyDescription="CT CHEST", PatientSex="F", PatientAge="061Y", StudyDate="20240301"
    )
    after = read(deidentify(given, Engine(load_profile("research"), KEYS)).data)
    assert (after.StudyDescription, after.PatientSex, after.PatientAge) == ("CT CHEST", "F", "061Y")
    assert after.StudyDate == "20231122"
