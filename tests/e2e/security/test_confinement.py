# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of the CIS Docker Benchmark (1.6, sections 4 and 5) that concern a container."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deployed
from deployed import CONFIG

Told = dict[str, Any]
HOST = "the CIS Docker Benchmark"
CONTAINERS = (*deployed.CONTAINERS, "e2e-phi-mail")
SHARED = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode")


def is_numeric_user(told: Told) -> bool:
    user, _, group = told["Config"]["User"].partition(":")
    return int(user) > 0 and int(group) > 0


def has_no_sensitive_mount(told: Told) -> bool:
    sources = [Path(mount.get("Source", "/")) for mount in told["Mounts"]]
    ours = ("/etc/orthanc-e2e/", "/srv/orthanc-e2e/")
    return all(str(source).startswith(ours) for source in sources)


def writes_only_its_data(told: Told) -> bool:
    written = [mount["Destination"] for mount in told["Mounts"] if mount["RW"]]
    return set(written) <= {
        "/var/lib/orthanc", "/var/lib/postgresql/data", "/var/spool/orthanc-deid",
        "/var/spool/exim4", "/tree",
    }  # fmt: skip


def is_bound_to_named_addresses(told: Told) -> bool:
    bindings = told["HostConfig"]["PortBindings"] or {}
    named = [one["HostIp"] for port in bindings.values() for one in port]
    return all(address not in {"", "0.0.0.0", "::"} for address in named)


def has_limited_restarts(told: Told) -> bool:
    policy = told["HostConfig"]["RestartPolicy"]
    return bool(policy["Name"] == "unless-stopped" or 0 < policy["MaximumRetryCount"] <= 5)


def has_limited_logs(told: Told) -> bool:
    log = told["HostConfig"]["LogConfig"]["Config"]
    return bool(log["max-size"]) and int(log["max-file"]) > 0


ITEMS: dict[str, Callable[[Told], Any]] = {
    "4.1 a user of its own": is_numeric_user,
    "4.6 a health check": lambda told: told["Config"]["Healthcheck"]["Test"],
    "5.2, 5.22 Docker's seccomp profile, AppArmor as the host has it": lambda told: (
        not [
            option
            for option in told["HostConfig"]["SecurityOpt"]
            if option.startswith(("seccomp", "apparmor", "label"))
        ]
    ),
    "5.4 no capability": lambda told: (
        told["HostConfig"]["CapDrop"] == ["ALL"] and not told["HostConfig"]["CapAdd"]
    ),
    "5.5 not privileged": lambda told: not told["HostConfig"]["Privileged"],
    "5.6 no sensitive directory of the host": has_no_sensitive_mount,
    "5.7 no SSH server": lambda told: "sshd" not in deployed.docker("top", told["Name"]),
    "5.8 no port below 1024": lambda told: all(
        int(one["HostPort"]) >= 1024
        for port in (told["HostConfig"]["PortBindings"] or {}).values()
        for one in port
    ),
    "5.10, 5.16, 5.17, 5.21, 5.31 no namespace of the host": lambda told: (
        not [name for name in SHARED if told["HostConfig"].get(name) == "host"]
    ),
    "5.11 a limit of memory": lambda told: 0 < told["HostConfig"]["Memory"] <= 4 * 2**30,
    "5.13 a read-only root": lambda told: told["HostConfig"]["ReadonlyRootfs"],
    "5.13 writes only its data": writes_only_its_data,
    "5.14 ports on named addresses": is_bound_to_named_addresses,
    "5.15 starts again, with a bound or until it is stopped": has_limited_restarts,
    "5.18 no device": lambda told: not told["HostConfig"]["Devices"],
    "5.20 no shared mount": lambda told: (
        not [mount for mount in told["Mounts"] if mount["Propagation"] in {"shared", "rshared"}]
    ),
    "5.26 no new privileges": lambda told: (
        "no-new-privileges:true" in told["HostConfig"]["SecurityOpt"]
    ),
    "5.29 a limit of processes": lambda told: 0 < told["HostConfig"]["PidsLimit"] <= 512,
    "5.30 a network of its own, not Docker's": lambda told: (
        "bridge" not in told["NetworkSettings"]["Networks"]
        and len(told["NetworkSettings"]["Networks"]) == 1
    ),
    "5.32 no Docker socket": lambda told: "docker.sock" not in json.dumps(told["Mounts"]),
    "logs that are rotated": has_limited_logs,
}


@pytest.mark.attack(
    HOST, "asks each container for what it may", "21 items hold, for each container"
)
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_may_what_it_must_and_nothing_else(container: str) -> None:
    told = deployed.inspect(container)

    assert [name for name, holds in ITEMS.items() if not holds(told)] == []


def test_no_container_of_the_site_is_left_out() -> None:
    running = deployed.docker("ps", "--filter", "name=^e2e-", "--format", "{{.Names}}").split()

    assert sorted(running) == sorted(CONTAINERS)


@pytest.mark.attack(HOST, "looks for secrets in what Docker knows and logs", "4.10 there are none")
def test_docker_knows_no_secret() -> None:
    secrets = [path.read_text().strip() for path in CONFIG.glob("*/secrets/**/*") if path.is_file()]
    told = "".join(
        deployed.docker("inspect", name)
        + deployed.docker("logs", name)
        + deployed.docker("history", "--no-trunc", deployed.inspect(name)["Image"])
        for name in CONTAINERS
    )

    assert len(secrets) > 20
    assert not [secret for secret in secrets if secret in told]
