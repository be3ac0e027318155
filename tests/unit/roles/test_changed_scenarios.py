# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test` asks the Molecule scenarios of the roles that changed, and no others."""

from __future__ import annotations

import pytest
from changed_scenarios import scenarios

KNOWN = ["apache_proxy", "firewall", "orthanc_anon", "orthanc_disk", "orthanc_phi", "site"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["README.md", "docs/security.md"], []),
        (["roles/orthanc_disk/files/disk_tree.py"], ["orthanc_disk"]),
        (["molecule/firewall/verify.yml", "roles/orthanc_phi/vars/main.yml"],
         ["firewall", "orthanc_phi"]),
        (["roles/orthanc_instance/tasks/server.yml"], ["orthanc_anon"]),
        (["inventories/example/hosts.yml", "roles/apache_proxy/vars/main.yml"],
         ["apache_proxy", "site"]),
        (["roles/orthanc_phi/tasks/worker_host_place.yml"], ["orthanc_phi", "site"]),
        (["roles/firewall_of_another/tasks/main.yml"], []),
    ],
)  # fmt: skip
def test_a_change_asks_its_scenario(changed: list[str], expected: list[str]) -> None:
    assert scenarios(changed, KNOWN) == expected
