# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Apache's configuration is made of: the Orthancs behind it, and who has which account."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

KINDS = ("phi", "anon", "disk")

# In check mode, before the first deployment.
NOT_DEPLOYED = {"here": "https://127.0.0.1", "elsewhere": "https://127.0.0.1", "passwords": {}}


def proxy_orthancs(
    given: Sequence[Mapping[str, Any]],
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> list[dict[str, str]]:
    """Return kind, host and path of each Orthanc: those that are given, or the whole inventory's.

    An Orthanc without a path has its own name as the path.
    """
    wanted = given or [
        {"kind": kind, "host": host} for kind in KINDS for host in groups.get(f"orthanc_{kind}", ())
    ]
    return [_orthanc(one, hostvars) for one in wanted]


def _orthanc(one: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    kind, host = one["kind"], one["host"]
    name = hostvars[host].get(f"orthanc_{kind}_name") if host in hostvars else None
    return {"kind": kind, "host": host, "path": one.get("path") or name or f"orthanc-{kind}"}


def proxy_fronts(found: Iterable[Mapping[str, Any]], here: str) -> list[dict[str, Any]]:
    """Return address and passwords of each Orthanc from the files that the kinds left for Apache.

    Args:
        found: The results of reading them, with the Orthanc as ``item`` and the file's
            ``content`` in base64, or none where the Orthanc is not there yet.
        here: The host of Apache, which reaches its own Orthancs by another address.
    """
    fronts = []
    for result in found:
        told = json.loads(base64.b64decode(result["content"])) if result.get("content") else {}
        front = {**NOT_DEPLOYED, **told}
        at = "here" if result["item"]["host"] == here else "elsewhere"
        fronts.append({"url": front[at], "passwords": front["passwords"]})
    return fronts


def proxy_members(
    path: str,
    groups: Iterable[Mapping[str, Any]],
    users: Sequence[Mapping[str, Any]] | None,
    variable: str,
    separator: str,
) -> list[dict[str, str]]:
    """Return the accounts at one path, each with Apache's condition on who has it.

    The first group comes first.

    Args:
        path: The path of the Orthanc.
        groups: The groups with their accounts, and the paths that each is limited to.
        users: The users with their groups where Apache knows them itself, else None.
        variable: The request variable in which the sign-on leaves a user's groups.
        separator: What stands between two groups there.
    """
    return [
        {
            "group": group["name"],
            "account": group["account"],
            "condition": f"%{{REMOTE_USER}} =~ /./ && {condition}",
        }
        for group in groups
        if not group.get("orthancs") or path in group["orthancs"]
        for condition in _conditions(group["name"], users, variable, separator)
    ]


def _conditions(
    group: str, users: Sequence[Mapping[str, Any]] | None, variable: str, separator: str
) -> Iterator[str]:
    if users is None:
        name, end = re.escape(group), re.escape(separator)
        yield f"%{{reqenv:{variable}}} =~ m#(^|{end}) *{name} *({end}|$)#"
        return
    names = [re.escape(user["name"]) for user in users if group in user["groups"]]
    if names:
        yield f"%{{REMOTE_USER}} =~ m#^({'|'.join(names)})$#"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {
            "proxy_orthancs": proxy_orthancs,
            "proxy_fronts": proxy_fronts,
            "proxy_members": proxy_members,
        }
