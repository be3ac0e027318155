# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets meet the role's rules: from neighbours, containers and local users."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firewalled_host import HOST, NOBODY, SCANNER, STRANGER, WWW_DATA, FirewalledHost

Policy = dict[str, Any]
# Who tries, as the table in docs/security.md names them.
NEIGHBOUR = "a neighbour in the network"
CONTAINER = "inside Anon's container"
PHI = "inside a container of PHI"
LOCAL = "another user of the host"
TO_SCANNER, TO_STRANGER = "10.77.1.1", "10.77.2.1"


@pytest.fixture(scope="module")
def made_host() -> Iterator[FirewalledHost]:
    # Sockets below it must have short paths.
    with tempfile.TemporaryDirectory(prefix="fwtest-", ignore_cleanup_errors=True) as directory:
        host = FirewalledHost(Path(directory))
        try:
            host.make()
            yield host
        finally:
            host.remove()


@pytest.fixture
def host(made_host: FirewalledHost) -> Iterator[FirewalledHost]:
    """The host, without rules of the role at the start of each test."""
    yield made_host
    made_host.firewall("remove")
    for file in made_host.rules.iterdir():
        file.unlink()


@pytest.fixture
def policy() -> Policy:
    """PHI and Anon on one host: PHI takes from a scanner, delivers to Anon and to another host."""
    return {
        "kinds": {
            "phi": {
                "name": "orthanc-phi",
                "ports": {"http_port": 8042, "dicom_port": 4242},
                "dicom_nodes": [{"name": "ct1", "host": "10.77.1.2", "port": 104}],
            },
            "anon": {
                "name": "orthanc-anon",
                "ports": {"http_port": 8043, "dicom_port": 4243},
                "dicom_nodes": [{"name": "viewer", "host": "fd77:1::2", "port": 104}],
            },
        },
        "incoming": [{"kind": "anon", "service": "web", "from_kind": "phi"}],
        "outgoing": [
            {"kind": "phi", "to": TO_STRANGER, "port": 8043},
            {"kind": "phi", "to": "10.77.2.2", "port": 8044},
        ],
        "called_nodes": {},
        "nameservers": [],
        "web_users": [WWW_DATA],
        "proxy_ports": [443],
        "proxy_networks": ["10.77.1.0/24"],
        "log_limit": "6/minute",
    }


@pytest.fixture
def guarded(host: FirewalledHost, policy: Policy) -> FirewalledHost:
    host.guard(policy)
    return host


def test_without_rules_everything_is_open(host: FirewalledHost) -> None:
    assert host.calls(SCANNER, TO_SCANNER, 4242)
    assert host.calls(STRANGER, TO_STRANGER, 4242)
    assert host.calls(STRANGER, TO_STRANGER, 8043)
    assert host.calls(STRANGER, "fd77:2::1", 4243)
    assert host.calls(HOST, "127.0.0.1", 8042, NOBODY)
    assert host.calls(HOST, host.address("orthanc-phi-db"), 5432, NOBODY)
    assert host.container_calls("other", TO_STRANGER, 4242)
    assert host.container_calls("orthanc-anon", TO_STRANGER, 4242)


@pytest.mark.attack(
    NEIGHBOUR,
    "calls the DICOM port from an address that is no scanner's",
    "the firewall",
)
def test_the_scanner_reaches_the_dicom_port_and_a_stranger_does_not(
    guarded: FirewalledHost,
) -> None:
    assert guarded.calls(SCANNER, TO_SCANNER, 4242)
    assert not guarded.calls(STRANGER, TO_STRANGER, 4242)


@pytest.mark.attack(
    NEIGHBOUR,
    "has a scanner's address and calls other ports",
    "the firewall: a list for each port",
)
def test_a_scanner_reaches_no_port_but_its_own(guarded: FirewalledHost) -> None:
    assert not guarded.calls(SCANNER, TO_SCANNER, 4243)
    assert not guarded.calls(SCANNER, TO_SCANNER, 8043)


@pytest.mark.attack(
    NEIGHBOUR,
    "goes by a route to a container that publishes a port",
    "the firewall: only what was called at the published port",
)
def test_nobody_reaches_a_container_by_a_route_to_its_own_address(guarded: FirewalledHost) -> None:
    assert not guarded.calls(STRANGER, guarded.address("orthanc-phi"), 4242)
    assert not guarded.calls(SCANNER, guarded.address("orthanc-phi-db"), 5432)


def test_a_container_of_someone_else_reaches_no_orthanc(guarded: FirewalledHost) -> None:
    for port in (4242, 4243, 8043):
        assert not guarded.container_calls("other", TO_STRANGER, port)
    assert not guarded.container_calls("other", guarded.address("orthanc-phi"), 4242)
    assert not guarded.container_calls("other", guarded.address("orthanc-phi-db"), 5432)


