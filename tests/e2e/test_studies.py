"""Studies on their way from a scanner to Anon and Disk."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import httpx
from pydicom import Dataset, dcmread

import deployed
from deployed import DICOM_PORT
from planted import FILES, planted_study

SUCCESS = 0x0000


def leaks(files: list[bytes], planted: list[str]) -> set[str]:
    """Return what was planted and is in a byte of a file, in upper or lower case."""
    folded = [content.lower() for content in files]
    return {text for text in planted for content in folded if text.encode().lower() in content}


def test_two_hundred_files_with_planted_identifiers_arrive_without_them(tmp_path: Path) -> None:
    made = [planted_study(name, 20) for name in FILES]
    for number, (instances, _) in enumerate(made):
        for instance in instances:
            instance.save_as(tmp_path / f"{number}-{instance.InstanceNumber}.dcm")
    assert len(list(tmp_path.iterdir())) == 200
    sent = subprocess.run(
        ["/usr/bin/storescu", "+sd", "-xf", _profiles(made), "Demo", "-aet", "SCANNER",
         "-aec", "PHI", "localhost", str(DICOM_PORT), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    everything = [text for _, planted in made for text in planted]
    for instances, planted in made:
        new_uid = deployed.delivered(instances[0].StudyInstanceUID, 20)
        on_anon = deployed.files_on_anon(new_uid)
        paths = deployed.files_on_disk(new_uid)
        on_disk = [path.read_bytes() for path in paths]
        assert len(on_anon) == len(on_disk) == 20
        assert sorted(on_anon) == sorted(on_disk)
        assert leaks(on_anon, everything) == set()
        # Another patient's dates may have moved to where this one's were.
        assert not [text for text in planted if any(text in str(path) for path in paths)]


def _profiles(made: list[tuple[list[Dataset], list[str]]]) -> str:
    """Write what storescu proposes: each file's own class and transfer syntax."""
    pairs = sorted({(one[0].SOPClassUID, one[0].file_meta.TransferSyntaxUID) for one, _ in made})
    lines = ["[[TransferSyntaxes]]"]
    for number, (_, syntax) in enumerate(pairs):
        lines += [f"[Syntax{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[Contexts]"]
    lines += [f"PresentationContext{n + 1} = {pair[0]}\\Syntax{n}" for n, pair in enumerate(pairs)]
    lines += ["[[Profiles]]", "[Demo]", "PresentationContexts = Contexts", ""]
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", delete=False) as file:
        file.write("\n".join(lines))
    return file.name


def test_one_patient_keeps_number_and_date_shift_over_studies() -> None:
    first, _ = planted_study("CT_small.dcm", 2, patient="LONGITUDINAL-1")
    second, _ = planted_study("MR_small.dcm", 2, patient="LONGITUDINAL-1")
    for instance in second:
        instance.StudyDate = "20190903"
        instance.IssuerOfPatientID = first[0].IssuerOfPatientID
    after = []
    for study in (first, second):
        assert set(deployed.send(study)) == {SUCCESS}
        after.append(_first(deployed.delivered(study[0].StudyInstanceUID, len(study))))
    assert after[0].PatientID == after[1].PatientID
    assert str(after[0].PatientName).startswith("E2E^ID")
    days = [int(one.StudyDate) for one in after]
    assert days[0] != 20190827
    assert _days_between(*(one.StudyDate for one in after)) == 7


def _days_between(first: str, second: str) -> int:
    from datetime import date  # noqa: PLC0415

    return (date.fromisoformat(second) - date.fromisoformat(first)).days


def _first(new_uid: str) -> Dataset:
    from io import BytesIO  # noqa: PLC0415

    return dcmread(BytesIO(deployed.files_on_anon(new_uid)[0]))


def test_instances_that_come_after_the_delivery_are_delivered_too() -> None:
    study, _ = planted_study("CT_small.dcm", 6)
    assert set(deployed.send(study[:4])) == {SUCCESS}
    new_uid = deployed.delivered(study[0].StudyInstanceUID, 4)
    assert set(deployed.send(study)) == {SUCCESS}
    assert deployed.delivered(study[0].StudyInstanceUID, 6) == new_uid
    assert len(deployed.files_on_anon(new_uid)) == len(deployed.files_on_disk(new_uid)) == 6


def test_a_study_waits_for_a_destination_that_is_down() -> None:
    study, _ = planted_study("MR_small.dcm", 5)
    deployed.docker("stop", "e2e-anon")
    try:
        assert set(deployed.send(study)) == {SUCCESS}
        deployed.wait_for(
            "the worker met the missing destination",
            lambda: deployed.state(study[0].StudyInstanceUID).get("attempts", 0) >= 1,
        )
    finally:
        deployed.docker("start", "e2e-anon")
    new_uid = deployed.delivered(study[0].StudyInstanceUID, 5, 300)
    assert len(deployed.files_on_anon(new_uid)) == len(deployed.files_on_disk(new_uid)) == 5


def test_a_study_without_patient_id_is_quarantined_and_its_original_kept() -> None:
    study, _ = planted_study("CT_small.dcm", 2)
    for instance in study:
        instance.PatientID = ""
    assert set(deployed.send(study)) == {SUCCESS}
    uid = study[0].StudyInstanceUID
    told = deployed.wait_for(
        "it is quarantined",
        lambda: (now := deployed.state(uid)).get("state") == "quarantined" and now,
    )
    assert "Patient" in told["reason"]
    assert deployed.orthanc_id("phi", uid)
    assert told["anonymous_study_uid"] is None or not deployed.orthanc_id(
        "anon", told["anonymous_study_uid"]
    )


def test_what_is_not_whole_dicom_is_refused_at_the_door() -> None:
    whole = Path(_saved(planted_study("CT_small.dcm", 1)[0][0])).read_bytes()
    for content in (b"", b"not DICOM", whole[:300]):
        with deployed.client("phi") as phi:
            assert phi.post("/instances", content=content).status_code == httpx.codes.BAD_REQUEST


def _saved(instance: Dataset) -> str:
    with tempfile.NamedTemporaryFile(suffix=".dcm", delete=False) as file:
        instance.save_as(file.name)
    return file.name


def test_an_unknown_node_is_refused() -> None:
    study, _ = planted_study("CT_small.dcm", 1)
    assert SUCCESS not in deployed.send(study, aet="STRANGER")
    assert deployed.orthanc_id("phi", study[0].StudyInstanceUID) is None


def test_anon_and_disk_refuse_what_is_not_anonymized() -> None:
    study, _ = planted_study("CT_small.dcm", 1)
    content = Path(_saved(study[0])).read_bytes()
    for kind in ("anon", "disk"):
        with deployed.client(kind) as orthanc:
            assert orthanc.post("/instances", content=content).json()["Status"] == "FilteredOut"
        assert deployed.orthanc_id(kind, study[0].StudyInstanceUID) is None


def test_an_anonymized_study_is_not_anonymized_again() -> None:
    study, _ = planted_study("CT_small.dcm", 1)
    deployed.send(study)
    new_uid = deployed.delivered(study[0].StudyInstanceUID, 1)
    anonymous = _first(new_uid)
    assert set(deployed.send([anonymous])) == {SUCCESS}
    asked = deployed.orthanc_id("phi", new_uid)
    with deployed.client("phi") as phi:
        assert (
            phi.post(f"/deid/v1/studies/{asked}/anonymize", json={}).status_code
            == httpx.codes.CONFLICT
        )
