"""What persons decide about studies on a real site, and PHI when its disk is nearly full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread

import deployed
from planted import planted_study

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
SETTINGS = deployed.CONFIG / "phi/deid/config.json"


def sent(instances: int = 2, **attributes: Any) -> list[Dataset]:
    """Send a study, and return what was sent."""
    study, _ = planted_study("CT_small.dcm", instances)
    for instance in study:
        for keyword, value in attributes.items():
            setattr(instance, keyword, value)
    assert set(deployed.send(study)) == {SUCCESS}
    return study


def in_project(study_instance_uid: str, project: str) -> dict[str, Any]:
    """Return how far a study has come in one project."""
    told = deployed.state(study_instance_uid)
    rows = [told, *told.get("other_projects", [])]
    return next((row for row in rows if row.get("project") == project), {})


def wait_until(study: list[Dataset], state: str, project: str = "default") -> dict[str, Any]:
    uid = str(study[0].StudyInstanceUID)

    def now() -> dict[str, Any] | None:
        row = in_project(uid, project)
        return row if row.get("state") == state else None

    found: dict[str, Any] = deployed.wait_for(f"it is {state} in {project}", now, 180)
    return found


def decide(study: list[Dataset], operation: str, **body: Any) -> httpx.Response:
    found = deployed.orthanc_id("phi", str(study[0].StudyInstanceUID))
    with deployed.client("phi") as phi:
        return phi.post(f"/deid/v1/studies/{found}/{operation}", json=body)


def test_a_study_goes_out_as_it_is_when_a_person_releases_it() -> None:
    study = sent(BurnedInAnnotation="YES")
    told = wait_until(study, "quarantined")
    assert told["can_be_released"]
    assert decide(study, "release").status_code == httpx.codes.CONFLICT  # it needs a note
    assert decide(study, "release", note="a ruler").status_code == httpx.codes.ACCEPTED
    new_uid = deployed.delivered(str(study[0].StudyInstanceUID), 2)
    pixels = {bytes(dcmread(BytesIO(file)).PixelData) for file in deployed.files_on_anon(new_uid)}
    assert pixels == {bytes(study[0].PixelData)}


def test_a_rejected_study_stays_until_it_is_retried() -> None:
    study = sent(BurnedInAnnotation="YES")
    wait_until(study, "quarantined")
    assert decide(study, "reject", note="a name").status_code == httpx.codes.ACCEPTED
    assert decide(study, "release", note="why").status_code == httpx.codes.CONFLICT
    told = wait_until(study, "rejected")
    assert told["reason"] == "a name"
    assert decide(study, "retry").status_code == httpx.codes.ACCEPTED
    wait_until(study, "quarantined")


def test_a_withdrawn_study_is_gone_everywhere_and_nothing_of_it_comes_back() -> None:
    study = sent(3)
    uid = str(study[0].StudyInstanceUID)
    new_uid = deployed.delivered(uid, 3)
    files = deployed.files_on_disk(new_uid)
    for _ in range(2):
        answer = decide(study, "withdraw", note="consent withdrawn")
        assert answer.status_code == httpx.codes.ACCEPTED
    told = wait_until(study, "withdrawn")
    assert {row["state"] for row in told["destinations"]} == {"withdrawn"}
    for kind in ("anon", "disk"):
        assert deployed.orthanc_id(kind, new_uid) is None
    assert [path for path in files if path.exists()] == []
    assert not files[0].parent.exists()
    late, _ = planted_study("CT_small.dcm", 1)
    late[0].StudyInstanceUID = uid
    late[0].PatientID = study[0].PatientID
    late[0].PatientName = study[0].PatientName
    assert set(deployed.send(late)) == {SUCCESS}
    deployed.wait_for("it arrived", lambda: len(deployed.instances_on("phi", uid)) == 4)
    # A study that is sent afterwards overtakes nothing: it is done, so the other would be, too.
    deployed.delivered(str(sent()[0].StudyInstanceUID), 2)
    assert deployed.orthanc_id("anon", new_uid) is None
    assert decide(study, "retry").status_code == httpx.codes.CONFLICT


def test_a_result_waits_in_its_project_until_a_person_releases_it() -> None:
    study = sent()
    uid = str(study[0].StudyInstanceUID)
    ours = deployed.delivered(uid, 2)
    answer = decide(study, "anonymize", project="reviewed")
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    theirs = wait_until(study, "review", "reviewed")["anonymous_study_uid"]
    assert theirs not in {ours, uid}
    assert deployed.orthanc_id("anon", theirs) is None
    shown = deployed.files_on("phi", theirs)
    assert {str(dcmread(BytesIO(file)).PatientName)[:6] for file in shown} == {"REV^ID"}
    assert decide(study, "release").status_code == httpx.codes.CONFLICT  # it is in two projects
    assert decide(study, "release", project="reviewed").status_code == httpx.codes.ACCEPTED
    wait_until(study, "delivered", "reviewed")
    assert sorted(deployed.files_on_anon(theirs)) == sorted(shown)
    assert deployed.orthanc_id("phi", theirs) is None
    assert deployed.orthanc_id("phi", uid) is not None
    assert deployed.orthanc_id("disk", theirs) is None  # the project does not name it
    mine, other = (dcmread(BytesIO(deployed.files_on_anon(one)[0])) for one in (ours, theirs))
    for keyword in ("PatientID", "SOPInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert mine[keyword].value != other[keyword].value, keyword


def test_another_profile_takes_the_place_of_the_first_one() -> None:
    study = sent()
    uid = str(study[0].StudyInstanceUID)
    new_uid = deployed.delivered(uid, 2)
    assert {str(dcmread(BytesIO(f)).StudyDate) for f in deployed.files_on_anon(new_uid)} != {
        "20190827"
    }
    assert decide(study, "retry", profile="basic").status_code == httpx.codes.CONFLICT
    assert decide(study, "retry", profile="full_dates").status_code == httpx.codes.ACCEPTED

    def replaced() -> bool:
        files = [
            *deployed.files_on_anon(new_uid),
            *(path.read_bytes() for path in deployed.files_on_disk(new_uid)),
        ]
        dates = {str(dcmread(BytesIO(file)).StudyDate) for file in files}
        return len(files) == 4 and dates == {"20190827"}

    deployed.wait_for("both destinations have the other result", replaced, 180)


@contextmanager
def nearly_full() -> Iterator[None]:
    """Have PHI take its disk for nearly full, by a limit below what is used."""
    before = SETTINGS.read_text()
    settings = json.loads(before)
    settings["disk_limit"] = {"percent": 100, "reserve": 1 << 60}
    try:
        SETTINGS.write_text(json.dumps(settings))
        _restart_phi()
        yield
    finally:
        SETTINGS.write_text(before)
        _restart_phi()


def _restart_phi() -> None:
    deployed.docker("restart", "e2e-phi")

    def answers() -> bool:
        with deployed.client("phi") as phi:
            return phi.get("/deid/v1/status").is_success

    deployed.wait_for("PHI answers", answers)


def test_phi_refuses_what_is_new_while_its_disk_is_nearly_full_and_then_goes_on() -> None:
    study, _ = planted_study("CT_small.dcm", 2)
    buffer = BytesIO()
    study[0].save_as(buffer)
    with nearly_full(), deployed.client("phi") as phi:
        assert set(deployed.send(study)) == {OUT_OF_RESOURCES}
        refused = phi.post("/instances", content=buffer.getvalue())
        assert refused.status_code == httpx.codes.INSUFFICIENT_STORAGE
        assert phi.get("/deid/v1/status").json()["disk"]["refusing"] is True
        assert phi.get("/instances?since=0&limit=1").is_success
        assert phi.post("/dicom-web/studies", content=b"x").status_code == httpx.codes.FORBIDDEN
        assert deployed.orthanc_id("phi", str(study[0].StudyInstanceUID)) is None
    assert set(deployed.send(study)) == {SUCCESS}
    deployed.delivered(str(study[0].StudyInstanceUID), 2)


@pytest.mark.parametrize("content", [b"", b"not DICOM"])
def test_what_is_no_dicom_is_refused_as_by_orthanc_itself(content: bytes) -> None:
    with deployed.client("phi") as phi, deployed.client("anon") as anon:
        mine = phi.post("/instances", content=content)
        orthancs = anon.post("/instances", content=content)
    assert mine.status_code == orthancs.status_code == httpx.codes.BAD_REQUEST
