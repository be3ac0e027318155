# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.firewall import (
    firewall_names,
    firewall_problems,
    firewall_rules,
)

Policy = dict[str, Any]


def kind(name: str, number: int, *nodes: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"orthanc-{name}",
        "ports": {"http_port": 8042 + number, "dicom_port": 4242 + number},
        "dicom_nodes": list(nodes),
    }


@pytest.fixture
def policy() -> Policy:
    return {
        "kinds": {"phi": kind("phi", 0, {"name": "ct1", "host": "192.0.2.21", "port": 104})},
        "incoming": [],
        "outgoing": [],
        "called_nodes": {},
        "nameservers": ["192.0.2.53"],
        "web_users": [33],
        "unknown_users": [],
        "proxy_ports": [],
        "proxy_networks": [],
        "log_limit": "6/minute",
    }


def rules(policy: Policy, chain: str, family: int = 4, **resolved: list[str]) -> list[str]:
    """Return the rules of one chain, without its name."""
    lines = firewall_rules(policy, resolved, family).splitlines()
    return [line.split(" ", 2)[2] for line in lines if line.startswith(f"-A {chain} ")]


def only_problem(policy: Policy, ssh_ports: tuple[int, ...] = (22,)) -> str:
    (problem,) = firewall_problems(policy, {}, ssh_ports)
    return str(problem)


def test_a_port_is_open_to_the_nodes_that_may_ask_something(policy: Policy) -> None:
    policy["kinds"]["phi"]["dicom_nodes"] += [
        {"name": "pacs", "host": "2001:db8::30", "allow": ["echo"]},
        {"name": "only called", "host": "192.0.2.31", "allow": []},
    ]

    assert rules(policy, "ORTHANC-PHI-DICOM") == [
        '-s 192.0.2.21/32 -m comment --comment "ct1" -j ACCEPT',
        "-j ORTHANC-REFUSE",
    ]
    assert rules(policy, "ORTHANC-PHI-DICOM", 6) == [
        '-s 2001:db8::30/128 -m comment --comment "pacs" -j ACCEPT',
        "-j ORTHANC-REFUSE",
    ]


def test_a_name_stands_for_all_its_addresses(policy: Policy) -> None:
    policy["incoming"] = [{"kind": "phi", "service": "web", "from": "monitor"}]
    monitor = ["192.0.2.9", "192.0.2.9", "2001:db8::9"]

    assert firewall_names(policy) == ["monitor"]
    assert rules(policy, "ORTHANC-PHI-WEB", 4, monitor=monitor)[0] == "-s 192.0.2.9/32 -j ACCEPT"
    assert rules(policy, "ORTHANC-PHI-WEB", 6, monitor=monitor)[0] == "-s 2001:db8::9/128 -j ACCEPT"


def test_phi_on_the_same_host_is_known_by_its_interface(policy: Policy) -> None:
    policy["kinds"]["anon"] = kind("anon", 1)
    policy["incoming"] = [{"kind": "anon", "service": "web", "from": "", "from_kind": "phi"}]

    for family in (4, 6):
        assert rules(policy, "ORTHANC-ANON-WEB", family)[0] == "-i orthanc-phi -j ACCEPT"


def test_containers_may_call_the_nodes_and_what_is_listed(policy: Policy) -> None:
    policy["outgoing"] = [{"kind": "phi", "to": "192.0.2.25", "port": 25, "comment": "mail"}]

    assert rules(policy, "ORTHANC-PHI-OUT") == [
        "-p tcp -m conntrack --ctorigdst 192.0.2.21/32 --ctorigdstport 104"
        ' -m comment --comment "ct1" -j ACCEPT',
        "-p tcp -m conntrack --ctorigdst 192.0.2.25/32 --ctorigdstport 25"
        ' -m comment --comment "mail" -j ACCEPT',
        "-j ORTHANC-REFUSE",
    ]


def test_nodes_that_are_not_to_be_called_are_not(policy: Policy) -> None:
    policy["called_nodes"] = {"phi": []}

    assert rules(policy, "ORTHANC-PHI-OUT") == ["-j ORTHANC-REFUSE"]


def test_name_servers_are_open_to_who_calls_a_name_only(policy: Policy) -> None:
    assert "192.0.2.53" not in "".join(rules(policy, "ORTHANC-PHI-OUT"))

    policy["outgoing"] = [{"kind": "phi", "to": "mail", "port": 25}]

    assert "192.0.2.53" in "".join(rules(policy, "ORTHANC-PHI-OUT", mail=["192.0.2.25"]))


