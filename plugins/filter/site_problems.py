# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what cannot work in the settings of one host's Orthancs, before anything is changed."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

DOCUMENTATION = r"""
name: site_problems
short_description: What cannot work in the settings of one host's Orthancs
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - Looks at the settings of all kinds of Orthanc on a host together, and lists every problem at
    once, each as a sentence that names the variable, the value and the fix.
options:
  _input:
    description:
      - The settings of each kind by the kind's name. A kind's settings have the keys C(name),
        C(aet), C(uid), C(gid), C(ports), C(directories), C(passwords), C(dicom_nodes),
        C(dicom_tls_ca), C(certificate_subject) and C(backup). Ports and directories are
        dictionaries by name; C(backup) is empty where no backups are made.
    type: dict
    required: true
  variables:
    description: The names of all variables that the inventory gives this host.
    type: list
    elements: str
    required: true
  specs:
    description: The texts of the roles' argument specs, in which every known variable stands.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ settings | imaging.orthanc.site_problems(variables, specs) }}"
    variables: "{{ hostvars[inventory_hostname] | list }}"
"""

RETURN = r"""
_value:
  description: The problems, one sentence each; empty when there are none.
  type: list
  elements: str
"""

Settings = Mapping[str, Any]

# PS3.5 section 6.2, VR AE: at most 16 characters of the default repertoire without backslash and
# control characters; leading and trailing spaces do not count, so a title of spaces is none.
AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}\Z")
PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{11,127}\Z")
CRON = re.compile(r"([0-9*/,a-zA-Z-]+ ){4}[0-9*/,a-zA-Z-]+")
# The Bech32 of 32 bytes; age's plugins have longer ones, whose programs a host does not have.
RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
CERTIFICATES = re.compile(
    r"([^-]*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----)+"
)
MAIL = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+|[a-z_][a-z0-9_-]*")
PERIODS = ("hourly", "daily", "weekly", "monthly")
# A network's interface, which Linux gives at most 15 characters, is named after it.
NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")
OWN_VARIABLE = re.compile(
    r"\b(?:orthanc_(?:site|phi|anon|disk)|apache_proxy|container_host|firewall)_\w+"
)

# What the roles themselves note about a host on the way; not for the inventory, and no mistake.
NOTED = re.compile(
    r"orthanc_site_(settings|errors|judged|verified)\Z|container_host_(ready|images|problems)\Z"
)


def site_problems(
    settings: Mapping[str, Settings], variables: Iterable[str], specs: Iterable[str]
) -> list[str]:
    """Return every problem in the settings of one host, each with variable, value and fix."""
    problems: list[str] = []
    for kind, own in settings.items():
        problems.extend(_titles(kind, own))
        problems.extend(_account(kind, own))
        problems.extend(_passwords(kind, own))
        problems.extend(_subject(kind, own))
        problems.extend(_node_names(kind, own))
        problems.extend(_node_authorities(kind, str(own["dicom_tls_ca"])))
        problems.extend(_backup(kind, own["backup"]))
    problems.extend(_names(settings))
    problems.extend(_ports(settings))
    problems.extend(_directories(settings))
    known = {name for text in specs for name in OWN_VARIABLE.findall(text)}
    problems.extend(_unknown_variables(set(variables), known))
    return problems


def _titles(kind: str, own: Settings) -> Iterator[str]:
    titles = [(f"orthanc_{kind}_aet", own["aet"])]
    titles += [
        (f"aet of {node.get('name', '?')} in orthanc_{kind}_dicom_nodes", node.get("aet", ""))
        for node in own["dicom_nodes"]
    ]
    for variable, title in titles:
        if not AE_TITLE.match(str(title)) or not str(title).strip():
            yield (
                f"{variable} is {title!r}: an application entity title has 1 to 16 characters, no "
                "backslash and no control character."
            )


def _node_names(kind: str, own: Settings) -> Iterator[str]:
    counted = Counter(node.get("name") for node in own["dicom_nodes"])
    for name, count in counted.items():
        if count > 1:
            yield (
                f"orthanc_{kind}_dicom_nodes has {count} nodes named {name!r}, of which Orthanc "
                "would know only the last: give each a name of its own."
            )


def _node_authorities(kind: str, text: str) -> Iterator[str]:
    if text.strip() and not CERTIFICATES.fullmatch(text.strip()):
        yield (
            f"orthanc_{kind}_dicom_tls_ca is not a text of certificates in PEM: give the content, "
            "as with lookup('ansible.builtin.file', 'nodes-ca.pem')."
        )


