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
  - Asks one Orthanc and what is around it, and repeats that until everything is well or the time is
    over. Everything that is wrong is told in one answer, each with its cause and what to do.
  - Always looked at are HTTP and TLS, the account, the database, the plugins, Orthanc's failed
    jobs, and the days that the certificate is still valid. The other checks take place where their
    option is given.
  - A route that reads the database is part of the check, because C(/system) answers 200 while
    PostgreSQL hangs.
  - Every request has its own time limit, so that the module never hangs.
  - An error makes the Orthanc unhealthy, and the task fails. A warning is told, and the task does
    not fail.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.connection.reads
options:
  aet:
    description: The application entity title that the Orthanc must have.
    type: str
  plugins:
    description: The names of the plugins that must be loaded, as C(/plugins) lists them.
    type: list
    elements: str
    default: []
  kind:
    description:
      - Which of this collection's plugin scripts the Orthanc must run.
      - With V(disk), whether it can write its tree is looked at, too.
    type: str
    choices: [phi, anon, disk]
  script_version:
    description: The version of this collection that the script must be of. Needs O(kind).
    type: str
  containers:
    description:
      - The containers on the module's host that belong to the Orthanc. Each must run healthily.
      - Without them the module knows only from its requests whether an Orthanc is starting.
    type: list
    elements: str
    default: []
  dicom_port:
    description: The DICOM port, to which a C-ECHO is sent.
    type: int
  dicom_host:
    description: The address of the DICOM port. By default the host in O(url).
    type: str
  calling_aet:
    description:
      - The application entity title of the C-ECHO.
      - A title that the Orthanc does not know is refused, which is taken as an answer.
    type: str
    default: HEALTH
  directories:
    description: The directories on the module's host whose file systems must have room.
    type: list
    elements: path
    default: []
  free_percent:
    description:
      - How much of their space and inodes must be free. Less is a warning, and less than 2 % an
        error.
    type: int
    default: 10
  certificate_days:
    description: A warning is given when the certificate is valid for fewer days.
    type: int
    default: 21
  queue_max_age:
    description:
      - For PHI, after how many seconds a study that is still under way is a warning.
      - Studies in quarantine are a warning, too.
    type: int
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
  timeout:
    description: How many seconds the Orthanc may take to become healthy. V(0) asks once.
    type: int
    default: 120
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

- name: Look at everything around PHI, once
  imaging.orthanc.orthanc_health:
    url: https://127.0.0.1:8042
    user: service
    password: "{{ phi_secrets.secrets.service }}"
    ca_path: /etc/orthanc/ca/ca.crt
    kind: phi
    containers: [orthanc-phi, orthanc-phi-db, orthanc-phi-worker-1]
    dicom_port: 4242
    directories: [/srv/orthanc/phi]
    queue_max_age: 3600
    backup_state: /var/backups/orthanc/phi/state.json
    timeout: 0
"""

RETURN = r"""
state:
  description:
    - V(healthy) where no finding is an error.
    - V(starting) where a container of it is starting, or takes connections and closes them.
    - V(unreachable) where nothing answers at the address, or its certificate is not trusted.
    - V(unhealthy) where it answers, but not as it should.
  returned: always
  type: str
  sample: healthy
findings:
  description: What is wrong. Empty when all is well.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: >-
        V(http), V(account), V(certificate), V(database), V(plugins), V(script), V(aet), V(dicom),
        V(disk), V(jobs), V(queue), V(quarantine), V(tree), V(containers) or V(backup).
      type: str
    severity: {description: V(error) or V(warning)., type: str}
    cause: {description: What was seen., type: str}
    remedy: {description: What to do., type: str}
checks:
  description: What was looked at; in the words of C(check) above.
  returned: always
  type: list
  elements: str
version:
  description: The Orthanc's version.
  returned: when the Orthanc answered
  type: str
plugins:
  description: The plugins that are loaded, with their versions.
  returned: when the Orthanc answered
  type: dict
script:
  description: The kind and version of this collection's script.
  returned: when the Orthanc answered and O(kind) is given
  type: dict
certificate_days:
  description: How many days the certificate is still valid.
  returned: when the Orthanc answered over TLS
  type: int
queue:
  description: What PHI tells of its studies.
  returned: when the Orthanc answered and O(queue_max_age) is given
  type: dict
waited:
  description: How many seconds the module waited.
  returned: always
  type: float
