"""Operations on a site with data, each cut off once: certificates, secrets, moments, versions."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import deployed
from deployed import CONFIG, ROOT, VARS
from planted import planted_study

PHI = CONFIG / "phi"
POSTGRES = Path("/srv/orthanc-e2e/phi/postgres")


def subject_of(patient: str) -> list[str]:
    """Return number and date offset of a patient, as the crosswalk has them."""
    return philookup(
        "SELECT number, date_offset FROM subjects JOIN patient_identifiers ON subject_id = id "
        f"WHERE patient_id = '{patient}'"
    ).split("|")


def philookup(sql: str) -> str:
    return deployed.docker(
        "exec", "e2e-phi-db", "psql", "-XAt", "-U", "postgres", "-d", "philookup", "-c", sql
    ).strip()


def through(patient: str) -> list[str]:
    """Send a study of a patient, wait until it is delivered, and return the patient's subject."""
    study, _ = planted_study("CT_small.dcm", 2, patient=patient)
    assert set(deployed.send(study)) == {0}
    deployed.delivered(study[0].StudyInstanceUID, 2)
    return subject_of(patient)


def started(container: str) -> str:
    return str(deployed.inspect(container)["State"]["StartedAt"])


def cut_off(name: str, task: str, *arguments: str) -> None:
    """Start a playbook and kill it when it comes to a task."""
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventories/demo",
        "-i", "tests/e2e/inventory.yml", f"playbooks/{name}.yml", "-e", f"@{VARS}", *arguments,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout
        for line in running.stdout:
            if line.startswith("TASK") and task in line:
                os.killpg(running.pid, signal.SIGKILL)
                return
    raise AssertionError(f"{name} never came to {task}")