def test_phi_reaches_the_web_port_of_anon_and_nothing_else_there(guarded: FirewalledHost) -> None:
    assert guarded.container_calls("worker", TO_STRANGER, 8043)
    assert not guarded.container_calls("worker", TO_STRANGER, 4243)
    assert not guarded.container_calls("worker", guarded.address("orthanc-anon"), 8042)


@pytest.mark.attack(
    CONTAINER,
    "calls PHI by any address of the host or of its containers",
    "the firewall",
)
def test_anon_reaches_nothing_of_phi(guarded: FirewalledHost) -> None:
    assert not guarded.container_calls("orthanc-anon", TO_STRANGER, 4242)
    assert not guarded.container_calls("orthanc-anon", guarded.address("orthanc-phi"), 8042)
    assert not guarded.container_calls("orthanc-anon", guarded.address("orthanc-phi-db"), 5432)


@pytest.mark.attack(
    LOCAL,
    "calls the databases",
    "the firewall: their own network only",
)
def test_a_database_is_reached_from_its_own_network_only(guarded: FirewalledHost) -> None:
    database = guarded.address("orthanc-phi-db")

    assert guarded.container_calls("worker", database, 5432)
    assert not guarded.calls(HOST, database, 5432)
    assert not guarded.calls(HOST, database, 5432, NOBODY)


@pytest.mark.attack(
    LOCAL,
    "calls the HTTPS ports by any address",
    "the firewall: only Apache's user and root",
)
def test_apache_and_root_reach_the_web_ports_and_other_local_users_do_not(
    guarded: FirewalledHost,
) -> None:
    for address, port in (("127.0.0.1", 8042), (TO_STRANGER, 8043)):
        assert guarded.calls(HOST, address, port, WWW_DATA)
        assert guarded.calls(HOST, address, port)
        assert not guarded.calls(HOST, address, port, NOBODY)
    inside = guarded.address("orthanc-phi")
    assert guarded.calls(HOST, inside, 8042, WWW_DATA)
    assert not guarded.calls(HOST, inside, 8042, NOBODY)
    assert not guarded.calls(HOST, inside, 4242, WWW_DATA)


def test_on_a_host_of_anon_alone_local_users_reach_no_port_by_its_own_address(
    host: FirewalledHost, policy: Policy
) -> None:
    # No port of this host is one of the containers' own, by which a rule might hold by chance.
    del policy["kinds"]["phi"]
    policy["incoming"], policy["outgoing"] = [], []
    host.guard(policy)

    for port in (8043, 4243):
        assert not host.calls(HOST, TO_STRANGER, port, NOBODY)
        assert host.calls(HOST, TO_STRANGER, port)
    assert host.calls(HOST, TO_STRANGER, 8043, WWW_DATA)


def test_root_of_the_host_calls_a_dicom_port_by_any_address(guarded: FirewalledHost) -> None:
    for address in ("127.0.0.1", TO_STRANGER):
        assert guarded.calls(HOST, address, 4242)
        assert not guarded.calls(HOST, address, 4242, NOBODY)


def test_a_network_that_may_use_a_web_port_opens_it_to_no_local_user(
    host: FirewalledHost, policy: Policy
) -> None:
    policy["incoming"].append({"kind": "anon", "service": "web", "from": "10.77.2.0/24"})
    host.guard(policy)

    assert host.calls(STRANGER, TO_STRANGER, 8043)
    assert not host.calls(HOST, TO_STRANGER, 8043, NOBODY)


def test_a_scanner_on_the_host_itself_reaches_the_dicom_port(
    host: FirewalledHost, policy: Policy
) -> None:
    policy["kinds"]["phi"]["dicom_nodes"] = [{"name": "local", "host": "127.0.0.1"}]
    host.guard(policy)

    assert host.calls(HOST, "127.0.0.1", 4242, NOBODY)
    assert not host.calls(HOST, TO_STRANGER, 4242, NOBODY)


@pytest.mark.attack(
    PHI,
    "sends identified data to another machine",
    "the firewall: destinations only",
)
def test_phi_goes_to_its_destinations_only(guarded: FirewalledHost) -> None:
    with guarded.listener(STRANGER, 8044), guarded.listener(STRANGER, 8045):
        assert guarded.container_calls("worker", "10.77.2.2", 8044)
        assert not guarded.container_calls("worker", "10.77.2.2", 8045)
        assert not guarded.container_calls("orthanc-anon", "10.77.2.2", 8044)
        assert guarded.container_calls("other", "10.77.2.2", 8045)


