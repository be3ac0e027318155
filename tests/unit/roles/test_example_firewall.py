# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ways the firewalls of the example's hosts leave open between them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Ansible = Callable[..., subprocess.CompletedProcess[str]]
ADDRESSES = {
    "phi.example.org": "198.51.100.10",
    "anon.example.org": "198.51.100.11",
    "disk.example.org": "198.51.100.12",
    "phi2.example.org": "198.51.100.13",
}
PHI, ANON, DISK, WORKERS = ADDRESSES.values()


@pytest.fixture
def rules(ansible: Ansible, tmp_path: Path) -> dict[str, list[str]]:
    """Return the rules that the role would load on each host, decided on this machine."""
    top = tmp_path / "rules"
    top.mkdir()
    roles = "['orthanc_phi', 'orthanc_anon', 'orthanc_disk']"
    play = {
        "hosts": "firewall",
        "connection": "local",
        "become": False,
        "gather_facts": True,
        "gather_subset": ["!all", "min"],
        "vars": {"ansible_become": False, "ansible_python_interpreter": sys.executable},
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "imaging.orthanc.{{ item }}",
                    "tasks_from": "preflight",
                },
                "loop": f"{{{{ {roles} | intersect(group_names) }}}}",
            },
            {
                "ansible.builtin.include_role": {
                    "name": "imaging.orthanc.orthanc_phi",
                    "tasks_from": "worker_host_preflight",
                },
                "when": "'orthanc_phi_workers' in group_names",
            },
            {
                "ansible.builtin.include_role": {
                    "name": "imaging.orthanc.firewall",
                    "tasks_from": "preflight",
                    "public": True,
                },
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ __firewall_policy | imaging.orthanc.firewall_rules({}, 4) }}",
                    "dest": f"{top}/{{{{ inventory_hostname }}}}",
                    "mode": "0644",
                },
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ orthanc_site_errors | default([]) | to_json }}",
                    "dest": f"{top}/{{{{ inventory_hostname }}}}.errors",
                    "mode": "0644",
                },
            },
        ],
    }
    playbook = top / "play.yml"
    playbook.write_text(yaml.safe_dump([play]))
    done = ansible(
        "ansible-playbook", "-i", "inventories/example", "-e", "vault_orthanc_oidc=x",
        str(playbook),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for errors in top.glob("*.errors"):
        # Only what needs the names of the example, which nobody has.
        assert all("images.example.org" in told for told in json.loads(errors.read_text()))
    return {
        path.name: path.read_text().splitlines() for path in top.glob("*.org") if path.is_file()
    }


def callers(rules: list[str], chain: str) -> set[str]:
    """Return from where a chain accepts."""
    return {
        rule.split(" -s ")[1].split("/")[0]
        for rule in rules
        if rule.startswith(f"-A {chain} ") and rule.endswith("-j ACCEPT")
    }


def called(rules: list[str]) -> set[tuple[str, str]]:
    """Return the addresses and ports that the containers of PHI may call."""
    return {
        (
            rule.split("--ctorigdst ")[1].split("/")[0],
            rule.split("--ctorigdstport ")[1].split()[0],
        )
        for rule in rules
        if rule.startswith("-A ORTHANC-PHI-OUT ") and rule.endswith("-j ACCEPT")
    }


def test_workers_reach_what_they_need_and_nothing_else(rules: dict[str, list[str]]) -> None:
    destinations = {(ANON, "8043"), (DISK, "8044")}

    assert callers(rules["phi.example.org"], "ORTHANC-PHI-WEB") == {WORKERS}
    assert callers(rules["phi.example.org"], "ORTHANC-PHI-DATABASE") == {WORKERS}
    assert callers(rules["anon.example.org"], "ORTHANC-ANON-WEB") == {PHI, WORKERS}
    assert callers(rules["disk.example.org"], "ORTHANC-DISK-WEB") == {PHI, WORKERS}
    assert destinations <= called(rules["phi.example.org"])
    assert called(rules["phi2.example.org"]) == destinations | {(PHI, "8042"), (PHI, "5432")}
    assert not [rule for rule in rules["phi2.example.org"] if "--dport" in rule]
