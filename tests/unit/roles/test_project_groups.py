# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of a project are those by which Apache knows people, on whichever host it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Ansible = Callable[..., subprocess.CompletedProcess[str]]
GROUPS = [
    {"name": "admins", "account": "administrator"},
    {"name": "cn=knee,ou=x", "account": "researcher"},
]


@pytest.mark.parametrize(
    ("hosts_of_apache", "told"),
    [
        ({"web": {"apache_proxy_groups": GROUPS}}, "it has admins, cn=knee,ou=x."),
        ({}, "it has none."),
    ],
)
def test_a_group_that_apache_does_not_know_is_told_before_anything_changes(
    ansible: Ansible, tmp_path: Path, hosts_of_apache: dict[str, Any], told: str
) -> None:
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {
        "orthanc_phi": {"hosts": {"phi": {**local, "orthanc_phi_address": "192.0.2.10"}}},
        "apache_proxy": {"hosts": hosts_of_apache},
    }
    play = {
        "hosts": "phi",
        "gather_facts": False,
        "vars": {
            "orthanc_phi_forward": False,
            "orthanc_site_config_dir": str(tmp_path / "etc"),
            "orthanc_phi_projects": [
                {"name": "knee", "base_name": "KNEE", "groups": ["cn=knee,ou=x", "surgeons"]},
                {"name": "open", "base_name": "OPEN"},
            ],
        },
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "imaging.orthanc.orthanc_phi",
                    "tasks_from": "preflight",
                    "public": True,
                }
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ orthanc_site_errors | to_json }}",
                    "dest": str(tmp_path / "told"),
                    "mode": "0600",
                }
            },
        ],
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = ansible("ansible-playbook", "-i", f"{tmp_path}/hosts.yml", f"{tmp_path}/play.yml")

    assert done.returncode == 0, done.stdout
    errors = json.loads((tmp_path / "told").read_text())
    found = [" ".join(one.split()) for one in errors if "names the group" in one]
    expected = (
        "orthanc_phi_projects names the group surgeons, which apache_proxy_groups does not have"
    )
    assert [one for one in found if one.startswith(f"{expected}: {told}")], errors
    assert len(found) == (1 if hosts_of_apache else 2)
