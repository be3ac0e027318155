#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the studies that the crosswalk of the PHI Orthanc knows."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_study_info
short_description: List the studies that the crosswalk of the PHI Orthanc knows
version_added: 1.0.0
description:
  - Returns the studies in given states, of a project or of a subject. No identity is returned,
    except Orthanc's identifiers.
  - The account needs the right to list studies, which C(administrator) and C(honest_broker) have.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.connection.reads
options:
  states:
    description: Only studies in one of these states, such as V(quarantined). By default all.
    type: list
    elements: str
    default: []
  project:
    description: Only those of this project.
    type: str
  subject_number:
    description: Only those of the subject with this number.
    type: int
seealso:
  - module: imaging.orthanc.orthanc_study
"""

EXAMPLES = r"""
- name: See what waits for a person
  imaging.orthanc.orthanc_study_info:
    url: https://127.0.0.1:8042
    user: administrator
    password: "{{ phi_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
    states: [quarantined, review]
  register: waiting

- name: Show why
  ansible.builtin.debug:
    msg: "{{ waiting.studies | map(attribute='reason') }}"
"""

RETURN = r"""
studies:
  description: The studies, each as M(imaging.orthanc.orthanc_study) returns it, without its events.
  returned: success
  type: list
  elements: dict
"""

from typing import Any
from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils._health import failure
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    OrthancClient,
    OrthancError,
)

PAGE = 100


def all_studies(client: OrthancClient, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for the studies page by page."""
    given = {
        "state": ",".join(wanted["states"]),
        "project": wanted["project"],
        "subject_number": wanted["subject_number"],
        "limit": PAGE,
    }
    studies: list[dict[str, Any]] = []
    while len(studies) % PAGE == 0:
        query = {**given, "after": studies[-1]["study"] if studies else 0}
        asked = urlencode({name: value for name, value in query.items() if value})
        page = client.get(f"/deid/v1/studies?{asked}")["studies"]
        if not page:
            break
        studies += page
    return studies


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "states": {"type": "list", "elements": "str", "default": []},
            "project": {"type": "str"},
            "subject_number": {"type": "int"},
        },
        **ONE_PASSWORD,
        supports_check_mode=True,
    )
    client = OrthancClient.of(module.params)
    try:
        studies = all_studies(client, module.params)
    except OrthancError as error:
        module.fail_json(msg=failure(client, error))
    module.exit_json(changed=False, studies=studies)


if __name__ == "__main__":
    main()
