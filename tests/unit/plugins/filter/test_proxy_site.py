# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import re

from ansible_collections.imaging.orthanc.plugins.filter.proxy_site import (
    proxy_fronts,
    proxy_members,
    proxy_orthancs,
)

GROUPS = [
    {"name": "admins", "account": "administrator"},
    {"name": "cn=staff,ou=x", "account": "viewer", "orthancs": ["anon"]},
]


def test_all_orthancs_of_the_inventory_are_behind_apache_by_their_names() -> None:
    hostvars = {"a": {"orthanc_phi_name": "my-phi"}, "b": {}, "c": {}}
    groups = {"orthanc_phi": ["a"], "orthanc_anon": ["b"], "orthanc_disk": ["c"]}

    assert proxy_orthancs([], hostvars, groups) == [
        {"kind": "phi", "host": "a", "path": "my-phi"},
        {"kind": "anon", "host": "b", "path": "orthanc-anon"},
        {"kind": "disk", "host": "c", "path": "orthanc-disk"},
    ]


def test_given_orthancs_are_the_only_ones_and_may_have_paths() -> None:
    given = [{"kind": "anon", "host": "b", "path": "second"}]

    assert proxy_orthancs(given, {"b": {}}, {"orthanc_phi": ["a"]}) == given


def test_an_orthanc_of_apaches_own_host_is_reached_by_its_nearest_address() -> None:
    told = {"here": "https://127.0.0.1:1", "elsewhere": "https://b:1", "passwords": {"viewer": "x"}}
    content = base64.b64encode(json.dumps(told).encode()).decode()
    found = [{"item": {"host": host}, "content": content} for host in ("a", "b")]

    urls = [front["url"] for front in proxy_fronts(found, "a")]

    assert urls == ["https://127.0.0.1:1", "https://b:1"]


def test_check_mode_goes_on_without_what_is_not_deployed() -> None:
    (front,) = proxy_fronts([{"item": {"host": "a"}}], "a")

    assert front["passwords"] == {}


def test_a_group_counts_only_at_its_paths() -> None:
    def accounts(path: str) -> list[str]:
        return [one["account"] for one in proxy_members(path, GROUPS, None, "G", ";")]

    assert accounts("phi") == ["administrator"]
    assert accounts("anon") == ["administrator", "viewer"]


def test_a_group_is_found_whole_among_others_only() -> None:
    _, member = proxy_members("anon", GROUPS, None, "G", ";")
    found = re.search("m#(.*)#", member["condition"])
    assert found
    pattern = re.compile(found[1])

    assert "%{reqenv:G}" in member["condition"]
    for groups in ("cn=staff,ou=x", "a;cn=staff,ou=x", "cn=staff,ou=x; b"):
        assert pattern.search(groups)
    for groups in ("xcn=staff,ou=x", "cn=staff,ou=x2", "cn=staff", ""):
        assert not pattern.search(groups)


def test_users_that_apache_knows_are_named() -> None:
    users = [
        {"name": "a.b", "groups": ["admins"]},
        {"name": "c", "groups": ["admins", "cn=staff,ou=x"]},
    ]
    first, second = proxy_members("anon", GROUPS, users, "", ";")

    assert first["condition"].endswith(r"m#^(a\.b|c)$#")
    assert second["condition"].endswith("m#^(c)$#")
    assert [one["group"] for one in (first, second)] == ["admins", "cn=staff,ou=x"]


def test_a_group_without_users_lets_nobody_in() -> None:
    assert proxy_members("phi", GROUPS, [], "", ";") == []
