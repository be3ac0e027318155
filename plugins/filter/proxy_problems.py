# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what cannot work in the settings of Apache, before anything is changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

DOCUMENTATION = r"""
name: proxy_problems
short_description: What cannot work in the settings of Apache before the Orthancs
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - Lists every problem at once, each as a sentence that names the variable, the value and the fix.
positional: orthancs, groups, accounts, taken_ports
options:
  _input:
    description:
      - The settings of C(apache_proxy) without the prefix, see there.
    type: dict
    required: true
  orthancs:
    description: The Orthancs behind Apache with C(kind), C(host) and C(path).
    type: list
    elements: dict
    required: true
  groups:
    description: The hosts of all groups of the inventory.
    type: dict
    required: true
  accounts:
    description: The accounts that people may have.
    type: list
    elements: str
    required: true
  taken_ports:
    description: The ports that Orthancs of the same host have.
    type: list
    elements: int
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.set_fact:
    problems: "{{ settings | imaging.orthanc.proxy_problems(orthancs, groups, ['viewer'], []) }}"
"""

RETURN = r"""
_value:
  description: The problems, one sentence each; empty when there are none.
  type: list
  elements: str
"""

Settings = Mapping[str, Any]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}\Z")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*\Z")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{11,127}\Z")
# What can stand in a quoted argument of Apache's, and in a regular expression between #.
PLAIN = re.compile(r"[^\x00-\x1f\x7f\"'#\\]+\Z")
RESERVED = {"oidc", "Shibboleth.sso", "mellon", "unavailable"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def proxy_problems(
    own: Settings,
    orthancs: Sequence[Mapping[str, str]],
    groups: Mapping[str, Sequence[str]],
    accounts: Sequence[str],
    taken_ports: Sequence[int],
) -> list[str]:
    """Return every problem in the settings of Apache, each with variable, value and fix."""
    return [
        *_names(own),
        *_port(own, taken_ports),
        *_orthancs(orthancs, groups),
        *_paths(orthancs),
        *_groups(own, accounts, {one["path"] for one in orthancs}),
        *_users(own),
        *_sign_on(own),
        *_certificate(own),
    ]


def _names(own: Settings) -> Iterator[str]:
    if not NAME.match(own["name"]):
        yield f"apache_proxy_name is {own['name']!r}: use lower-case letters, digits and '-'."
    for variable, name in [("host", own["host"]), *(("aliases", one) for one in own["aliases"])]:
        if not HOST.match(str(name)):
            yield f"apache_proxy_{variable} has {name!r}, which is no host name: write it alone."
    path = PurePosixPath(str(own["config_dir"]))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
        yield (
            f"apache_proxy_config_dir is {str(path)!r}: use an absolute path of at least two "
            "levels, without '..'."
        )


def _port(own: Settings, taken: Sequence[int]) -> Iterator[str]:
    port = int(own["port"])
    if not 1 <= port <= 65535:
        yield f"apache_proxy_port is {port}: a port is a number from 1 to 65535."
    elif port in taken:
        yield f"apache_proxy_port is {port}, which is an Orthanc's on this host: use another one."


def _orthancs(
    orthancs: Sequence[Mapping[str, str]], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    if not orthancs:
        yield "apache_proxy_orthancs is empty, and so are the groups of the Orthancs: add one."
    for one in orthancs:
        group = f"orthanc_{one['kind']}"
        if one["host"] not in groups.get(group, ()):
            yield (
                f"apache_proxy_orthancs names {one['host']!r}, which is not in the group {group}: "
                "add it there, or take it out."
            )


def _paths(orthancs: Sequence[Mapping[str, str]]) -> Iterator[str]:
    paths = [one["path"] for one in orthancs]
    for path in paths:
        if not PATH.match(path) or path.split("/")[0] in RESERVED:
            yield (
                f"apache_proxy_orthancs has the path {path!r}: use letters, digits, '_', '-' and "
                f"'/' inside, and not {', '.join(sorted(RESERVED))}."
            )
    for one, other in combinations(paths, 2):
        if one == other:
            yield (
                f"apache_proxy_orthancs has the path {one!r} twice: give each Orthanc its own, by "
                "path or by its name."
            )
        elif (
            PurePosixPath(one) in PurePosixPath(other).parents
            or PurePosixPath(other) in PurePosixPath(one).parents
        ):
            yield (
                f"apache_proxy_orthancs has the paths {one!r} and {other!r}, one inside the other: "
                "change one of them."
            )


def _groups(own: Settings, accounts: Sequence[str], paths: set[str]) -> Iterator[str]:
    if not own["groups"]:
        yield (
            "apache_proxy_groups is empty, so nobody would be let in: name a group, for example "
            "{name: imaging-admins, account: administrator}."
        )
    for group in own["groups"]:
        name = str(group["name"])
        if group["account"] not in accounts:
            yield (
                f"apache_proxy_groups gives {name!r} the account {group['account']!r}, which is "
                f"none: use {', '.join(accounts)}."
            )
        if not PLAIN.match(name) or own["separator"] in name:
            yield (
                f"apache_proxy_groups has {name!r}: a group's name has no quotes, '#', backslash, "
                f"and not {own['separator']!r}, which is apache_proxy_group_separator."
            )
        for path in sorted(set(group.get("orthancs") or ()) - paths):
            yield (
                f"apache_proxy_groups limits {name!r} to {path!r}, which is no path of an Orthanc: "
                f"use {', '.join(sorted(paths))}."
            )
    counted = Counter(
        (group["name"], tuple(group.get("orthancs") or ())) for group in own["groups"]
    )
    for (name, _), count in counted.items():
        if count > 1:
            yield f"apache_proxy_groups has {name!r} {count} times: only the first would count."


def _users(own: Settings) -> Iterator[str]:
    if own["sign_on"] != "htpasswd":
        return
    if not own["users"]:
        yield "apache_proxy_users is empty, so nobody could sign on by htpasswd: name a user."
    known = {group["name"] for group in own["groups"]}
    for user in own["users"]:
        if not USER.match(str(user["name"])):
            yield (
                f"apache_proxy_users has {user['name']!r}: a name has letters, digits, '_', '.' "
                "and '-'."
            )
        for group in sorted(set(user["groups"]) - known):
            yield (
                f"apache_proxy_users puts {user['name']!r} into {group!r}, which "
                "apache_proxy_groups does not have: add it there, or correct it."
            )
    names = Counter(user["name"] for user in own["users"])
    for name, count in names.items():
        if count > 1:
            yield f"apache_proxy_users has {name!r} {count} times: name each user once."
    yield from _passwords(own["passwords"], set(names))


def _passwords(passwords: Mapping[str, str], users: set[str]) -> Iterator[str]:
    for name, password in passwords.items():
        if name not in users:
            yield f"apache_proxy_passwords has {name!r}, who is not in apache_proxy_users."
        elif not PASSWORD.match(str(password)):
            yield (
                f"apache_proxy_passwords has a value for {name} that cannot be used: use 12 to 128 "
                "letters and digits, a letter first, or leave it out to have one made."
            )


def _sign_on(own: Settings) -> Iterator[str]:
    separator = own["separator"]
    if len(separator) != 1 or not PLAIN.match(separator) or separator.isalnum():
        yield (
            f"apache_proxy_group_separator is {separator!r}: use one character that is no letter, "
            "digit, quote, '#' or backslash."
        )
    if own["sign_on"] == "file" and not VARIABLE.match(own["groups_variable"]):
        yield (
            f"apache_proxy_groups_variable is {own['groups_variable']!r}: name the request "
            "variable in which the sign-on leaves a user's groups, for example isMemberOf."
        )
    if own["sign_on"] == "oidc":
        yield from _provider(own["oidc"])
    if own["sign_on"] == "ldap":
        yield from _directory(own["ldap"])


def _provider(oidc: Settings) -> Iterator[str]:
    missing = [
        name for name in ("metadata_url", "client_id", "client_secret") if not oidc.get(name)
    ]
    if missing:
        yield f"apache_proxy_oidc has no {', '.join(missing)}: the provider's administrator has it."
        return
    url = urlsplit(str(oidc["metadata_url"]))
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
        yield (
            f"apache_proxy_oidc.metadata_url is {oidc['metadata_url']!r}: use https, so that "
            "nobody else can play the provider."
        )
    yield from _plain("apache_proxy_oidc", oidc)


def _directory(ldap: Settings) -> Iterator[str]:
    if not ldap.get("url"):
        yield "apache_proxy_ldap has no url: name server and base, for example ldaps://host/dc=org."
        return
    url = urlsplit(str(ldap["url"]))
    if url.scheme != "ldaps" and url.hostname not in LOOPBACK:
        yield (
            f"apache_proxy_ldap.url is {ldap['url']!r}: use ldaps, since the users' passwords "
            "travel to it."
        )
    if url.query:
        yield (
            f"apache_proxy_ldap.url is {ldap['url']!r}: write it without '?'; the attributes have "
            "settings of their own."
        )
    yield from _plain("apache_proxy_ldap", ldap)


def _plain(variable: str, values: Settings) -> Iterator[str]:
    for name, value in values.items():
        if value and not PLAIN.match(str(value)):
            yield (
                f"{variable}.{name} has a quote, '#', backslash or line end, which Apache would "
                "misread: have it changed."
            )


def _certificate(own: Settings) -> Iterator[str]:
    if bool(own["certificate"]) != bool(own["certificate_key"]):
        yield (
            "apache_proxy_certificate and apache_proxy_certificate_key belong together: give both, "
            "or none to have one made."
        )
    elif not own["certificate"] and not own["certificate_subject"].get("organizationName"):
        yield (
            "orthanc_site_certificate_subject has no organizationName: name your institution, for "
            "example {organizationName: Example Hospital} (needed by apache_proxy)."
        )


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"proxy_problems": proxy_problems}