"""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils import _containers, _health
from ansible_collections.imaging.orthanc.plugins.module_utils._dicom_echo import EchoTarget
from ansible_collections.imaging.orthanc.plugins.module_utils._findings import (
    ERROR,
    Finding,
    finding,
    told,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    ClosedError,
    OrthancClient,
    OrthancError,
    RefusedError,
    UnreachableError,
    poll,
)


def examine(client: OrthancClient, wanted: dict[str, Any]) -> dict[str, Any]:
    """Look at one Orthanc and its surroundings once; return what the module returns of it."""
    around, starting = _containers.examine(wanted["containers"])
    around += _health.disk(wanted["directories"], wanted["free_percent"])
    if wanted["backup_state"]:
        path, now = Path(wanted["backup_state"]), datetime.now().astimezone()
        around += _health.backup(path, wanted["backup_max_age"], now)
    try:
        system = client.get("/system")
    except OrthancError as error:
        state = "unreachable" if isinstance(error, UnreachableError) else "unhealthy"
        if starting or isinstance(error, ClosedError):
            state = "starting"
        silence = _silence(error)
        return {"state": state, "findings": [silence, *around], "checks": _checks(wanted, silence)}
    result = _ask(client, wanted, system)
    result["findings"] += around
    result["checks"] = _checks(wanted)
    wrong = any(item["severity"] == ERROR for item in result["findings"])
    result["state"] = ("starting" if starting else "unhealthy") if wrong else "healthy"
    return result


def _checks(wanted: dict[str, Any], silence: Finding | None = None) -> list[str]:
    """Return what is looked at; of an Orthanc that does not answer, only what is around it."""
    around = {
        "containers": wanted["containers"],
        "disk": wanted["directories"],
        "backup": wanted["backup_state"],
    }
    asked = {
        **dict.fromkeys(("http", "account", "certificate", "database", "plugins", "jobs"), True),
        "script": wanted["kind"],
        "aet": wanted["aet"],
        "dicom": wanted["dicom_port"],
        "queue": wanted["queue_max_age"] is not None,
        "quarantine": wanted["queue_max_age"] is not None,
        "tree": wanted["kind"] == "disk",
    }
    given = around if silence else {**asked, **around}
    return [*([silence["check"]] if silence else []), *(name for name in given if given[name])]


def _silence(error: OrthancError) -> Finding:
    account = isinstance(error, RefusedError) and error.status in (401, 403)
    return finding("account" if account else "http", f"{error}.", _health.http_remedy(error))


def _ask(client: OrthancClient, wanted: dict[str, Any], system: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"version": system.get("Version", ""), "findings": []}
    findings = result["findings"]
    days, found = _health.certificate(client, wanted["certificate_days"])
    if days is not None:
        result["certificate_days"] = days
    findings += found
    findings += _health.database(client)
    database_answers = not any(item["check"] == "database" for item in findings)
    result["plugins"], found = _health.plugins(client, wanted["plugins"])
    findings += found
    if wanted["kind"]:
        result["script"], found = _health.script(client, wanted["kind"], wanted["script_version"])
        findings += found
    findings += _health.title(system, wanted["aet"])
    findings += _health.dicom(_target(client, wanted))
    findings += _health.jobs(client)
    if wanted["queue_max_age"] is not None and database_answers:
        result["queue"], found = _health.queue(client, wanted["queue_max_age"])
        findings += found
    if wanted["kind"] == "disk" and database_answers:
        findings += _health.tree(client)
    return result


def _target(client: OrthancClient, wanted: dict[str, Any]) -> EchoTarget | None:
    if not wanted["dicom_port"]:
        return None
    return EchoTarget(
        host=wanted["dicom_host"] or client.host,
        port=wanted["dicom_port"],
        called_aet=wanted["aet"] or "ANY-SCP",
        calling_aet=wanted["calling_aet"],
        timeout=client.timeout,
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "aet": {"type": "str"},
            "plugins": {"type": "list", "elements": "str", "default": []},
            "kind": {"type": "str", "choices": ["phi", "anon", "disk"]},
            "script_version": {"type": "str"},
            "containers": {"type": "list", "elements": "str", "default": []},
            "dicom_port": {"type": "int"},
            "dicom_host": {"type": "str"},
            "calling_aet": {"type": "str", "default": "HEALTH"},
            "directories": {"type": "list", "elements": "path", "default": []},
            "free_percent": {"type": "int", "default": 10},
            "certificate_days": {"type": "int", "default": 21},
            "queue_max_age": {"type": "int"},
            "backup_state": {"type": "path"},
            "backup_max_age": {"type": "int", "default": 3},
            "timeout": {"type": "int", "default": 120},
        },
        **ONE_PASSWORD,
        required_by={"script_version": ["kind"]},
        supports_check_mode=True,
    )
    client = OrthancClient.of(module.params)
    begun = time.monotonic()
    result: dict[str, Any] = {}
    for _attempt in poll(begun + module.params["timeout"]):
        result = examine(client, module.params)
        if result["state"] == "healthy":
            break
    result.update(changed=False, waited=round(time.monotonic() - begun, 1))
    errors = [item for item in result["findings"] if item["severity"] == ERROR]
    for item in result["findings"]:
        if item not in errors:
            module.warn(told([item]))
    if result["state"] == "healthy":
        module.exit_json(**result)
    message = f"{client.url} is {result['state']} after {result['waited']} s. {told(errors)}"
    module.fail_json(msg=message, **result)


if __name__ == "__main__":
    main()
