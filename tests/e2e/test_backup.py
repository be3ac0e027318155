"""The drill: back up under traffic, lose everything, restore it onto the empty host."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

import deployed
from deployed import CONFIG
from planted import planted_study

BACKUPS = Path("/var/backups/orthanc-e2e/phi")
PATIENTS = ("DRILL-1", "DRILL-2", "DRILL-3")
SUBJECTS = "SELECT to_jsonb(s) FROM subjects s ORDER BY id"


@dataclass(frozen=True)
class Drill:
    """The identity that opens the backups, one of them, and what they must bring back."""

    identity: Path
    encrypting: tuple[str, str]
    backup: Path
    studies: list[list[Dataset]]
    pseudonyms: list[str]
    subjects: str
    uid_key: str


@pytest.fixture(scope="module")
def drill(site: deployed.Runs, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    """Encrypt the site's backups, let studies of three patients through, and back up meanwhile."""
    assert site
    away = tmp_path_factory.mktemp("away")
    identity = away / "identity.txt"
    subprocess.run(["age-keygen", "-o", str(identity)], capture_output=True, check=True)
    told = next(line for line in identity.read_text().splitlines() if "public key" in line)
    recipients = {"orthanc_site_backup_recipients": [told.rpartition(" ")[2]]}
    encrypting = ("-e", json.dumps(recipients))
    deployed.playbook("site", "--tags", "phi", *encrypting)
    studies = [planted_study("CT_small.dcm", 2, patient=patient)[0] for patient in PATIENTS]
    pseudonyms = []
    for study in studies:
        assert set(deployed.send(study)) == {0}
        pseudonyms.append(pseudonym(deployed.delivered(study[0].StudyInstanceUID, 2)))
    traffic, _ = planted_study("MR_small.dcm", 60, patient=PATIENTS[0])
    sender = threading.Thread(target=deployed.send, args=(traffic,))
    sender.start()
    deployed.playbook("backup", *encrypting)
    sender.join()
    # Another one of the same hour would take its place.
    backup = shutil.copytree(newest(), away / newest().name)
    return Drill(
        identity, encrypting, backup, studies, pseudonyms,
        philookup(SUBJECTS), deployed.secret("phi", "uid_key"),
    )  # fmt: skip


def newest() -> Path:
    return max(BACKUPS.glob("2*Z"))


def philookup(sql: str) -> str:
    return deployed.docker(
        "exec", "e2e-phi-db", "psql", "-XAt", "-U", "postgres", "-d", "philookup", "-c", sql
    )


def pseudonym(anonymous_study_uid: str) -> str:
    first = dcmread(BytesIO(deployed.files_on_anon(anonymous_study_uid)[0]))
    return f"{first.PatientID} {first.PatientName} {first.StudyDate} {anonymous_study_uid}"


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the backups' program as cron does."""
    return subprocess.run(
        ["python3", "-B", "-m", "orthanc_backup", *arguments],
        cwd=CONFIG / "phi/backup", capture_output=True, text=True, check=False,
    )  # fmt: skip


def restored(drill: Drill, backup: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook that restores."""
    return deployed.playbook(
        "restore", "-e", f"restore_from={backup}", "-e", f"restore_identity={drill.identity}",
        *drill.encrypting, *more, check=False,
    )  # fmt: skip


def test_a_backup_under_traffic_is_proven_and_told(drill: Drill) -> None:
    state = json.loads((BACKUPS / "state.json").read_text())
    proof = json.loads((drill.backup / "proof.json").read_text())

    assert (state["backup"], state["error"]) == (drill.backup.name, "")
    assert proof["tables"]["philookup"]["public.subjects"] >= len(PATIENTS)
    assert program("watch").returncode == 0


def test_nothing_in_an_encrypted_backup_can_be_read_without_the_identity(drill: Drill) -> None:
    content = b"".join(file.read_bytes() for file in drill.backup.iterdir())

    assert not [text for text in (*PATIENTS, drill.uid_key) if text.encode() in content]
    for file in (BACKUPS, drill.backup, *drill.backup.iterdir()):
        assert file.stat().st_uid == 0
        assert file.stat().st_mode & 0o077 == 0, file


def test_cron_makes_the_backups(drill: Drill) -> None:
    assert drill
    (line,) = [
        line for line in Path("/etc/cron.d/e2e-phi-backup").read_text().splitlines()
        if "orthanc_backup create" in line
    ]  # fmt: skip

    assert line.startswith("17 * * * * root ")
    command = line.split("root ", 1)[1]
    subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=False
    )
    assert newest().name > drill.backup.name


def test_a_damaged_backup_is_refused_with_the_reason_and_nothing_is_changed(
    drill: Drill, tmp_path: Path
) -> None:
    damaged = shutil.copytree(drill.backup, tmp_path / drill.backup.name)
    dump = bytearray((damaged / "philookup.dump.age").read_bytes())
    dump[len(dump) // 2] ^= 1
    (damaged / "philookup.dump.age").write_bytes(dump)

    checked = program("check", str(damaged), "--identity", str(drill.identity))
    assert checked.returncode == 1
    assert "philookup.dump.age is not what was written" in checked.stderr


def test_a_backup_that_fails_is_told_and_the_last_good_one_stays(drill: Drill) -> None:
    assert drill
    kept = newest()
    deployed.docker("rename", "e2e-phi-db", "e2e-phi-db-away")
    try:
        assert program("create").returncode == 1
    finally:
        deployed.docker("rename", "e2e-phi-db-away", "e2e-phi-db")
    state = json.loads((BACKUPS / "state.json").read_text())

    assert "No such container" in state["error"]
    assert state["backup"] == kept.name
    assert newest() == kept
    assert "failed" in program("watch").stderr


def test_backups_beyond_the_rule_are_removed(drill: Drill) -> None:
    assert drill
    proven = newest()
    for hour in range(30):
        old = shutil.copytree(proven, BACKUPS / f"20200101T{hour % 24:02}{hour:02}00Z")
        manifest = json.loads((old / "manifest.json").read_text())
        (old / "manifest.json").write_text(json.dumps({**manifest, "moment": old.name}))

    assert program("create").returncode == 0
    left = {path.name for path in BACKUPS.glob("2*Z")}
    assert max(left) > proven.name
    assert len([name for name in left if name.startswith("2020")]) < 24


def test_the_empty_host_gets_everything_back(drill: Drill) -> None:
    deployed.playbook("remove", "-e", "{orthanc_site_remove_data: true}")
    assert not CONFIG.exists()

    done = restored(drill, drill.backup)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "philookup was empty and is restored" in done.stdout
    assert "What came later is not in it" in done.stdout
    assert drill.uid_key not in done.stdout
    assert deployed.secret("phi", "uid_key") == drill.uid_key
    assert philookup(SUBJECTS) == drill.subjects
    for study, before in zip(drill.studies, drill.pseudonyms, strict=True):
        assert set(deployed.send(study)) == {0}
        assert pseudonym(deployed.delivered(study[0].StudyInstanceUID, 2)) == before


def test_a_crosswalk_that_holds_more_is_not_overwritten(drill: Drill) -> None:
    study, _ = planted_study("CT_small.dcm", 1, patient="DRILL-AFTERWARDS")
    assert set(deployed.send(study)) == {0}
    deployed.delivered(study[0].StudyInstanceUID, 1)
    held = philookup(SUBJECTS)

    refused = program("restore", str(drill.backup), "--identity", str(drill.identity))
    assert refused.returncode == 1
    assert "rows in public.subjects that the backup does not have" in refused.stderr
    assert philookup(SUBJECTS) == held
