# SPDX-License-Identifier: GPL-3.0-or-later
"""What workers of another host take from the host of the PHI Orthanc."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Ansible = Callable[..., subprocess.CompletedProcess[str]]
Playbook = Callable[..., subprocess.CompletedProcess[str]]
SECRETS = {"uid_key": "Kkey", "philookup": "Ppass", "service": "Spass"}


@pytest.fixture
def play(ansible: Ansible, tmp_path: Path) -> Playbook:
    """Run tasks on a host of workers, of which the PHI Orthanc's host is this machine, too."""
    local = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "orthanc_site_config_dir": str(tmp_path / "etc"),
    }
    inventory = {
        "orthanc_phi": {"hosts": {"phi": {**local, "orthanc_phi_address": "192.0.2.10"}}},
        "orthanc_phi_workers": {"hosts": {"phi2": {**local, "orthanc_phi_address": "192.0.2.13"}}},
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(host: str, *tasks: dict[str, Any], **variables: Any) -> Any:
        plays = [{"hosts": host, "gather_facts": False, "vars": variables, "tasks": list(tasks)}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays))
        return ansible(
            "ansible-playbook", "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "play.yml")
        )

    return run


def role(tasks: str) -> dict[str, Any]:
    return {
        "ansible.builtin.include_role": {
            "name": "imaging.orthanc.orthanc_phi",
            "tasks_from": tasks,
            "public": True,
        }
    }


def told(tmp_path: Path, value: str) -> dict[str, Any]:
    """Return the task that writes a value into a file."""
    file = {"content": f"{{{{ {value} | to_json }}}}", "dest": str(tmp_path / "told")}
    return {"ansible.builtin.copy": {**file, "mode": "0600"}}


def test_workers_of_another_host_read_what_the_phi_host_has(play: Playbook, tmp_path: Path) -> None:
    deid, secrets = tmp_path / "etc/phi/deid", tmp_path / "etc/phi/secrets"
    deid.mkdir(parents=True)
    secrets.mkdir()
    for path, text in {
        deid / "config.json": "for the host itself",
        deid / "uid.key": "Kkey\n",
        deid / "ca.crt": "authority",
        secrets / "workers.json": "for other hosts",
        secrets / "service": "of nobody's business",
    }.items():
        path.write_text(text)
    done = play("phi2", role("worker_host_files"), told(tmp_path, "__orthanc_phi_distant_files"))

    assert done.returncode == 0, done.stdout
    found = {
        Path(one["source"]).name: base64.b64decode(one["content"]).decode()
        for one in json.loads((tmp_path / "told").read_text())
    }
    assert found == {"ca.crt": "authority", "uid.key": "Kkey\n", "workers.json": "for other hosts"}


def test_a_phi_host_that_is_not_there_yet_is_told(play: Playbook) -> None:
    done = play("phi2", role("worker_host_files"))

    assert done.returncode
    assert "The PHI Orthanc on phi has not been deployed for workers on phi2 yet" in " ".join(
        done.stdout.split()
    )


def test_they_find_database_and_orthanc_by_the_phi_hosts_address(
    play: Playbook, tmp_path: Path
) -> None:
    facts = {
        "__orthanc_instance_secret": {"secrets": SECRETS},
        "__orthanc_phi_destinations": [],
    }
    wanted = "[__orthanc_phi_distant_settings, __orthanc_phi_worker_addresses]"
    done = play(
        "phi", role("preflight"), told(tmp_path, wanted), **facts,
        orthanc_phi_forward=False, orthanc_phi_database_port=5433,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    settings, addresses = json.loads((tmp_path / "told").read_text())
    assert (settings["database"]["host"], settings["database"]["port"]) == ("192.0.2.10", 5433)
    assert settings["database"]["user"] == "philookup"
    assert settings["orthanc"]["url"] == "https://192.0.2.10:8042"
    assert settings["orthanc"]["user"] == "service"
    assert addresses == ["192.0.2.13"]


def test_what_workers_could_not_reach_is_told(play: Playbook, tmp_path: Path) -> None:
    done = play(
        "phi", role("preflight"), told(tmp_path, "orthanc_site_errors"),
        orthanc_phi_forward=False, orthanc_phi_database_bind=[],
        orthanc_phi_worker_hosts=["phi2", "phi"],
    )  # fmt: skip
    errors = " ".join(json.loads((tmp_path / "told").read_text()))

    assert done.returncode == 0, done.stdout
    assert "add 192.0.2.10 (orthanc_phi_address)" in errors
    assert "orthanc_phi_database_bind is empty" in errors


def test_their_host_is_judged_with_all_that_every_host_notes(play: Playbook) -> None:
    judge = {
        "ansible.builtin.include_role": {
            "name": "imaging.orthanc.orthanc_instance",
            "tasks_from": "judge",
        }
    }
    subject = {"organizationName": "Example Hospital"}
    done = play(
        "phi2", role("worker_host_preflight"), judge,
        orthanc_site_certificate_subject=subject, orthanc_phi_work_for="nobody",
    )  # fmt: skip

    assert "has 1 problem(s)" in done.stdout, done.stdout
    assert "orthanc_phi_work_for is nobody" in done.stdout