@pytest.mark.attack(
    CONTAINER,
    "calls SSH and other services of the host",
    "the firewall",
)
def test_phi_reaches_no_service_of_the_host(guarded: FirewalledHost) -> None:
    with guarded.listener(HOST, 2222):
        assert not guarded.container_calls("worker", TO_STRANGER, 2222)
        assert guarded.container_calls("other", TO_STRANGER, 2222)


def test_a_mail_relay_on_the_host_is_reached_when_it_is_listed(
    host: FirewalledHost, policy: Policy
) -> None:
    policy["outgoing"].append({"kind": "phi", "to": TO_STRANGER, "port": 2525})
    host.guard(policy)

    with host.listener(HOST, 2525):
        assert host.container_calls("worker", TO_STRANGER, 2525)
        assert not host.container_calls("orthanc-anon", TO_STRANGER, 2525)


@pytest.mark.attack(
    NEIGHBOUR,
    "comes by IPv6",
    "the same rules for IPv6",
)
def test_ipv6_is_open_to_whom_it_lists_and_closed_to_others(guarded: FirewalledHost) -> None:
    assert guarded.calls(SCANNER, "fd77:1::1", 4243)
    assert not guarded.calls(STRANGER, "fd77:2::1", 4243)
    assert not guarded.calls(SCANNER, "fd77:1::1", 4242)
    assert not guarded.calls(HOST, "::1", 8043, NOBODY)
    assert guarded.calls(HOST, "::1", 8043, WWW_DATA)


def test_apache_is_open_to_its_networks(guarded: FirewalledHost) -> None:
    with guarded.listener(HOST, 443):
        assert guarded.calls(SCANNER, TO_SCANNER, 443)
        assert not guarded.calls(STRANGER, TO_STRANGER, 443)
        assert guarded.calls(HOST, "127.0.0.1", 443, NOBODY)


@pytest.mark.attack(
    CONTAINER, "asks a cloud's metadata service for the host's rights", "the firewall"
)
def test_no_container_of_an_orthanc_reaches_a_metadata_service(
    guarded: FirewalledHost,
) -> None:
    with guarded.metadata_service() as address:
        assert guarded.container_calls("other", address, 80)
        for container in ("orthanc-anon", "orthanc-phi", "orthanc-phi-db", "worker"):
            assert not guarded.container_calls(container, address, 80), container


@pytest.mark.attack(
    NEIGHBOUR,
    "calls the database's port, which is open for workers on other hosts",
    "the firewall: their hosts only",
)
def test_a_published_database_is_open_to_other_hosts_of_workers_only(
    host: FirewalledHost, policy: Policy
) -> None:
    policy["kinds"]["phi"]["ports"]["database_port"] = 5432
    policy["incoming"].append({"kind": "phi", "service": "database", "from": "10.77.1.2"})
    host.guard(policy)

    assert host.calls(SCANNER, TO_SCANNER, 5432)
    assert not host.calls(STRANGER, TO_STRANGER, 5432)
    assert not host.calls(HOST, "127.0.0.1", 5432, NOBODY)
    for container in ("orthanc-anon", "other"):
        assert not host.container_calls(container, TO_STRANGER, 5432), container
    assert host.container_calls("worker", host.address("orthanc-phi-db"), 5432)


def test_ports_of_others_stay_as_they_are(guarded: FirewalledHost) -> None:
    with guarded.listener(HOST, 22):
        assert guarded.calls(STRANGER, TO_STRANGER, 22)
        assert guarded.calls(HOST, "127.0.0.1", 22, NOBODY)


def test_refusals_are_counted_and_their_log_is_limited(guarded: FirewalledHost) -> None:
    for _ in range(15):
        guarded.calls(STRANGER, TO_STRANGER, 4242)

    assert guarded.count("ORTHANC-PHI-DICOM", "ORTHANC-REFUSE") == 15
    assert guarded.count("ORTHANC-REFUSE", "REJECT") == 15
    assert 10 <= guarded.count("ORTHANC-REFUSE", "LOG") <= 12


