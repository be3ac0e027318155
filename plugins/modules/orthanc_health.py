#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until one Orthanc is healthy, and say what is wrong while it is not."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_health
short_description: Wait until an Orthanc is healthy and say what is wrong while it is not
version_added: 1.0.0
description:
  - Asks one Orthanc for its identity, its database, its plugins and its Python script, and repeats
    that until everything is well or the time is over.
  - A route that reads the database is part of the check, because C(/system) answers 200 while
    PostgreSQL hangs.
  - Every request has its own time limit, so that the module never hangs.
author:
  - imaging.orthanc contributors (@imaging-orthanc)
options:
  url:
    description: The base address of the Orthanc, for example C(https://127.0.0.1:8042).
    type: str
    required: true
  user:
    description: The Orthanc account.
    type: str
    required: true
  password:
    description: The password of the account.
    type: str
    required: true
  ca_path:
    description: The file of the certificate authority that signed the Orthanc's certificate.
    type: path
  aet:
    description: The application entity title that the Orthanc must have.
    type: str
  plugins:
    description: The names of the plugins that must be loaded, as C(/plugins) lists them.
    type: list
    elements: str
    default: []
  timeout:
    description: How many seconds the Orthanc may take to become healthy. V(0) asks once.
    type: int
    default: 120
  request_timeout:
    description: How many seconds one request may take.
    type: int
    default: 5
  backup_state:
    description:
      - The file in which the backups' program tells how the last backup went.
      - A backup that failed, is overdue or was never made is a finding and a warning. The Orthanc
        is healthy all the same.
    type: path
  backup_max_age:
    description: The hours after which the next backup is overdue.
    type: int
    default: 3
attributes:
  check_mode:
    description: The module only reads.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Wait until the Anon Orthanc is healthy
  imaging.orthanc.orthanc_health:
    url: https://127.0.0.1:8043
    user: service
    password: "{{ anon_secrets.secrets.service }}"
    ca_path: /etc/orthanc/ca/ca.crt
    aet: ANON
    plugins: [postgresql-index, python, dicom-web]
"""

RETURN = r"""
state:
  description: C(healthy), C(unhealthy) or C(unreachable).
  returned: always
  type: str
findings:
  description: What is wrong, each with its severity, cause and remedy. Empty when all is well.
  returned: always
  type: list
  elements: dict
  contains:
    check: {description: 'C(http), C(database), C(plugins), C(aet) or C(backup).', type: str}
    severity: {description: C(error) or C(warning)., type: str}
    cause: {description: What was seen., type: str}
    remedy: {description: What to do., type: str}
version:
  description: The Orthanc's version, where it answered.
  returned: when the Orthanc answered
  type: str
plugins:
  description: The plugins that are loaded, with their versions.
  returned: when the Orthanc answered
  type: dict
waited:
  description: How many seconds the module waited.
  returned: always
  type: float
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    OrthancClient,
    OrthancError,
    RefusedError,
    TimedOutError,
    UnreachableError,
    poll,
)

Finding = dict[str, str]

# Orthanc lists it among the plugins; it is the script that plugins add to the explorer's pages.
NO_PLUGIN = "explorer.js"


def finding(check: str, cause: str, remedy: str, severity: str = "error") -> Finding:
    """Return one finding in the form that the module documents."""
    return {"check": check, "severity": severity, "cause": cause, "remedy": remedy}


def examine(client: OrthancClient, aet: str | None, plugins: list[str]) -> dict[str, Any]:
    """Look at one Orthanc once and return its state, findings, version and plugins."""
    try:
        system = client.get("/system")
    except UnreachableError as error:
        remedy = "See the container's log; check the address, the certificate and its authority."
        return {"state": "unreachable", "findings": [finding("http", str(error), remedy)]}
    except OrthancError as error:
        return {"state": "unhealthy", "findings": [finding("http", str(error), _remedy(error))]}
    loaded, found = _plugins(client, plugins)
    found = [*_database(client), *found, *_title(system, aet)]
    return {
        "state": "unhealthy" if found else "healthy",
        "findings": found,
        "version": system.get("Version", ""),
        "plugins": loaded,
    }


