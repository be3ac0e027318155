# SPDX-License-Identifier: GPL-3.0-or-later
"""What could not work, or would lock somebody out, is told before anything is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PLACED = [
    Path("/etc/orthanc-firewall"),
    Path("/usr/local/sbin/orthanc-firewall"),
    Path("/etc/init.d/orthanc-firewall"),
]

Ansible = Callable[..., subprocess.CompletedProcess[str]]
Preflight = Callable[..., str]


@pytest.fixture
def preflight(ansible: Ansible, tmp_path: Path) -> Preflight:
    """Run the role on this machine as on a host of PHI, and return how it fails."""

    def run(**variables: Any) -> str:
        settings = {
            "name": "orthanc-phi", "aet": "PHI", "uid": 10042, "gid": 10042,
            "ports": {"http_port": 8042, "dicom_port": 4242},
            "directories": {}, "passwords": {}, "backup": {}, "dicom_tls_ca": "",
            "dicom_nodes": [{"name": "ct1", "aet": "CT1", "host": "192.0.2.21", "port": 104}],
            "certificate_subject": {"organizationName": "Example Hospital"},
        }  # fmt: skip
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": True,
            "gather_subset": ["!all", "min"],
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "orthanc_site_settings": {"phi": settings},
                # Were it not refused, it would still end before the first change.
                "orthanc_site_errors": [] if variables else ["nothing else is wrong"],
            },
            "roles": ["imaging.orthanc.firewall"],
        }
        playbook, given = tmp_path / "play.yml", tmp_path / "given.json"
        playbook.write_text(yaml.safe_dump([play]))
        given.write_text(json.dumps(variables))
        done = ansible("ansible-playbook", "-i", "localhost,", "-e", f"@{given}", str(playbook))
        assert done.returncode != 0, done.stdout
        assert not any(path.exists() for path in PLACED)
        return " ".join(done.stdout.split())

    return run


def test_settings_that_can_work_are_not_told(preflight: Preflight) -> None:
    assert "has 1 problem(s): 1. nothing else is wrong" in preflight()


def test_all_that_is_wrong_is_told_at_once_before_a_change(preflight: Preflight) -> None:
    told = preflight(
        firewall_proxy_ports=[22],
        firewall_proxy_networks=["192.0.2.0/24"],
        firewall_incoming=[{"kind": "phi", "service": "web", "from": "no.such.invalid"}],
        firewall_outgoing=[{"kind": "phi", "to": "192.0.2.25", "port": 70000}],
        firewall_called_nodes={"phi": ["ct9"]},
        firewall_web_users=["no-such-user"],
    )

    assert "has 5 problem(s)" in told
    assert "firewall_proxy_ports has 22, where SSH listens" in told
    assert "'no.such.invalid', which is no address" in told
    assert "firewall_outgoing has 70000: a port" in told
    assert "firewall_called_nodes has 'ct9' for phi" in told
    assert "firewall_web_users has 'no-such-user'" in told


def test_a_kind_that_there_is_not_is_told(preflight: Preflight) -> None:
    told = preflight(firewall_outgoing=[{"kind": "phy", "to": "192.0.2.25", "port": 25}])

    assert "value of kind must be one of: phi, anon, disk, got: phy" in told