def _names(settings: Mapping[str, Settings]) -> Iterator[str]:
    for kind, own in settings.items():
        if not NETWORK.match(str(own["name"])):
            yield (
                f"orthanc_{kind}_name is {own['name']!r}: use 1 to 15 letters, digits, dots, "
                "hyphens and underscores, since the network's interface is named so."
            )
    for (kind, own), (other, others) in combinations(settings.items(), 2):
        if own["name"] == others["name"]:
            yield (
                f"orthanc_{kind}_name and orthanc_{other}_name are both {own['name']!r}: "
                "containers and networks are named after them, so give each a name of its own."
            )


def _account(kind: str, own: Settings) -> Iterator[str]:
    for name in ("uid", "gid"):
        number = int(own[name])
        if number <= 0:
            yield (
                f"orthanc_{kind}_{name} is {number}: a container must not run as root; "
                "use a number above 0."
            )
        elif number == 999:
            yield f"orthanc_{kind}_{name} is 999: that is PostgreSQL's; use another number."


def _passwords(kind: str, own: Settings) -> Iterator[str]:
    for account, password in own["passwords"].items():
        if password and not PASSWORD.match(str(password)):
            yield (
                f"orthanc_{kind}_passwords has a value for {account} that configuration loaders "
                "change: use 12 to 128 letters and digits, a letter first, or leave it out to have "
                "one made."
            )


def _subject(kind: str, own: Settings) -> Iterator[str]:
    if not str(own["certificate_subject"].get("organizationName", "")).strip():
        yield (
            "orthanc_site_certificate_subject has no organizationName: name your institution, for "
            f"example {{organizationName: Example Hospital}} (needed by orthanc_{kind})."
        )


def _backup(kind: str, told: Settings) -> Iterator[str]:
    if not told:
        return
    schedule, name = str(told["schedule"]), f"orthanc_{kind}_backup"
    if not CRON.fullmatch(schedule):
        yield (
            f"{name}_schedule is {schedule!r}: use the five fields of cron (minute, hour, day, "
            "month, weekday), for example '17 * * * *' for every hour."
        )
    for recipient in told["recipients"]:
        if str(recipient).startswith("AGE-SECRET-KEY"):
            yield f"{name}_recipients has a secret key: give the public one that begins with age1."
        elif not RECIPIENT.fullmatch(str(recipient)):
            yield (
                f"{name}_recipients has {str(recipient)!r}: a public key of age is age1 and 58 "
                "lower-case letters and digits; age-keygen prints it."
            )
    for period, number in told["keep"].items():
        if period not in PERIODS or not str(number).isdecimal():
            yield (
                f"{name}_keep has {period}: {number!r}, which cannot be: give {', '.join(PERIODS)} "
                "a whole number each."
            )
    if int(told["max_age"]) <= 0:
        yield f"{name}_max_age is {told['max_age']}: give a number of hours above 0."
    if told["mail_to"] and not MAIL.fullmatch(str(told["mail_to"])):
        yield f"{name}_mail_to is {told['mail_to']!r}: give one mail address, or leave it empty."


def _ports(settings: Mapping[str, Settings]) -> Iterator[str]:
    users: dict[int, list[str]] = {}
    for kind, own in settings.items():
        for name, port in own["ports"].items():
            if not 1 <= int(port) <= 65535:
                yield f"orthanc_{kind}_{name} is {port}: a port is a number from 1 to 65535."
            users.setdefault(int(port), []).append(f"orthanc_{kind}_{name}")
    for port, names in users.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} are all {port}: give each a port of its own."


def _directories(settings: Mapping[str, Settings]) -> Iterator[str]:
    directories: list[tuple[str, PurePosixPath]] = []
    for own in settings.values():
        for variable, directory in own["directories"].items():
            path = PurePosixPath(str(directory))
            if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
                yield (
                    f"{variable} is {str(path)!r}: use an absolute path of at least two levels, "
                    "without '..'."
                )
            directories.append((variable, path))
    for (first, one), (second, other) in combinations(directories, 2):
        if one == other:
            yield f"{first} and {second} are both {str(one)!r}: give each a directory of its own."
        elif one in other.parents or other in one.parents:
            yield (
                f"{first} ({str(one)!r}) and {second} ({str(other)!r}) lie one inside the other: "
                "move one of them."
            )


def _unknown_variables(variables: set[str], known: set[str]) -> Iterator[str]:
    for name in sorted(variables - known):
        if OWN_VARIABLE.fullmatch(name) and not NOTED.match(name):
            near = difflib.get_close_matches(name, sorted(known), n=1)
            if not near and name.startswith("firewall_"):
                continue  # others have roles of that name, too
            hint = f"did you mean {near[0]}?" if near else "remove it."
            yield f"{name} is not a variable of this collection: {hint}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"site_problems": site_problems}