def _remedy(error: OrthancError) -> str:
    if isinstance(error, RefusedError) and error.status in (401, 403):
        return "The account or its password is not the one in orthanc.json; run the role again."
    return "See the container's log."


def _database(client: OrthancClient) -> Iterator[Finding]:
    try:
        client.get("/changes?last")
    except TimedOutError as error:
        remedy = "PostgreSQL hangs: see its container's state and log, its disk."
        yield finding("database", str(error), remedy)
    except OrthancError as error:
        remedy = "PostgreSQL is away: see its container's state and log."
        yield finding("database", str(error), remedy)


def _plugins(client: OrthancClient, wanted: list[str]) -> tuple[dict[str, str], list[Finding]]:
    try:
        loaded = {
            name: str(client.get(f"/plugins/{name}").get("Version", ""))
            for name in client.get("/plugins")
            if name != NO_PLUGIN
        }
    except OrthancError as error:
        return {}, [finding("plugins", str(error), "See the container's log.")]
    remedy = "Check Plugins in orthanc.json and the image."
    missing = [name for name in wanted if name not in loaded]
    return loaded, [
        finding("plugins", f"The plugin {name} is not loaded.", remedy) for name in missing
    ]


def _title(system: dict[str, Any], aet: str | None) -> Iterator[Finding]:
    if aet and system.get("DicomAet") != aet:
        cause = f"The Orthanc calls itself {system.get('DicomAet')}, not {aet}."
        yield finding("aet", cause, "Another Orthanc answers at this address; check the ports.")


def backup_findings(path: Path, max_age: int, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the backups; ``max_age`` is in hours."""
    remedy = (
        "See docs/backup.md, section 'When a backup fails'; playbooks/backup.yml makes one now."
    )
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        error = str(state["error"])
        age = now - datetime.fromisoformat(state["success"]) if state["success"] else None
    except FileNotFoundError:
        yield finding("backup", f"{path} is not there: no backup was made.", remedy, "warning")
        return
    except (OSError, ValueError, KeyError, TypeError):
        yield finding("backup", f"{path} cannot be read.", remedy, "warning")
        return
    if error:
        yield finding("backup", f"The last backup failed: {error}", remedy, "warning")
    if age is None:
        yield finding("backup", "No backup has succeeded yet.", remedy, "warning")
    elif age > timedelta(hours=max_age):
        cause = (
            f"The last backup is {age / timedelta(hours=1):.0f} hours old; {max_age} are allowed."
        )
        yield finding("backup", cause, remedy, "warning")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "ca_path": {"type": "path"},
            "aet": {"type": "str"},
            "plugins": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 120},
            "request_timeout": {"type": "int", "default": 5},
            "backup_state": {"type": "path"},
            "backup_max_age": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    client = OrthancClient(
        url=wanted["url"],
        user=wanted["user"],
        password=wanted["password"],
        ca_path=wanted["ca_path"],
        timeout=wanted["request_timeout"],
    )
    begun = time.monotonic()
    result: dict[str, Any] = {}
    for _attempt in poll(begun + wanted["timeout"]):
        result = examine(client, wanted["aet"], wanted["plugins"])
        if result["state"] == "healthy":
            break
    if wanted["backup_state"]:
        path, now = Path(wanted["backup_state"]), datetime.now().astimezone()
        warnings = list(backup_findings(path, wanted["backup_max_age"], now))
        for item in warnings:
            module.warn(f"{item['cause']} {item['remedy']}")
        result["findings"] = [*result["findings"], *warnings]
    result.update(changed=False, waited=round(time.monotonic() - begun, 1))
    if result["state"] == "healthy":
        module.exit_json(**result)
    told = " ".join(f"{item['cause']} {item['remedy']}" for item in result["findings"])
    message = f"{wanted['url']} is {result['state']} after {result['waited']} s. {told}"
    module.fail_json(msg=message, **result)


if __name__ == "__main__":
    main()
