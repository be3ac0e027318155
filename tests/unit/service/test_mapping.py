# SPDX-License-Identifier: GPL-3.0-or-later
"""Which old identifier became which new one: read from the originals, for a broker only."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from orthanc_deid import mapping
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import DeidError

from .fake_orthanc import FakeOrthanc
from .test_subjects import send_out


@pytest.fixture
def phi(monkeypatch: pytest.MonkeyPatch) -> FakeOrthanc:
    monkeypatch.setattr(mapping, "read_uids", lambda data: {data.decode().split("|")[3]})
    return FakeOrthanc("phi")


def new_uid(old: str) -> str:
    return f"new {old}"


def test_a_mapping_holds_what_has_gone_out_of_the_chosen_subjects(
    embedded: sa.URL, phi: FakeOrthanc
) -> None:
    crosswalk = Crosswalk(embedded, base_name="DEMO")
    for patient in ("1", "2"):
        phi.store(f"{patient}|1.2.{patient}|series|1.3.{patient}|".encode())
        send_out(crosswalk, patient, modifier="s")
    crosswalk.studies.add(orthanc_id="not yet")
    found = mapping.of_delivered(crosswalk, phi.client(), new_uid, [2])
    assert found.patients == {("2", "DEMO_ID000002s")}
    assert found.uids == {("1.2.2", "2.25.2"), ("1.3.2", "new 1.3.2")}
    assert (found.studies, found.missing) == (1, [])
    assert mapping.of_delivered(crosswalk, phi.client(), new_uid).studies == 2
    assert "1.3.2" not in repr(found)


def test_a_study_that_phi_does_not_hold_any_more_is_named(
    embedded: sa.URL, phi: FakeOrthanc
) -> None:
    crosswalk = Crosswalk(embedded, base_name="DEMO")
    study = send_out(crosswalk, "1")
    found = mapping.of_delivered(crosswalk, phi.client(), new_uid)
    assert found.uids == {("1.2.1", "2.25.1")}
    assert found.missing == [study]


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "mapping"
    mapping.check_directory(directory)
    mapping.write_mapping(directory, {("1.2", "2.25.1")}, {("MRN,1", "DEMO_ID000001")})
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with (directory / "patid_mapping.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id_old", "id_new"], ["MRN,1", "DEMO_ID000001"]]


def test_a_directory_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    web_root = tmp_path / "html"
    web_root.mkdir()
    web_root.chmod(0o755)
    with pytest.raises(DeidError, match="others may look into"):
        mapping.check_directory(web_root)
