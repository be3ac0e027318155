# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide the rules of one host's firewall from its policy, and tell what is wrong with the policy.

A policy is plain data from the inventory; `firewall_rules.yml` beside this file tells its keys.
Each port gets a chain of who may call it, each kind's network a chain of where its containers may
go. What else comes to these ports and networks is refused, and nothing else is touched.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Policy = Mapping[str, Any]
Resolved = Mapping[str, Sequence[str]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The ports inside the containers of a kind, and the settings that publish them. The database's is
# published for workers on other hosts only.
CONTAINER_PORTS = {"dicom": 4242, "web": 8042, "database": 5432}
PUBLISHED_BY = {"dicom": "dicom_port", "web": "http_port", "database": "database_port"}
REJECT_WITH = {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}
ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED"
NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")


class Incoming(NamedTuple):
    """Who may call a port of an Orthanc: a host or network, or the containers of another kind."""

    kind: str
    service: str
    comment: str
    host: str = ""
    from_kind: str = ""


class Outgoing(NamedTuple):
    """Where the containers of a kind may open connections to."""

    kind: str
    host: str
    port: int
    protocol: str
    comment: str


def incoming_flows(policy: Policy) -> Iterator[Incoming]:
    """Yield who may call the Orthancs of this host."""
    for kind, own in policy["kinds"].items():
        for node in own["dicom_nodes"]:
            if node.get("allow", True):
                yield Incoming(kind, "dicom", str(node["name"]), host=str(node["host"]))
    for flow in policy["incoming"]:
        if flow["kind"] in policy["kinds"]:
            yield Incoming(
                flow["kind"],
                flow["service"],
                flow.get("comment", ""),
                host=str(flow.get("from", "")),
                from_kind=flow.get("from_kind", ""),
            )


def outgoing_flows(policy: Policy) -> Iterator[Outgoing]:
    """Yield where the containers of this host may go."""
    for kind, own in policy["kinds"].items():
        flows = [*_calls_to_nodes(kind, own, policy), *_listed_outgoing(kind, policy)]
        yield from flows
        # Who calls a name must be able to ask for its address.
        if any(_network(flow.host) is None for flow in flows):
            for server in policy["nameservers"]:
                for protocol in ("udp", "tcp"):
                    yield Outgoing(kind, str(server), 53, protocol, "names")


def _calls_to_nodes(kind: str, own: Mapping[str, Any], policy: Policy) -> Iterator[Outgoing]:
    called = policy["called_nodes"].get(kind)
    for node in own["dicom_nodes"]:
        if called is None or node["name"] in called:
            port = int(node.get("port", 104))
            yield Outgoing(kind, str(node["host"]), port, "tcp", str(node["name"]))


def _listed_outgoing(kind: str, policy: Policy) -> Iterator[Outgoing]:
    for flow in policy["outgoing"]:
        if flow["kind"] == kind:
            protocol, comment = flow.get("protocol", "tcp"), flow.get("comment", "")
            yield Outgoing(kind, str(flow["to"]), int(flow["port"]), protocol, comment)


def _network(host: str) -> Network | None:
    """Return an address or a network as a network; None for a name."""
    try:
        return ipaddress.ip_network(host)
    except ValueError:
        return None


def firewall_names(policy: Policy) -> list[str]:
    """Return the names in a policy whose addresses the rules need."""
    hosts = [flow.host for flow in incoming_flows(policy) if flow.host]
    hosts += [flow.host for flow in outgoing_flows(policy)]
    return sorted({host for host in hosts if _network(host) is None and NAME.match(host)})


def firewall_rules(policy: Policy, resolved: Resolved, family: int) -> str:
    """Return the rules of one address family, 4 or 6, for `iptables-restore --noflush`."""
    return "".join(f"{line}\n" for line in _Rules(policy, resolved, family).lines())


class _Rules:
    """The rules of one address family."""

    def __init__(self, policy: Policy, resolved: Resolved, family: int) -> None:
        self.policy = policy
        self.resolved = resolved
        self.family = family
        # However a run of Ansible has ordered them: the same policy has the same rules.
        self.kinds: Mapping[str, Mapping[str, Any]] = dict(sorted(policy["kinds"].items()))
        self.bridges = {kind: own["name"] for kind, own in self.kinds.items()}
        self.incoming = sorted(incoming_flows(policy), key=repr)
        self.outgoing = sorted(outgoing_flows(policy), key=repr)
        self.ports = [
            (kind, service, int(own["ports"][PUBLISHED_BY[service]]))
            for kind, own in self.kinds.items()
            for service in CONTAINER_PORTS
            if PUBLISHED_BY[service] in own["ports"]
        ]

    def lines(self) -> Iterator[str]:
        rules = [
            *self._callers(),
            *self._destinations(),
            *self._to_this_host(),
            *self._from_this_host(),
            *self._through_this_host(),
            *self._refusal(),
        ]
        yield "*filter"
        for chain in dict.fromkeys(rule.split()[1] for rule in rules):
            yield f":{chain} - [0:0]"
        yield from rules
        yield "COMMIT"

    def _addresses(self, host: str) -> Iterator[str]:
        """Yield what a host, network or name stands for in this family, without repetition."""
        found = _network(host)
        networks = (
            [ipaddress.ip_network(address) for address in self.resolved.get(host, ())]
            if found is None
            else [found]
        )
        for network in dict.fromkeys(networks):
            if network.version == self.family:
                yield str(network)

    def _callers(self) -> Iterator[str]:
        """One chain for each port: who may call it."""
        for kind, service, _ in self.ports:
            chain = _chain(kind, service)
            for flow in self.incoming:
                if (flow.kind, flow.service) != (kind, service):
                    continue
                if flow.from_kind in self.bridges:
                    source = f"-i {self.bridges[flow.from_kind]}"
                    yield f"-A {chain} {source}{_comment(flow.comment)} -j ACCEPT"
                for address in self._addresses(flow.host):
                    yield f"-A {chain} -s {address}{_comment(flow.comment)} -j ACCEPT"
            yield f"-A {chain} -j ORTHANC-REFUSE"
        if self.policy["proxy_ports"]:
            for network in self.policy["proxy_networks"]:
                for address in self._addresses(str(network)):
                    yield f"-A ORTHANC-PROXY -s {address} -j ACCEPT"
            yield "-A ORTHANC-PROXY -j ORTHANC-REFUSE"

    def _destinations(self) -> Iterator[str]:
        """One chain for each kind: where its containers may go, by the address that they call."""
        for kind in self.kinds:
            chain = _chain(kind, "out")
            for flow in self.outgoing:
                if flow.kind == kind:
                    for address in self._addresses(flow.host):
                        yield (
                            f"-A {chain} -p {flow.protocol} -m conntrack --ctorigdst {address}"
                            f" --ctorigdstport {flow.port}{_comment(flow.comment)} -j ACCEPT"
                        )
            yield f"-A {chain} -j ORTHANC-REFUSE"

    def _to_this_host(self) -> Iterator[str]:
        """What arrives at the host itself: for Apache, or for the engine's proxy of a port."""
        yield f"-A ORTHANC-IN {ESTABLISHED} -j RETURN"
        yield "-A ORTHANC-IN -i lo -j RETURN"
        for kind, service, port in self.ports:
            yield f"-A ORTHANC-IN -p tcp -m tcp --dport {port} -j {_chain(kind, service)}"
        for kind, bridge in self.bridges.items():
            yield f"-A ORTHANC-IN -i {bridge} -j {_chain(kind, 'out')}"
        for port in self.policy["proxy_ports"]:
            yield f"-A ORTHANC-IN -p tcp -m tcp --dport {port} -j ORTHANC-PROXY"

    def _from_this_host(self) -> Iterator[str]:
        """What local processes send; the engine's proxy of a port is one of root's."""
        yield f"-A ORTHANC-OUT {ESTABLISHED} -j RETURN"
        for kind, service, port in self.ports:
            inside, web = CONTAINER_PORTS[service], service == "web"
            # Behind the engine's change of address a packet still seems to leave by lo.
            called = f"-A ORTHANC-OUT -p tcp -m tcp --dport {inside} {_published(port)}"
            into = f"-A ORTHANC-OUT -o {self.bridges[kind]} -p tcp -m tcp --dport {inside}"
            here = f"-A ORTHANC-OUT -o lo -p tcp -m tcp --dport {port}"
            for user in dict.fromkeys([0, *(self.policy["web_users"] if web else ())]):
                for way in (called, into, here):
                    yield f"{way} -m owner --uid-owner {user} -j ACCEPT"
            for way in (called, here):
                yield f"{way} -j {'ORTHANC-REFUSE' if web else _chain(kind, service)}"
        for bridge in self.bridges.values():
            yield f"-A ORTHANC-OUT -o {bridge} -j ORTHANC-REFUSE"

    def _through_this_host(self) -> Iterator[str]:
        """What the host forwards: DOCKER-USER sees it after the engine's change of its address."""
        for bridge in self.bridges.values():
            yield f"-A ORTHANC-FWD -i {bridge} -o {bridge} -j RETURN"
            yield f"-A ORTHANC-FWD -i {bridge} {ESTABLISHED} -j ACCEPT"
            yield f"-A ORTHANC-FWD -o {bridge} {ESTABLISHED} -j ACCEPT"
        for kind, service, port in self.ports:
            yield (
                f"-A ORTHANC-FWD -o {self.bridges[kind]} -p tcp -m tcp"
                f" --dport {CONTAINER_PORTS[service]} {_published(port)} -j {_chain(kind, service)}"
            )
        for bridge in self.bridges.values():
            yield f"-A ORTHANC-FWD -o {bridge} -j ORTHANC-REFUSE"
        for kind, bridge in self.bridges.items():
            yield f"-A ORTHANC-FWD -i {bridge} -j {_chain(kind, 'out')}"

    def _refusal(self) -> Iterator[str]:
        limit = self.policy["log_limit"]
        yield (
            f"-A ORTHANC-REFUSE -m limit --limit {limit} --limit-burst 10"
            ' -j LOG --log-prefix "orthanc-firewall: "'
        )
        yield "-A ORTHANC-REFUSE -p tcp -j REJECT --reject-with tcp-reset"
        yield f"-A ORTHANC-REFUSE -j REJECT --reject-with {REJECT_WITH[self.family]}"


def _chain(kind: str, service: str) -> str:
    return f"ORTHANC-{kind}-{service}".upper()


def _published(port: int) -> str:
    """Match what called a published port, not who has a route to the container itself."""
    return f"-m conntrack --ctstate DNAT --ctorigdstport {port} --ctdir ORIGINAL"


def _comment(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9 ._@:/-]", "?", text)[:200]
    return f' -m comment --comment "{plain}"' if plain else ""


def firewall_problems(policy: Policy, resolved: Resolved, ssh_ports: Iterable[int]) -> list[str]:
    """Return what is wrong with a policy, one sentence each with variable, value and fix."""
    return list(
        dict.fromkeys(
            [
                *_port_problems(policy, {int(port) for port in ssh_ports}),
                *_host_problems(policy, resolved),
                *_proxy_problems(policy),
                *_node_problems(policy),
                *_user_problems(policy),
            ]
        )
    )


def _named_ports(policy: Policy) -> Iterator[tuple[str, int]]:
    for kind, own in policy["kinds"].items():
        for name in own["ports"]:
            yield f"orthanc_{kind}_{name}", int(own["ports"][name])
    for port in policy["proxy_ports"]:
        yield "firewall_proxy_ports", int(port)


def _port_problems(policy: Policy, ssh_ports: set[int]) -> Iterator[str]:
    closed = list(_named_ports(policy))
    called = [("firewall_outgoing", int(flow["port"])) for flow in policy["outgoing"]]
    for variable, port in [*closed, *called]:
        if not 1 <= port <= 65535:
            yield f"{variable} has {port}: a port is a number from 1 to 65535."
    for variable, port in closed:
        if port in ssh_ports:
            yield (
                f"{variable} has {port}, where SSH listens: the firewall would close it. "
                "Choose another port."
            )
    for port, count in Counter(port for _, port in closed).items():
        proxied = port in map(int, policy["proxy_ports"])
        if proxied and count > 1:
            yield f"firewall_proxy_ports has {port}, which another port of this host is, too."


def _host_problems(policy: Policy, resolved: Resolved) -> Iterator[str]:
    named = [
        (
            f"orthanc_{flow.kind}_dicom_nodes, firewall_incoming or a host that calls it",
            flow.host,
        )
        for flow in incoming_flows(policy)
        if flow.host
    ]
    named += [
        (f"firewall_outgoing, or a destination of orthanc_{flow.kind},", flow.host)
        for flow in outgoing_flows(policy)
    ]
    for variable, host in named:
        if _network(host) is None and not resolved.get(host):
            yield (
                f"{variable} has {host!r}, which is no address, no network and no name that this "
                "host can resolve: correct it, or give the address."
            )


def _proxy_problems(policy: Policy) -> Iterator[str]:
    if policy["proxy_ports"] and not policy["proxy_networks"]:
        yield (
            "firewall_proxy_networks is empty, so nobody could reach Apache: name the networks of "
            "the people who use it, such as [10.20.0.0/16]."
        )
    for network in policy["proxy_networks"]:
        if _network(str(network)) is None:
            yield (
                f"firewall_proxy_networks has {network!r}: use addresses, or networks such as "
                "10.20.0.0/16 without bits beyond the mask."
            )


def _node_problems(policy: Policy) -> Iterator[str]:
    for kind, names in policy["called_nodes"].items():
        if kind not in ("phi", "anon", "disk"):
            yield f"firewall_called_nodes has {kind!r}: kinds are phi, anon and disk."
        elif kind in policy["kinds"]:
            known = [node["name"] for node in policy["kinds"][kind]["dicom_nodes"]]
            for name in names:
                if name not in known:
                    yield (
                        f"firewall_called_nodes has {name!r} for {kind}, whom "
                        f"orthanc_{kind}_dicom_nodes does not list: correct or remove it."
                    )


def _user_problems(policy: Policy) -> Iterator[str]:
    for user in policy["unknown_users"]:
        yield (
            f"firewall_web_users has {user!r}, whom this host does not know: correct it, or make "
            "the user first."
        )


class FilterModule:
    """Ansible's entry to the filters."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {
            "firewall_names": firewall_names,
            "firewall_problems": firewall_problems,
            "firewall_rules": firewall_rules,
        }