def serves(kind: str) -> str:
    """Return when the certificate ends that an Orthanc serves, as soon as it answers."""
    command = f"openssl s_client -connect 127.0.0.1:{deployed.PORTS[kind]} </dev/null 2>/dev/null"

    def ends() -> str:
        told = subprocess.run(
            f"{command} | openssl x509 -noout -enddate",
            shell=True, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return told.stdout.strip()

    return str(deployed.wait_for(f"{kind} serves a certificate", ends))


def watch(kind: str) -> subprocess.CompletedProcess[str]:
    """Look at the certificates as cron does."""
    return subprocess.run(
        ["python3", "-B", "-m", "orthanc_certificates", "watch"],
        cwd=CONFIG / kind / "certificates", capture_output=True, text=True, check=False,
    )  # fmt: skip


def let_end_soon(kind: str, name: str, place: Path) -> None:
    """Put a certificate of one day in the place of one, signed by the site's authority."""
    tls, ca = CONFIG / kind / "tls", CONFIG / "ca"
    signed = subprocess.run(
        ["openssl", "x509", "-req", "-in", tls / f"{name}.csr", "-CA", ca / "ca.crt", "-CAkey",
         ca / "ca.key", "-days", "1", "-copy_extensions", "copyall"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (tls / f"{name}.crt").write_text(signed)
    (place / "server.pem").write_text(signed + (tls / f"{name}.key").read_text())


def test_a_certificate_is_renewed_in_time_and_only_its_server_restarts() -> None:
    let_end_soon("phi", "orthanc", PHI / "orthanc/tls")
    before = {name: started(name) for name in deployed.CONTAINERS}
    old = serves("phi")

    done = watch("phi")
    assert done.returncode == 0, done.stderr
    assert "The certificate orthanc of e2e-phi was renewed." in done.stdout
    deployed.wait_for("PHI serves its new certificate", lambda: serves("phi") != old)
    assert {name for name, when in before.items() if started(name) != when} == {"e2e-phi"}
    deployed.wait_for("PHI answers", lambda: deployed.client("phi").get("/system").is_success)


def test_postgresql_reads_a_new_certificate_without_a_restart() -> None:
    let_end_soon("phi", "postgres", PHI / "postgres/tls")
    before = started("e2e-phi-db")

    assert "e2e-phi-db has read its new certificate." in watch("phi").stdout
    assert started("e2e-phi-db") == before
    assert watch("phi").stdout == ""
    assert deployed.changed(deployed.playbook("renew_certificates")) == 0


@pytest.mark.operations
def test_the_playbook_renews_all_when_asked_and_then_finds_nothing_to_do() -> None:
    old = {kind: serves(kind) for kind in deployed.PORTS}
    cut_off("renew_certificates", "Place certificate and key", "-e", "renew_all=true")
    deployed.playbook("renew_certificates", "-e", "renew_all=true")

    assert not [kind for kind, end in old.items() if serves(kind) == end]
    assert deployed.changed(deployed.playbook("site")) == 0
    assert through("AFTER-CERTIFICATES")


@pytest.mark.operations
def test_secrets_are_rotated_and_the_patients_keep_their_pseudonyms() -> None:
    before = through("ROTATED")
    names = [path.name for path in (PHI / "secrets").iterdir() if path.suffix != ".json"]
    old = {name: deployed.secret("phi", name) for name in names}
    uid_key, ca_key = old.pop("uid_key"), (CONFIG / "ca/ca.key").read_text()
    old.pop("wal_key", None)
    service = deployed.secret("anon", "service")

    cut_off("rotate_secrets", "Make the accounts, databases and extensions")
    deployed.playbook("rotate_secrets")
    assert {name for name in old if deployed.secret("phi", name) == old[name]} == set()
    assert (deployed.secret("phi", "uid_key"), (CONFIG / "ca/ca.key").read_text()) == (
        uid_key, ca_key,
    )  # fmt: skip
    refused = deployed.client("anon", "service", service).get("/system")
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert through("ROTATED") == before
    assert deployed.changed(deployed.playbook("site")) == 0


def test_the_uid_key_is_not_made_anew_without_the_words_that_confirm_it() -> None:
    before = deployed.secret("phi", "uid_key"), deployed.secret("phi", "service")

    refused = deployed.playbook("rotate_secrets", "-e", "rotate_uid_key=true", check=False)
    assert refused.returncode != 0
    assert "gets other UIDs" in refused.stdout
    assert (deployed.secret("phi", "uid_key"), deployed.secret("phi", "service")) == before


@pytest.mark.operations
def test_removing_keeps_the_data_and_deploying_again_brings_everything_back() -> None:
    before = through("REMOVED")
    cut_off("remove", "Remove the network")
    deployed.playbook("remove")
    assert not [name for name in deployed.CONTAINERS if name in deployed.docker("ps", "-a")]

    deployed.playbook("site")
    assert through("REMOVED") == before


@pytest.mark.operations
def test_a_withdrawal_that_was_cut_off_is_completed_by_the_next_one() -> None:
    study, _ = planted_study("CT_small.dcm", 2, patient="WITHDRAWN")
    deployed.send(study)
    new_uid = deployed.delivered(study[0].StudyInstanceUID, 2)
    told = ("-e", f"withdraw_study={study[0].StudyInstanceUID}", "-e", "withdraw_note=consent")

    unconfirmed = deployed.playbook("withdraw", *told, check=False)
    assert "Nothing was withdrawn." in unconfirmed.stdout
    assert deployed.orthanc_id("anon", new_uid)

    cut_off("withdraw", "Withdraw, and look whether", *told, "-e", "withdraw_confirm=yes")
    deployed.playbook("withdraw", *told, "-e", "withdraw_confirm=yes")
    assert (deployed.orthanc_id("anon", new_uid), deployed.orthanc_id("disk", new_uid)) == (
        None,
        None,
    )
    assert deployed.orthanc_id("phi", study[0].StudyInstanceUID)
    again = deployed.playbook("withdraw", *told, "-e", "withdraw_confirm=yes")
    assert deployed.changed(again) == 0


@pytest.mark.operations
def test_a_verification_that_was_cut_off_leaves_no_test_study() -> None:
    cut_off("verify", "Send a test study through the site")
    held = len(deployed.client("phi").get("/studies").json())
    deployed.playbook("verify", check=False)
    assert len(deployed.client("phi").get("/studies").json()) <= held


@pytest.mark.operations
def test_images_are_saved_whole_or_described_not_at_all(tmp_path: Path) -> None:
    archive = tmp_path / "images.tar"
    to = ("-e", f"orthanc_site_image_archive={archive}")
    cut_off("images", "Write the archive", *to)
    assert not archive.with_name("images.tar.json").exists()

    deployed.playbook("images", *to)
    told = json.loads(archive.with_name("images.tar.json").read_text())
    with archive.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == told["sha256"]
    assert {"orthanc", "postgres", "orthanc_phi"} <= told["images"].keys()
    assert deployed.changed(deployed.playbook("site")) == 0


@pytest.fixture
def archived() -> Iterator[tuple[str, str]]:
    """A site that archives every change of PHI's databases."""
    setting = ("-e", "orthanc_phi_backup_wal=true")
    deployed.playbook("site", "--tags", "phi", *setting)
    yield setting
    deployed.playbook("site", "--tags", "phi")


@pytest.mark.operations
def test_the_databases_go_back_to_a_moment(archived: tuple[str, str]) -> None:
    kept = through("BEFORE-THE-MOMENT")
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    through("AFTER-THE-MOMENT")
    philookup("DELETE FROM events")  # the accident

    to = (*archived, "-e", json.dumps({"restore_to": moment}))
    cut_off("restore", "Wait until PostgreSQL has reached the moment", *to)
    done = deployed.playbook("restore", *to)
    assert f"PostgreSQL goes back to {moment}" in done.stdout
    assert subject_of("BEFORE-THE-MOMENT") == kept
    assert subject_of("AFTER-THE-MOMENT") == [""]
    assert int(philookup("SELECT count(*) FROM events"))
    assert through("BEFORE-THE-MOMENT") == kept


OLD_POSTGRES = """
ARG BASE
FROM ${BASE}
RUN echo 'deb [trusted=yes] http://deb.debian.org/debian bookworm main' \
    > /etc/apt/sources.list.d/old.list \
    && apt-get update -q && apt-get install -qy --no-install-recommends postgresql-15
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""
BROKEN_ORTHANC = """
ARG BASE
FROM ${BASE}
USER root
RUN rm "$(command -v Orthanc)" && ln -s /bin/false /usr/bin/Orthanc
"""


def image(container: str) -> str:
    return str(deployed.inspect(container)["Config"]["Image"])


def built(dockerfile: str, base: str, tag: str) -> None:
    subprocess.run(
        ["docker", "build", "-q", "--build-arg", f"BASE={base}", "-t", tag, "-"],
        input=dockerfile, text=True, check=True, capture_output=True,
    )  # fmt: skip


def version(orthanc: str, postgres: str, major: str) -> tuple[str, str]:
    """Return the settings of a site whose images have these names."""
    names = {
        "orthanc_site_image_source": "pull",
        "container_host_orthanc_plugin_dir": "/usr/share/orthanc/plugins",
        "container_host_postgres_major": major,
    }
    for part, name in {"orthanc": orthanc, "postgres": postgres}.items():
        names[f"container_host_{part}_image"], _, names[f"container_host_{part}_tag"] = (
            name.partition(":")
        )
    return ("-e", json.dumps(names))


@pytest.mark.operations
def test_an_upgrade_takes_the_data_to_a_new_postgresql_and_a_failed_one_goes_back() -> None:
    orthanc, postgres = image("e2e-anon"), image("e2e-phi-db")
    built(OLD_POSTGRES, postgres, "e2e/postgres:15")
    built(BROKEN_ORTHANC, orthanc, "e2e/orthanc:broken")
    deployed.playbook("remove", "-e", "{orthanc_site_remove_data: true}")
    old = version(orthanc, "e2e/postgres:15", "15")
    deployed.playbook("site", *old)
    before = through("UPGRADED")
    assert (POSTGRES / "15/PG_VERSION").read_text().strip() == "15"

    beside = deployed.playbook("site", check=False)  # would begin with an empty crosswalk
    assert "run playbooks/upgrade.yml" in beside.stdout

    broken = version("e2e/orthanc:broken", postgres, "17")
    quick = ("-e", "orthanc_phi_health_timeout=20", "-e", "orthanc_anon_health_timeout=20")
    failed = deployed.playbook("upgrade", "--tags", "phi", *broken, *quick, check=False)
    assert failed.returncode != 0
    assert "e2e-phi is back on the version before, and healthy." in failed.stdout
    assert image("e2e-phi-db") == "e2e/postgres:15"
    assert through("UPGRADED") == before

    cut_off("upgrade", "Move the databases to the new PostgreSQL")
    deployed.playbook("upgrade")
    assert image("e2e-phi-db") == postgres
    assert (POSTGRES / "15/PG_VERSION").exists()
    assert philookup("SHOW server_version").startswith("17")
    assert "-before" not in deployed.docker("ps", "-a", "--format", "{{.Names}}")
    assert through("UPGRADED") == before
    assert deployed.changed(deployed.playbook("site")) == 0
