# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that run, started anew by plain `docker run` commands, as one would by hand."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator
from typing import Any

HEALTHY_WITHIN = 180


class Containers:
    """Some containers and the commands that start them, read while they run."""

    def __init__(self, names: Iterable[str]) -> None:
        """Note how the containers run.

        Args:
            names: the containers, those first that others need.
        """
        self._names = tuple(names)
        self._commands = [list(_run_command(one)) for one in json.loads(self._docker("inspect"))]

    def start_anew(self) -> None:
        """Remove the containers, start them, and wait until all are healthy.

        Raises:
            TimeoutError: one is not healthy in time.
        """
        self._docker("rm", "--force")
        for command in self._commands:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + HEALTHY_WITHIN
        while set(self._health()) != {"healthy"}:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not healthy: {dict(zip(self._names, self._health(), strict=True))}"
                )
            time.sleep(0.2)

    def _health(self) -> list[str]:
        return self._docker("inspect", "--format", "{{.State.Health.Status}}").split()

    def _docker(self, *arguments: str) -> str:
        command = ["docker", *arguments, *self._names]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _run_command(container: dict[str, Any]) -> Iterator[str]:
    """Yield the words of the command that starts such a container."""
    config, host = container["Config"], container["HostConfig"]
    yield from ("docker", "run", "--detach", "--name", container["Name"].lstrip("/"))
    yield from ("--hostname", config["Hostname"], "--user", config["User"], "--read-only")
    yield from ("--network", host["NetworkMode"], "--memory", str(host["Memory"]))
    yield from ("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
    yield from ("--init",) if host.get("Init") else ()
    yield from ("--entrypoint", config["Entrypoint"][0])
    for name, value in config["Labels"].items():
        yield from ("--label", f"{name}={value}")
    for variable in config["Env"]:
        yield from ("--env", variable)
    for place, options in host["Tmpfs"].items():
        yield from ("--tmpfs", f"{place}:{options}" if options else place)
    for mount in container["Mounts"]:
        place = f"src={mount['Source']},dst={mount['Destination']}"
        yield from ("--mount", f"type=bind,{place}" + ("" if mount["RW"] else ",readonly"))
    for inside, outside in (host["PortBindings"] or {}).items():
        for port in outside:
            yield from ("--publish", f"{port['HostIp']}:{port['HostPort']}:{inside}")
    yield from _health_options(config["Healthcheck"])
    yield config["Image"]
    yield from config["Cmd"] or ()


def _health_options(check: dict[str, Any]) -> Iterator[str]:
    """Yield a container's health check, asked every second, in favour of Docker."""
    how, *words = check["Test"]
    yield from ("--health-cmd", words[0] if how == "CMD-SHELL" else shlex.join(words))
    yield from ("--health-interval", "1s")
    yield from ("--health-timeout", f"{check['Timeout']}ns")
    yield from ("--health-start-period", f"{check['StartPeriod']}ns")
