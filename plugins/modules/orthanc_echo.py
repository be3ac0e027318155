#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask DICOM nodes whether they answer: C-ECHO from an Orthanc to its nodes, and to the Orthanc."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_echo
short_description: C-ECHO from an Orthanc to its nodes, and from outside to it
version_added: 1.0.0
description:
  - Has an Orthanc send a C-ECHO to the DICOM nodes that it knows, and sends one from the module's
    host to the Orthanc.
  - All nodes are asked, and what is wrong with any of them is told in one answer.
  - The account needs the right to use the DICOM nodes, which C(administrator) has.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.connection.reads
options:
  nodes:
    description: The names of the nodes that the Orthanc asks. By default all that it knows.
    type: list
    elements: str
  silent_nodes:
    description: Names of nodes that are not asked, such as scanners that only send.
    type: list
    elements: str
    default: []
  dicom_port:
    description: The Orthanc's DICOM port, to which a C-ECHO is sent from outside, if it is given.
    type: int
  dicom_host:
    description: The address of the DICOM port. By default the host in O(url).
    type: str
  calling_aet:
    description:
      - The application entity title of the C-ECHO from outside.
      - Without it, that the Orthanc refuses a stranger counts as an answer.
    type: str
  echo_timeout:
    description: How many seconds one C-ECHO may take.
    type: int
    default: 5
seealso:
  - module: imaging.orthanc.orthanc_health
"""

EXAMPLES = r"""
- name: See whether PHI reaches its nodes, and can be reached
  imaging.orthanc.orthanc_echo:
    url: https://127.0.0.1:8042
    user: administrator
    password: "{{ phi_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
    silent_nodes: [ct1]
    dicom_port: 4242
"""

RETURN = r"""
echoes:
  description: Each C-ECHO.
  returned: always
  type: list
  elements: dict
  contains:
    direction: {description: "V(out) from the Orthanc to a node, V(in) to the Orthanc.", type: str}
    node: {description: The node's name; for V(in) who called., type: str}
    address: {description: The called host and port., type: str}
    aet: {description: The called application entity title., type: str}
    answered: {description: Whether it answered., type: bool}
    seconds: {description: How long the answer took., type: float}
    cause: {description: What was seen where it did not answer., type: str}
    remedy: {description: What to do then., type: str}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils._dicom_echo import (
    EchoError,
    EchoTarget,
    echo,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._health import failure
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    OrthancClient,
    OrthancError,
    RefusedError,
    TimedOutError,
)

STRANGER = "ECHO_STRANGER"


def to_node(client: OrthancClient, name: str, told: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Have the Orthanc send a C-ECHO to one of its nodes."""
    cause = ""
    begun = time.monotonic()
    try:
        client.post(f"/modalities/{name}/echo", {"Timeout": seconds})
    except RefusedError as error:
        if error.status in (401, 403):
            raise
        cause = "it does not answer, or refuses the association"
    except TimedOutError:
        cause = f"it does not answer within {client.timeout:g} s"
    address, aet = f"{told.get('Host')}:{told.get('Port')}", str(told.get("AET"))
    remedy = (
        f"Does {name} run and listen at {address} as {aet}, does it know this Orthanc's AE title, "
        "and do firewalls let the Orthanc call it?"
    )
    return {
        "direction": "out",
        "node": name,
        "address": address,
        "aet": aet,
        "answered": not cause,
        "seconds": round(time.monotonic() - begun, 3),
        "cause": f"{name} ({aet}, {address}): {cause}." if cause else "",
        "remedy": remedy if cause else "",
    }


def to_orthanc(target: EchoTarget, *, known: bool) -> dict[str, Any]:
    """Send a C-ECHO to the Orthanc; a caller that is not `known` there may be refused."""
    cause, seconds = "", 0.0
    try:
        seconds = echo(target)
    except EchoError as error:
        if known or not error.refused_caller:
            cause = f"{target.called_aet}: {error}."
    remedy = "Check the Orthanc's log, its AE title, its DICOM nodes and the firewall."
    return {
        "direction": "in",
        "node": target.calling_aet,
        "address": f"{target.host}:{target.port}",
        "aet": target.called_aet,
        "answered": not cause,
        "seconds": round(seconds, 3),
        "cause": cause,
        "remedy": remedy if cause else "",
    }


def all_echoes(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask everybody.

    Raises:
        OrthancError: the Orthanc itself does not do as it is asked.
        KeyError: with the names of nodes that the Orthanc does not know.
    """
    client = OrthancClient.of(wanted)
    known = client.get("/modalities?expand")
    names = sorted(known) if wanted["nodes"] is None else wanted["nodes"]
    strangers = [name for name in names if name not in known]
    if strangers:
        raise KeyError(", ".join(strangers))
    # The Orthanc answers after its own time limit.
    patient = OrthancClient.of(
        {**wanted, "request_timeout": wanted["echo_timeout"] + wanted["request_timeout"]}
    )
    echoes = [
        to_node(patient, name, known[name], wanted["echo_timeout"])
        for name in names
        if name not in wanted["silent_nodes"]
    ]
    if wanted["dicom_port"]:
        target = EchoTarget(
            host=wanted["dicom_host"] or client.host,
            port=wanted["dicom_port"],
            called_aet=client.get("/system")["DicomAet"],
            calling_aet=wanted["calling_aet"] or STRANGER,
            timeout=wanted["echo_timeout"],
        )
        echoes.append(to_orthanc(target, known=bool(wanted["calling_aet"])))
    return echoes


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "nodes": {"type": "list", "elements": "str"},
            "silent_nodes": {"type": "list", "elements": "str", "default": []},
            "dicom_port": {"type": "int"},
            "dicom_host": {"type": "str"},
            "calling_aet": {"type": "str"},
            "echo_timeout": {"type": "int", "default": 5},
        },
        **ONE_PASSWORD,
        supports_check_mode=True,
    )
    url = module.params["url"]
    try:
        echoes = all_echoes(module.params)
    except OrthancError as error:
        module.fail_json(msg=failure(OrthancClient.of(module.params), error), echoes=[])
    except KeyError as error:
        message = f"{url} has no DICOM node {error.args[0]}. Add it to orthanc_<kind>_dicom_nodes."
        module.fail_json(msg=message, echoes=[])
    silent = [item for item in echoes if not item["answered"]]
    if silent:
        causes = " ".join(f"{item['cause']} {item['remedy']}" for item in silent)
        module.fail_json(msg=f"No answer to C-ECHO. {causes}", echoes=echoes)
    module.exit_json(changed=False, echoes=echoes)


if __name__ == "__main__":
    main()
