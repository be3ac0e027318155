"""The site as its administrator deploys it, changes it and looks into it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

import deployed
from deployed import CONFIG, CONTAINERS, Runs


def secrets() -> list[str]:
    """Every secret of the site."""
    found = [
        file.read_text().strip()
        for file in CONFIG.glob("*/secrets/**/*")
        if file.is_file() and file.suffix != ".json"
    ]
    assert len(found) >= 9
    return found


def test_check_mode_works_before_the_first_deployment_and_announces_the_containers(
    site: Runs,
) -> None:
    for name in ("e2e-anon", "e2e-disk", "e2e-phi"):
        assert f"{name} would be made" in site.predicted.stdout
    assert deployed.changed(site.predicted) > 20


def test_no_run_shows_a_secret(site: Runs) -> None:
    shown = site.predicted.stdout + site.first.stdout + site.first.stderr
    assert not [secret for secret in secrets() if secret in shown]
    assert "PRIVATE KEY" not in shown


def test_a_second_run_only_looks_and_changes_nothing() -> None:
    done = deployed.playbook("site")
    assert deployed.changed(done) == 0
    assert "Run the database's container of" not in done.stdout
    assert "Wait for a healthy e2e-phi" in done.stdout


def test_a_run_that_does_every_step_changes_nothing_either() -> None:
    done = deployed.playbook("site", "-e", "orthanc_site_seal=false")
    assert deployed.changed(done) == 0
    assert "Run the database's container of e2e-phi" in done.stdout


def test_what_was_changed_by_hand_is_put_right_and_nothing_else_restarts() -> None:
    secret = CONFIG / "anon/secrets/service"
    watch = Path("/etc/cron.d/e2e-phi-certificates")
    before = {name: deployed.inspect(name)["Id"] for name in CONTAINERS}
    secret.chmod(0o644)
    watch.unlink()
    deployed.docker("rm", "--force", "e2e-disk-db")

    predicted = deployed.playbook("site", "--check")
    assert deployed.changed(predicted) > 0
    assert secret.stat().st_mode & 0o777 == 0o644, "check mode changes nothing"
    deployed.playbook("site")

    assert secret.stat().st_mode & 0o777 == 0o400
    assert watch.is_file()
    after = {name: deployed.inspect(name)["Id"] for name in CONTAINERS}
    assert {name for name in CONTAINERS if before[name] != after[name]} == {"e2e-disk-db"}
    assert deployed.changed(deployed.playbook("site")) == 0


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_has_no_rights_that_it_does_not_need(container: str) -> None:
    found = deployed.inspect(container)
    user = found["Config"]["User"].partition(":")[0]
    assert user in ("10843", "999")
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert not found["HostConfig"]["CapAdd"]
    assert not found["HostConfig"]["Privileged"]
    assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
    assert not [mount for mount in found["Mounts"] if "docker.sock" in mount["Source"]]
    status = deployed.docker("exec", container, "cat", "/proc/1/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)


@pytest.mark.parametrize("container", CONTAINERS)
def test_no_secret_is_in_what_docker_or_the_process_list_tells(container: str) -> None:
    told = (
        deployed.docker("inspect", container)
        + deployed.docker("logs", container)
        + deployed.docker("top", container)
    )
    assert not [secret for secret in secrets() if secret in told]


@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
def test_an_orthanc_answers_only_to_its_accounts_over_verified_tls(kind: str) -> None:
    with deployed.client(kind) as orthanc:
        assert orthanc.get("/system").json()["DicomAet"] == kind.upper()
    with deployed.client(kind, password="wrong-password") as stranger:
        assert stranger.get("/system").status_code == httpx.codes.UNAUTHORIZED
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"https://localhost:{deployed.PORTS[kind]}/system")


def test_secrets_and_data_are_closed_to_others() -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    for path in (
        "anon/secrets/administrator",
        "phi/deid/uid.key",
        "ca/ca.key",
        "phi/orthanc/orthanc.json",
    ):
        read = subprocess.run([*nobody, "cat", CONFIG / path], capture_output=True, check=False)
        assert read.returncode, path
    owner = (deployed.TREE.parent / "phi/postgres/17").stat()
    assert (owner.st_uid, owner.st_gid, owner.st_mode & 0o077) == (999, 999, 0)


def test_a_setting_of_disk_recreates_only_the_orthanc_of_disk() -> None:
    before = {name: deployed.inspect(name)["Id"] for name in CONTAINERS}
    deployed.playbook("site", "-e", "orthanc_disk_stable_age=4")
    after = {name: deployed.inspect(name)["Id"] for name in CONTAINERS}
    assert {name for name in CONTAINERS if before[name] != after[name]} == {"e2e-disk"}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_killed_container_comes_back_healthy(container: str) -> None:
    # Not `docker kill`, after which the engine leaves a container alone.
    os.kill(deployed.inspect(container)["State"]["Pid"], signal.SIGKILL)
    time.sleep(1)
    deployed.wait_for(
        f"{container} is healthy again",
        lambda: deployed.inspect(container)["State"].get("Health", {}).get("Status") == "healthy",
    )


def test_all_mistakes_of_an_inventory_are_told_at_once_and_nothing_is_changed() -> None:
    done = deployed.playbook(
        "site",
        "-e",
        '{"orthanc_phi_tag_actions": {"StationNme": "keep", "0018,1030": "destroy"},'
        ' "orthanc_phi_pixel_rules": [{"name": "Room 3", "where": {"Modality": "US"}, "blnk": []}],'
        ' "orthanc_phi_aet": "A TITLE THAT IS TOO LONG", "orthanc_site_uid": 0,'
        ' "orthanc_disk_http_port": 28043, "orthanc_phi_htp_port": 3,'
        ' "orthanc_anon_data_dir": "/srv/orthanc-e2e/disk/inside",'
        ' "orthanc_site_certificate_subject": {},'
        ' "orthanc_phi_passwords": {"administrator": "a$b"}}',
        check=False,
    )
    assert done.returncode
    assert deployed.changed(done) == 0
    for told in (
        "StationName", "destroy", "orthanc_phi_pixel_rules", "did you mean blank?",
        "A TITLE THAT IS TOO LONG", "orthanc_phi_uid is 0", "28043",
        "did you mean orthanc_phi_http_port?", "/srv/orthanc-e2e/disk/inside", "organizationName",
        "orthanc_phi_passwords",
    ):  # fmt: skip
        assert told in done.stdout
    assert "a$b" not in done.stdout