def test_the_same_policy_has_the_same_rules_in_whatever_order_it_is_told(policy: Policy) -> None:
    policy["kinds"]["anon"] = kind("anon", 1)
    calls = [{"kind": one, "service": "web", "from": "192.0.2.7"} for one in ("phi", "anon")]
    goes = [{"kind": "phi", "to": f"192.0.2.{host}", "port": 443} for host in (9, 8)]
    policy.update(incoming=calls, outgoing=goes)
    turned = {
        **policy,
        "kinds": dict(reversed(policy["kinds"].items())),
        "incoming": calls[::-1],
        "outgoing": goes[::-1],
    }
    assert firewall_rules(turned, {}, 4) == firewall_rules(policy, {}, 4)


def test_flows_of_a_kind_that_the_host_does_not_have_are_left_out(policy: Policy) -> None:
    before = firewall_rules(policy, {}, 4)
    policy["incoming"] = [{"kind": "disk", "service": "web", "from": "192.0.2.9"}]
    policy["outgoing"] = [{"kind": "anon", "to": "192.0.2.9", "port": 25}]
    policy["called_nodes"] = {"disk": ["viewer"]}

    assert firewall_rules(policy, {}, 4) == before
    assert firewall_problems(policy, {}, [22]) == []


def test_a_host_with_nothing_to_guard_has_almost_no_rules(policy: Policy) -> None:
    policy["kinds"] = {}

    assert "-p tcp --dport" not in firewall_rules(policy, {}, 4)
    assert rules(policy, "ORTHANC-FWD") == []


def test_a_comment_cannot_end_its_quotes(policy: Policy) -> None:
    policy["kinds"]["phi"]["dicom_nodes"][0]["name"] = 'a" -j ACCEPT\n-A ORTHANC-IN -j "DROP'

    assert len(rules(policy, "ORTHANC-PHI-DICOM")) == 2
    assert '"a? -j ACCEPT?-A ORTHANC-IN -j ?DROP"' in rules(policy, "ORTHANC-PHI-DICOM")[0]


@pytest.mark.parametrize(("port", "ssh"), [(22, 22), (443, 443)])
def test_a_port_that_would_close_ssh_is_told(policy: Policy, port: int, ssh: int) -> None:
    policy["proxy_ports"], policy["proxy_networks"] = [port], ["192.0.2.0/24"]

    assert f"firewall_proxy_ports has {port}, where SSH listens" in only_problem(policy, (ssh,))


def test_an_orthanc_on_the_port_of_ssh_is_told(policy: Policy) -> None:
    assert "orthanc_phi_dicom_port has 4242, where SSH" in only_problem(policy, (22, 4242))


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_out_of_range_is_told(policy: Policy, port: int) -> None:
    policy["outgoing"] = [{"kind": "phi", "to": "192.0.2.25", "port": port}]

    assert f"firewall_outgoing has {port}: a port is a number" in only_problem(policy)


@pytest.mark.parametrize(
    "host", ["nowhere.example.org", "192.0.2.300", "192.0.2.1/24", "a b", "-x"]
)
def test_what_is_no_address_and_does_not_resolve_is_told(policy: Policy, host: str) -> None:
    policy["incoming"] = [{"kind": "phi", "service": "dicom", "from": host}]

    assert f"{host!r}, which is no address" in only_problem(policy)


@pytest.mark.parametrize("host", ["192.0.2.1/24", "a b", "-x", "a;b"])
def test_what_cannot_be_a_name_is_not_looked_up(policy: Policy, host: str) -> None:
    policy["outgoing"] = [{"kind": "phi", "to": host, "port": 25}]

    assert firewall_names(policy) == []


def test_an_unknown_node_is_told(policy: Policy) -> None:
    policy["called_nodes"] = {"phi": ["ct2"]}

    assert "firewall_called_nodes has 'ct2' for phi" in only_problem(policy)


def test_an_unknown_kind_is_told(policy: Policy) -> None:
    policy["called_nodes"] = {"PHI": ["ct1"]}

    assert "firewall_called_nodes has 'PHI'" in only_problem(policy)


def test_apache_without_anyone_who_may_use_it_is_told(policy: Policy) -> None:
    policy["proxy_ports"] = [443]

    assert "firewall_proxy_networks is empty" in only_problem(policy)


def test_networks_of_apache_are_no_names(policy: Policy) -> None:
    policy["proxy_ports"], policy["proxy_networks"] = [443], ["10.20.0.1/16"]

    assert "firewall_proxy_networks has '10.20.0.1/16'" in only_problem(policy)


def test_apache_on_the_port_of_an_orthanc_is_told(policy: Policy) -> None:
    policy["proxy_ports"], policy["proxy_networks"] = [8042], ["192.0.2.0/24"]

    assert "firewall_proxy_ports has 8042, which another port" in only_problem(policy)


def test_an_unknown_user_is_told(policy: Policy) -> None:
    policy["unknown_users"] = ["nobody-here"]

    assert "firewall_web_users has 'nobody-here'" in only_problem(policy)
