#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send a test study through the whole site, and remove it again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_roundtrip
short_description: Send a test study through the whole site, and remove it again
version_added: 1.0.0
description:
  - Makes a small synthetic CT study with unique planted identifiers, sends it to the PHI Orthanc,
    and follows it to every destination. There each file is searched for what was planted, and Disk
    is asked whether it wrote the files into its tree. Then the study is withdrawn from all
    destinations and deleted on PHI.
  - The study takes the way of any other, so it waits until PHI calls it stable. Where a project's
    studies wait for a person, the module starts and releases it.
  - The patient of all test studies is the same, with the Patient ID C(ORTHANC-ROUND-TRIP) and the
    issuer C(imaging.orthanc). The crosswalk gives this subject the number 999999999, so that no
    number of a patient is used up, however the site numbers its subjects.
  - If something goes wrong, the study is removed all the same, as far as that is possible.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.destinations
options:
  user:
    description:
      - The account on PHI, which must be allowed to upload, to decide about studies and to delete
        them, as C(administrator) is.
    type: str
    required: true
  instances:
    description: How many images the study has.
    type: int
    default: 3
  timeout:
    description: How many seconds it may take until the study is delivered.
    type: int
    default: 600
  keep:
    description: Leave the study where it is, to look at it. Withdraw it then by hand.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is sent, so nothing is known.
    support: full
  diff_mode:
    description: Nothing is left that could differ.
    support: none
"""

EXAMPLES = r"""
- name: Send a test study through the site
  imaging.orthanc.orthanc_roundtrip:
    url: https://127.0.0.1:8042
    user: administrator
    password: "{{ phi_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
    destinations:
      - name: anon
        url: https://anon.example.org:8042
        user: administrator
        password: "{{ anon_secrets.secrets.administrator }}"
        ca_path: /etc/orthanc/ca/ca.crt
"""

RETURN = r"""
seconds:
  description: How long each step took.
  returned: always
  type: dict
  sample: {send: 0.21, deliver: 64.8, check anon: 0.11, remove: 2.5}
planted:
  description: How many identifiers were planted and searched for.
  returned: always
  type: int
anonymous_study_uid:
  description: The StudyInstanceUID that went out.
  returned: when the study was anonymized
  type: str
destinations:
  description: The destinations that PHI delivered to, with the number of instances.
  returned: when PHI knew the study
  type: dict
  sample: {anon: 3, disk: 3}
removed:
  description: Whether nothing of the study is left.
  returned: always
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils._destinations import (
    DESTINATIONS,
    clients,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    OrthancClient,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._round_trip import (
    ERRORS,
    RoundTrip,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._test_study import make_study


def travel(wanted: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Do the round trip; return what the module returns of it, and what went wrong."""
    trip = RoundTrip(
        phi=OrthancClient.of(wanted),
        destinations=clients(wanted),
        sent=make_study(wanted["instances"]),
        timeout=wanted["timeout"],
    )
    wrong, delivered = [], {}
    try:
        trip.go()
    except ERRORS as error:
        wrong.append(str(error))
    told = dict(trip.told)
    for row in told.get("destinations", []):
        delivered[row["destination"]] = row["instances"]
    removed = False
    if not wanted["keep"]:
        try:
            trip.remove()
            removed = True
        except ERRORS as error:
            wrong.append(str(error))
    result: dict[str, Any] = {
        "seconds": trip.seconds,
        "planted": len(trip.sent.planted),
        "removed": removed,
    }
    if told:
        result["destinations"] = delivered
    if uid := told.get("anonymous_study_uid"):
        result["anonymous_study_uid"] = uid
    return result, wrong


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "destinations": DESTINATIONS,
            "instances": {"type": "int", "default": 3},
            "timeout": {"type": "int", "default": 600},
            "keep": {"type": "bool", "default": False},
        },
        **ONE_PASSWORD,
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, seconds={}, planted=0, removed=True)
    result, wrong = travel(module.params)
    if wrong:
        module.fail_json(msg=" ".join(wrong), **result)
    # Nothing is left, so nothing has changed.
    module.exit_json(changed=module.params["keep"], **result)


if __name__ == "__main__":
    main()
