# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.proxy_problems import proxy_problems

ACCOUNTS = ["viewer", "researcher", "honest_broker", "administrator"]
GROUPS = {"orthanc_phi": ["a"], "orthanc_anon": ["b", "c"]}
ORTHANCS = [
    {"kind": "phi", "host": "a", "path": "orthanc-phi"},
    {"kind": "anon", "host": "b", "path": "orthanc-anon"},
]


def settings(**own: Any) -> dict[str, Any]:
    good = {
        "name": "orthanc",
        "host": "images.example.org",
        "aliases": [],
        "port": 443,
        "sign_on": "htpasswd",
        "groups": [{"name": "staff", "account": "viewer"}],
        "users": [{"name": "vera", "groups": ["staff"]}],
        "passwords": {},
        "oidc": {},
        "ldap": {},
        "groups_variable": "",
        "separator": ";",
        "certificate": "",
        "certificate_key": "",
        "certificate_subject": {"organizationName": "Example"},
        "config_dir": "/etc/orthanc/apache",
    }
    return {**good, **own}


def problems(orthancs: list[dict[str, str]] | None = None, **own: Any) -> list[str]:
    given = ORTHANCS if orthancs is None else orthancs
    found: list[str] = proxy_problems(settings(**own), given, GROUPS, ACCOUNTS, [8042])
    return found


def test_good_settings_have_no_problem() -> None:
    assert problems() == []
    provider = {
        "metadata_url": "https://idp.example.org/.well-known/openid-configuration",
        "client_id": "orthanc",
        "client_secret": "s3cret-of-the-site",
    }
    assert problems(sign_on="oidc", users=[], oidc=provider) == []
    assert problems(sign_on="ldap", users=[], ldap={"url": "ldaps://ldap.example.org/dc=x"}) == []
    assert problems(sign_on="file", users=[], groups_variable="isMemberOf") == []


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"groups": [{"name": "staff", "account": "boss"}]}, "account 'boss', which is none"),
        ({"groups": []}, "apache_proxy_groups is empty"),
        ({"groups": [{"name": 'x"y', "account": "viewer"}], "users": [{"name": "v", "groups": []}]},
         "no quotes"),
        ({"groups": [{"name": "staff", "account": "viewer", "orthancs": ["nowhere"]}]},
         "'nowhere', which is no path"),
        ({"groups": [{"name": "staff", "account": "viewer"}] * 2}, "'staff' 2 times"),
        ({"users": [{"name": "vera", "groups": ["stuff"]}]}, "'vera' into 'stuff'"),
        ({"users": [{"name": "vera:", "groups": ["staff"]}]}, "has 'vera:'"),
        ({"users": []}, "apache_proxy_users is empty"),
        ({"users": [{"name": "vera", "groups": ["staff"]}] * 2}, "'vera' 2 times"),
        ({"passwords": {"otto": "Aaaaaaaaaaaa1"}}, "'otto', who is not"),
        ({"passwords": {"vera": "short"}}, "a value for vera"),
        ({"port": 8042}, "apache_proxy_port is 8042, which is an Orthanc's"),
        ({"port": 0}, "apache_proxy_port is 0"),
        ({"name": "Or thanc"}, "apache_proxy_name"),
        ({"host": "https://images.example.org"}, "apache_proxy_host"),
        ({"config_dir": "/etc"}, "apache_proxy_config_dir"),
        ({"certificate": "/etc/ssl/a.pem"}, "belong together"),
        ({"certificate_subject": {}}, "organizationName"),
        ({"sign_on": "oidc"}, "apache_proxy_oidc has no metadata_url, client_id, client_secret"),
        ({"sign_on": "oidc", "oidc": {"metadata_url": "http://idp.example.org/x",
          "client_id": "o", "client_secret": "s"}}, "use https"),
        ({"sign_on": "oidc", "oidc": {"metadata_url": "https://idp.example.org/x",
          "client_id": 'o"x', "client_secret": "s"}}, "client_id has a quote"),
        ({"sign_on": "ldap"}, "apache_proxy_ldap has no url"),
        ({"sign_on": "ldap", "ldap": {"url": "ldap://ldap.example.org/dc=x"}}, "use ldaps"),
        ({"sign_on": "ldap", "ldap": {"url": "ldaps://h/dc=x?uid"}}, "without '?'"),
        ({"sign_on": "file"}, "apache_proxy_groups_variable"),
        ({"separator": "ab"}, "apache_proxy_group_separator"),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_its_variable(own: dict[str, Any], told: str) -> None:
    assert [line for line in problems(**own) if told in line]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (("images", "images"), "'images' twice"),
        (("images", "images/anon"), "one inside the other"),
        (("images/anon", "images"), "one inside the other"),
        (("oidc", "anon"), "the path 'oidc'"),
        (("a b", "anon"), "the path 'a b'"),
        (("/anon", "phi"), "the path '/anon'"),
    ],
)
def test_paths_that_overlap_or_cannot_be_are_told(paths: tuple[str, str], told: str) -> None:
    orthancs = copy.deepcopy(ORTHANCS)
    for one, path in zip(orthancs, paths, strict=True):
        one["path"] = path

    assert [line for line in problems(orthancs) if told in line]


def test_an_orthanc_that_the_inventory_does_not_have_is_told() -> None:
    (told,) = problems([{"kind": "anon", "host": "a", "path": "x"}])

    assert "'a', which is not in the group orthanc_anon" in told
    assert "apache_proxy_orthancs is empty" in problems([])[0]


def test_no_password_stands_in_a_problem() -> None:
    given = {"url": "ldap://h.example.org/dc=x", "bind_password": 'secret"secret'}

    assert "secret" not in " ".join(problems(passwords={"vera": "se cret"}))
    assert "secret" not in " ".join(problems(sign_on="ldap", users=[], ldap=given))
