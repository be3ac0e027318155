#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell how far a study of the PHI Orthanc is, and decide about it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_study
short_description: See, start, retry, release, reject or withdraw a study of the PHI Orthanc
version_added: 1.0.0
description:
  - Brings one study into the state that is asked for, or only tells its state.
  - The account needs the right to decide about studies, which C(administrator) and C(honest_broker)
    have.
extends_documentation_fragment:
  - imaging.orthanc.connection
  - imaging.orthanc.destinations
options:
  study:
    description:
      - Orthanc's identifier of the study, or its original StudyInstanceUID while PHI holds it.
    type: str
    required: true
  state:
    description:
      - V(queried) only looks.
      - V(delivered) starts a study that has not gone out, and leaves alone one that has.
      - V(retried) anonymizes and delivers it again, whatever became of it, unless it is under way.
      - V(released) accepts why it waits in quarantine or for review, so that it goes out. A release
        from quarantine needs O(note).
      - V(rejected) keeps it from going out until it is retried.
      - V(withdrawn) takes it back from every destination, for good. At those in O(destinations) the
        module looks for itself whether anything is left.
    type: str
    choices: [queried, delivered, retried, released, rejected, withdrawn]
    default: queried
  note:
    description: Why, in your own words. It is kept with the event, so it must not name a patient.
    type: str
  project:
    description: Which project's version of the study is meant, where it is in several.
    type: str
  profile:
    description: The profile by which it is to be anonymized, instead of the project's.
    type: str
  review:
    description: Whether a person looks at the result before it goes out.
    type: bool
  force:
    description: With V(delivered), start also a study that has gone out or was rejected.
    type: bool
    default: false
  wait:
    description: Whether to wait until the workers are done with it, and to fail if they fail.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 600
attributes:
  check_mode:
    description: Tells whether anything would be asked for.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
"""

EXAMPLES = r"""
- name: See how far a study is
  imaging.orthanc.orthanc_study:
    url: https://127.0.0.1:8042
    user: administrator
    password: "{{ phi_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
    study: 1.2.840.113619.2.5.1762583153.215519.978957063.78
  register: found

- name: Withdraw it from everywhere
  imaging.orthanc.orthanc_study:
    url: https://127.0.0.1:8042
    user: administrator
    password: "{{ phi_secrets.secrets.administrator }}"
    ca_path: /etc/orthanc/ca/ca.crt
    study: "{{ found.study.orthanc_id }}"
    state: withdrawn
    note: The patient withdrew consent on 31 January.
"""

RETURN = r"""
before:
  description: The study's state before.
  returned: success
  type: str
  sample: quarantined
study:
  description: What PHI tells of the study. Nothing of it is an identity, except its identifiers.
  returned: success
  type: dict
  contains:
    study: {description: The study's number in the crosswalk., type: int}
    state:
      description: Its state; V(unknown) while PHI holds it and has not looked at it.
      type: str
    reason: {description: Why it is in this state., type: str}
    project: {description: Its project., type: str}
    subject_number: {description: The number of its subject., type: int}
    anonymous_study_uid: {description: The StudyInstanceUID that went out., type: str}
    anonymous_study_uids:
      description: Those that went out for any project.
      type: list
      elements: str
    finished: {description: Whether no worker has anything to do for it., type: bool}
    destinations:
      description: How far it is at each destination.
      type: list
      elements: dict
    events:
      description: What happened to it, and who did it.
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.orthanc.plugins.module_utils._destinations import (
    DESTINATIONS,
    clients,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._health import failure
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ARGUMENTS,
    ONE_PASSWORD,
    OrthancClient,
    OrthancError,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._study import (
    UNDER_WAY,
    WITHDRAWN,
    PhiStudy,
    StudyError,
)

OPERATIONS = {
    "delivered": "anonymize",
    "retried": "retry",
    "released": "release",
    "rejected": "reject",
    "withdrawn": "withdraw",
}
# In these states nothing has to be asked for.
DONE = {
    "delivered": {*UNDER_WAY, "delivered", "review"},
    "retried": UNDER_WAY,
    "released": {*UNDER_WAY, "delivered"},
    "rejected": {"rejected"},
    "withdrawn": WITHDRAWN,
}
REACHED = {
    "delivered": {"delivered", "review"},
    "retried": {"delivered", "review"},
    "released": {"delivered"},
    "rejected": {"rejected"},
    "withdrawn": {"withdrawn"},
}


def is_needed(now: str, wanted: dict[str, Any]) -> bool:
    """Tell whether anything has to be asked for in the state `now`."""
    if wanted["state"] == "queried":
        return False
    if wanted["state"] == "delivered" and wanted["force"]:
        return now not in UNDER_WAY
    return now not in DONE[wanted["state"]]


def act(study: PhiStudy, wanted: dict[str, Any]) -> None:
    """Ask for what is wanted."""
    body = {name: wanted[name] for name in ("note", "project", "profile", "review")}
    if wanted["state"] == "delivered":
        body["force"] = wanted["force"]
    study.ask(OPERATIONS[wanted["state"]], **body)


def demand(told: dict[str, Any], state: str) -> None:
    """Refuse an end that is not the one that was asked for."""
    if told["state"] not in REACHED[state]:
        reason = told.get("reason") or "no reason is known"
        raise StudyError(f"The study is {told['state']}, not {state}: {reason}.")
    left = [row["destination"] for row in told["destinations"] if row["state"] == "left"]
    if state == "withdrawn" and left:
        raise StudyError(
            f"The study is withdrawn, but what is at {', '.join(left)} only a person can take "
            "back. Do so there, and then settle it, as docs/operating.md says."
        )


def demand_gone(told: dict[str, Any], destinations: dict[str, OrthancClient]) -> None:
    """Refuse a withdrawal of which a destination still holds something."""
    for uid in told["anonymous_study_uids"]:
        holding = [name for name, client in destinations.items() if client.lookup_study(uid)]
        if holding:
            raise StudyError(
                f"The study is withdrawn, but {', '.join(holding)} still has {uid}. Has somebody "
                "sent it there again? Delete it there."
            )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "destinations": DESTINATIONS,
            "study": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["queried", *OPERATIONS],
                "default": "queried",
            },
            "note": {"type": "str"},
            "project": {"type": "str"},
            "profile": {"type": "str"},
            "review": {"type": "bool"},
            "force": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        **ONE_PASSWORD,
        supports_check_mode=True,
    )
    wanted, client = module.params, OrthancClient.of(module.params)
    result: dict[str, Any] = {"changed": False}
    try:
        study = PhiStudy.find(client, wanted["study"], wanted["project"])
        now = study.look()
        result.update(before=now["state"], study=now, changed=is_needed(now["state"], wanted))
        if not module.check_mode:
            if result["changed"]:
                act(study, wanted)
            if wanted["wait"] and wanted["state"] != "queried":
                result["study"] = study.wait(wanted["wait_timeout"])
                demand(result["study"], wanted["state"])
                if wanted["state"] == "withdrawn":
                    demand_gone(result["study"], clients(wanted))
            elif result["changed"]:
                result["study"] = study.look()
    except OrthancError as error:
        module.fail_json(msg=failure(client, error), **result)
    except StudyError as error:
        module.fail_json(msg=str(error), **result)
    after = wanted["state"] if module.check_mode and result["changed"] else result["study"]["state"]
    result["diff"] = {"before": {"state": now["state"]}, "after": {"state": after}}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
