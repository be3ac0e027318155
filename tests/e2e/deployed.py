"""The site that the end-to-end tests deploy on this machine, and what they ask of it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.presentation import build_context

ROOT = Path(__file__).resolve().parents[2]
VARS = ROOT / "tests/e2e/site_vars.yml"
CONFIG = Path("/etc/orthanc-e2e")
TREE = Path("/srv/orthanc-e2e/tree")
PORTS = {"phi": 28042, "anon": 28043, "disk": 28044}
DICOM_PORT = 24242
FRONT = 28443
CONTAINERS = (
    "e2e-phi", "e2e-phi-db", "e2e-phi-worker-1", "e2e-phi-worker-2",
    "e2e-anon", "e2e-anon-db", "e2e-disk", "e2e-disk-db",
)  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """What the playbook's first runs printed."""

    predicted: subprocess.CompletedProcess[str]
    first: subprocess.CompletedProcess[str]


def playbook(name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection on the tests' site."""
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "inventories/demo",
        "-i",
        "tests/e2e/inventory.yml",
        f"playbooks/{name}.yml",
        "-e",
        f"@{VARS}",
        *arguments,
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(command)} failed:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
        )
    return done


def changed(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many tasks of a run changed something."""
    return sum(int(word[8:]) for word in done.stdout.split() if word.startswith("changed="))


def docker(*arguments: str) -> str:
    """Return what a docker command prints, on both streams."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def inspect(container: str) -> dict[str, Any]:
    """Return what Docker knows of a container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return found[0]


def wait_for(what: str, question: Callable[[], Any], seconds: float = 120) -> Any:
    """Return the first true answer; fail with what was waited for when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"after {seconds:g} s still not: {what}")


def secret(kind: str, name: str) -> str:
    """Return a secret of the tests' site."""
    return (CONFIG / kind / "secrets" / name).read_text().strip()


def client(kind: str, user: str = "administrator", password: str | None = None) -> httpx.Client:
    """Return a client of one Orthanc that trusts the site's authority only."""
    trust = ssl.create_default_context(cafile=CONFIG / "ca/ca.crt")
    auth = (user, secret(kind, user) if password is None else password)
    return httpx.Client(
        base_url=f"https://localhost:{PORTS[kind]}", auth=auth, verify=trust, timeout=30
    )


def send(instances: Iterable[Dataset], aet: str = "SCANNER") -> list[int | None]:
    """Send instances to PHI by C-STORE; returns the statuses of those that it answered to."""
    instances = list(instances)
    scanner = AE(ae_title=aet)
    scanner.requested_contexts = [
        build_context(*pair)
        for pair in sorted(
            {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in instances}
        )
    ]
    association = scanner.associate("127.0.0.1", DICOM_PORT, ae_title="PHI")
    if not association.is_established:
        return []
    statuses: list[int | None] = []
    with contextlib.suppress(RuntimeError):  # PHI went away in the middle
        statuses += (getattr(association.send_c_store(one), "Status", None) for one in instances)
    association.release()
    return statuses


def orthanc_id(kind: str, study_instance_uid: str) -> str | None:
    """Return an Orthanc's identifier of a study, or None."""
    query = {"Level": "Study", "Query": {"StudyInstanceUID": study_instance_uid}}
    with client(kind) as orthanc:
        found = orthanc.post("/tools/find", json=query).raise_for_status().json()
    return found[0] if found else None


def state(study_instance_uid: str) -> dict[str, Any]:
    """Return how far a study has come, as PHI tells it; empty while it does not know it."""
    study = orthanc_id("phi", study_instance_uid)
    with client("phi") as orthanc:
        answer = orthanc.get(f"/deid/v1/studies/{study}")
    return answer.json() if answer.status_code == httpx.codes.OK else {}


def delivered(study_instance_uid: str, instances: int, seconds: float = 180) -> str:
    """Wait until all instances of a study are on Anon and Disk; return its new Study Instance UID.

    On a slow machine a study may rest in the middle of being sent; it is then delivered in parts.
    """

    def arrived() -> str | None:
        now = state(study_instance_uid)
        assert now.get("state") != "quarantined", now
        if now.get("state") != "delivered":
            return None
        new_uid = str(now["anonymous_study_uid"])
        held = len(instances_on("anon", new_uid)), len(files_on_disk(new_uid))
        return new_uid if held == (instances, instances) else None

    return str(wait_for(f"all {instances} instances are delivered", arrived, seconds))


def instances_on(kind: str, study_instance_uid: str) -> list[str]:
    """Return an Orthanc's identifiers of a study's instances."""
    study = orthanc_id(kind, study_instance_uid)
    with client(kind) as orthanc:
        found = orthanc.get(f"/studies/{study}/instances").raise_for_status().json()
    return [instance["ID"] for instance in found]


def files_on(kind: str, study_instance_uid: str) -> list[bytes]:
    """Return every file of a study that an Orthanc holds."""
    with client(kind) as orthanc:
        return [
            orthanc.get(f"/instances/{instance}/file").raise_for_status().content
            for instance in instances_on(kind, study_instance_uid)
        ]


def files_on_anon(anonymous_study_uid: str) -> list[bytes]:
    """Return every file of a study on Anon."""
    return files_on("anon", anonymous_study_uid)


def files_on_disk(anonymous_study_uid: str) -> list[Path]:
    """Return every file of a study in the tree of Disk."""
    study = orthanc_id("disk", anonymous_study_uid)
    with client("disk") as orthanc:
        folder = orthanc.get(f"/disk/studies/{study}").raise_for_status().json()["folder"]
    return sorted((TREE / folder).rglob("*.dcm"))
