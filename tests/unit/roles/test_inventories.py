# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "playbooks/collections"))

from ansible_collections.imaging.orthanc.plugins.filter.site_problems import (  # noqa: E402
    site_problems,
)

Ansible = Callable[..., subprocess.CompletedProcess[str]]
INVENTORIES = ["example", "demo"]


def hostvars(ansible: Ansible, inventory: str) -> dict[str, dict[str, object]]:
    listed = ansible("ansible-inventory", "-i", f"inventories/{inventory}", "--list")
    assert listed.returncode == 0, listed.stderr
    found: dict[str, dict[str, object]] = json.loads(listed.stdout)["_meta"]["hostvars"]
    return found


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_an_inventory_has_only_variables_that_the_roles_know(
    ansible: Ansible, inventory: str
) -> None:
    specs = [path.read_text() for path in ROOT.glob("roles/*/meta/argument_specs.yml")]

    for host, variables in hostvars(ansible, inventory).items():
        assert site_problems({}, variables, specs) == [], host


def test_the_example_has_a_host_for_each_kind(ansible: Ansible) -> None:
    listed = ansible("ansible-inventory", "-i", "inventories/example", "--list")
    groups = json.loads(listed.stdout)

    hosts = [groups[f"orthanc_{kind}"]["hosts"] for kind in ("phi", "anon", "disk")]
    assert all(len(names) == 1 for names in hosts)
    assert len({name for names in hosts for name in names}) == 3


@pytest.mark.parametrize("inventory", INVENTORIES)
@pytest.mark.parametrize("playbook", sorted(path.name for path in ROOT.glob("playbooks/*.yml")))
def test_a_playbook_can_be_read_with_an_inventory(
    ansible: Ansible, playbook: str, inventory: str
) -> None:
    done = ansible(
        "ansible-playbook",
        "-i",
        f"inventories/{inventory}",
        f"playbooks/{playbook}",
        "--syntax-check",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