def test_an_established_connection_outlives_a_reload_that_closes_the_port(
    guarded: FirewalledHost, policy: Policy
) -> None:
    with guarded.connection(SCANNER, TO_SCANNER, 4242) as client:
        assert client.stdin
        assert client.stdout
        client.stdin.write(b"before\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"before\n"

        policy["kinds"]["phi"]["dicom_nodes"] = []
        guarded.guard(policy)

        assert not guarded.calls(SCANNER, TO_SCANNER, 4242)
        client.stdin.write(b"after\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"after\n"


def test_a_second_load_leaves_the_rules_identical(guarded: FirewalledHost) -> None:
    before = guarded.saved(4), guarded.saved(6)
    guarded.firewall("load")

    assert (guarded.saved(4), guarded.saved(6)) == before
    assert guarded.firewall("status") == ""


def test_rules_of_others_outlive_loading_and_removing(host: FirewalledHost, policy: Policy) -> None:
    host.iptables("-N", "FOREIGN")
    host.iptables("-A", "FOREIGN", "-s", "203.0.113.7", "-j", "DROP")
    for chain in ("INPUT", "DOCKER-USER"):
        host.iptables("-I", chain, "1", "-j", "FOREIGN")
    before = host.saved(4), host.saved(6)

    host.guard(policy)
    foreign = [line for line in host.saved() if "ORTHANC" not in line]
    host.firewall("remove")
    after = host.saved(4), host.saved(6)
    for chain in ("INPUT", "DOCKER-USER"):
        host.iptables("-D", chain, "-j", "FOREIGN")
    host.iptables("-F", "FOREIGN")
    host.iptables("-X", "FOREIGN")

    assert foreign == before[0]
    assert after == before


def test_a_kind_that_is_gone_leaves_no_chain(guarded: FirewalledHost, policy: Policy) -> None:
    del policy["kinds"]["anon"]
    guarded.guard(policy)

    assert not [line for line in guarded.saved() if "ANON" in line]


def test_a_restart_of_the_engine_leaves_the_rules_in_force(guarded: FirewalledHost) -> None:
    before = guarded.saved()
    guarded.stop_engine()
    guarded.start_engine()

    own = [line for line in before if "ORTHANC" in line]
    assert [line for line in guarded.saved() if "ORTHANC" in line] == own
    assert guarded.calls(SCANNER, TO_SCANNER, 4242)
    assert not guarded.calls(STRANGER, TO_STRANGER, 4242)
    assert guarded.container_calls("worker", TO_STRANGER, 8043)


def test_after_a_boot_the_rules_are_there_before_the_engine(guarded: FirewalledHost) -> None:
    guarded.stop_engine()
    for table in ("filter", "nat"):
        guarded.iptables("-t", table, "-F")
        guarded.iptables("-t", table, "-X")

    guarded.firewall("start")
    guarded.start_engine()

    assert guarded.saved().count("-A FORWARD -j DOCKER-USER") == 1
    assert guarded.firewall("status") == ""
    assert guarded.calls(SCANNER, TO_SCANNER, 4242)
    assert not guarded.calls(STRANGER, TO_STRANGER, 4242)


def test_rules_that_are_not_kept_go_back(guarded: FirewalledHost, policy: Policy) -> None:
    before = guarded.saved()
    policy["proxy_ports"] = [22]
    guarded.want(policy)
    guarded.firewall("try", "2")
    with guarded.listener(HOST, 22):
        assert not guarded.calls(STRANGER, TO_STRANGER, 22)
        time.sleep(3)
        assert guarded.calls(STRANGER, TO_STRANGER, 22)

    assert guarded.saved() == before
    assert "trial is over" in guarded.firewall("keep", check=False)
    assert "has not been kept" in guarded.firewall("status", check=False)


def test_first_rules_that_are_not_kept_leave_nothing(host: FirewalledHost, policy: Policy) -> None:
    before = host.saved(4), host.saved(6)
    host.want(policy)
    host.firewall("try", "1")
    time.sleep(2)

    assert (host.saved(4), host.saved(6)) == before


def test_rules_that_are_kept_stay(host: FirewalledHost, policy: Policy) -> None:
    host.want(policy)
    host.firewall("try", "1")
    host.firewall("keep")
    time.sleep(2)

    assert host.firewall("status") == ""


def test_a_file_that_cannot_be_loaded_changes_nothing(guarded: FirewalledHost) -> None:
    before = guarded.saved(4), guarded.saved(6)
    with (guarded.rules / "wanted.6").open("a") as file:
        file.write("-A ORTHANC-IN -j NOWHERE\n")

    assert "NOWHERE" in guarded.firewall("try", "5", check=False)
    assert (guarded.saved(4), guarded.saved(6)) == before


def test_a_rule_that_someone_removed_is_noticed_and_comes_back(guarded: FirewalledHost) -> None:
    rule = ["ORTHANC-PHI-DICOM", "-j", "ORTHANC-REFUSE"]
    guarded.iptables("-D", *rule)

    assert f"+-A {' '.join(rule)}" in guarded.firewall("status", check=False)
    guarded.firewall("load")
    assert guarded.firewall("status") == ""
