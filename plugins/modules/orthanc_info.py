#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what an Orthanc is, holds and knows."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_info
short_description: Tell what an Orthanc is, holds and knows
version_added: 1.0.0
description:
  - Returns the system, the statistics, the plugins, the DICOM nodes and the accounts of one
    Orthanc. No password is returned.
  - The account needs the right to look at the DICOM nodes, which C(administrator) has.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.connection.reads
seealso:
  - module: imaging.orthanc.orthanc_health
"""

EXAMPLES = r"""
- name: See what Anon holds
  imaging.orthanc.orthanc_info:
    url: https://127.0.0.1:8043
    user: administrator
    password: "{{ anon_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
  register: anon

- name: Show how many studies there are
  ansible.builtin.debug:
    msg: "{{ anon.statistics.studies }} studies in Orthanc {{ anon.system.version }}"
"""

RETURN = r"""
system:
  description: What the Orthanc is.
  returned: success
  type: dict
  contains:
    name: {description: Its name., type: str}
    version: {description: Orthanc's version., type: str}
    aet: {description: Its application entity title., type: str}
    dicom_port: {description: "Its DICOM port, inside its container.", type: int}
    database: {description: The library that keeps its index; empty for SQLite., type: str}
    kind:
      description: V(phi), V(anon) or V(disk); empty where no script of this collection runs.
      type: str
    script_version: {description: The version of that script., type: str}
statistics:
  description: What it holds.
  returned: success
  type: dict
  contains:
    patients: {description: The number of patients., type: int}
    studies: {description: The number of studies., type: int}
    series: {description: The number of series., type: int}
    instances: {description: The number of instances., type: int}
    bytes: {description: The size of all files on the disk., type: int}
plugins:
  description: The plugins that are loaded, with their versions.
  returned: success
  type: dict
  sample: {python: "5.0", postgresql-index: "5.0"}
nodes:
  description: The DICOM nodes that it knows.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The node's name., type: str}
    aet: {description: Its application entity title., type: str}
    host: {description: Its address., type: str}
    port: {description: Its port., type: int}
    allow: {description: What it may ask of this Orthanc., type: list, elements: str}
accounts:
  description: The accounts and the rights of each, as the table of this collection's script says.
  returned: success
  type: dict
  sample: {viewer: [look]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils import _health
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    OrthancClient,
    OrthancError,
    RefusedError,
)

ALLOWABLE = ("echo", "store", "find", "get", "move")


def collect(client: OrthancClient) -> dict[str, Any]:
    """Return everything that the module returns."""
    system, statistics = client.get("/system"), client.get("/statistics")
    deployment = _deployment(client)
    plugins, wrong = _health.plugins(client, [])
    if wrong:
        raise OrthancError(wrong[0]["cause"])
    return {
        "system": {
            "name": system.get("Name", ""),
            "version": system.get("Version", ""),
            "aet": system.get("DicomAet", ""),
            "dicom_port": system.get("DicomPort"),
            "database": (system.get("DatabaseBackendPlugin") or "").rpartition("/")[2],
            "kind": deployment.get("kind", ""),
            "script_version": deployment.get("version", ""),
        },
        "statistics": {
            **{
                name: int(statistics[f"Count{name.capitalize()}"])
                for name in ("patients", "studies", "series", "instances")
            },
            "bytes": int(statistics["TotalDiskSize"]),
        },
        "plugins": plugins,
        "nodes": [_node(*item) for item in sorted(client.get("/modalities?expand").items())],
        "accounts": deployment.get("accounts", {}),
    }


def _deployment(client: OrthancClient) -> dict[str, Any]:
    try:
        told = client.get("/deployment")
    except RefusedError as error:
        if error.status != 404:
            raise
        return {}
    return told if isinstance(told, dict) else {}


def _node(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "aet": told.get("AET", ""),
        "host": told.get("Host", ""),
        "port": told.get("Port"),
        "allow": [what for what in ALLOWABLE if told.get(f"Allow{what.capitalize()}")],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, **ONE_PASSWORD, supports_check_mode=True)
    client = OrthancClient.of(module.params)
    try:
        module.exit_json(changed=False, **collect(client))
    except OrthancError as error:
        module.fail_json(msg=_health.failure(client, error))


if __name__ == "__main__":
    main()
