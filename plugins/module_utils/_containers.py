# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container engine says of the containers around an Orthanc."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.imaging.orthanc.plugins.module_utils._findings import Finding, finding

SECONDS = 10


def inspect(names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the state of each container that exists, as `docker inspect` tells it.

    Raises:
        OSError: there is no `docker` command, or it fails for another reason than a missing name.
        subprocess.TimeoutExpired: the engine does not answer.
    """
    done = subprocess.run(
        ["docker", "inspect", "--type", "container", *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    try:
        found = json.loads(done.stdout or "null") or []
    except ValueError:
        found = []
    if not found and done.returncode and "no such" not in done.stderr.lower():
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no answer")
    return {item["Name"].lstrip("/"): item["State"] for item in found}


def examine(names: list[str]) -> tuple[list[Finding], bool]:
    """Return what is wrong with the containers, and whether one of them is still starting."""
    if not names:
        return [], False
    try:
        states = inspect(names)
    except (OSError, subprocess.TimeoutExpired) as error:
        cause = f"The container engine does not tell of its containers: {error}"
        remedy = "See that the engine runs (systemctl status docker), and its log."
        return [finding("containers", cause, remedy)], False
    wrong = [item for name in names for item in _judge(name, states.get(name))]
    starting = any(_health(state) == "starting" for state in states.values())
    return wrong, starting


def _health(state: Mapping[str, Any]) -> str:
    health = state.get("Health")
    return str(health.get("Status", "")) if health else ""


def _judge(name: str, state: Mapping[str, Any] | None) -> Iterator[Finding]:
    if state is None:
        yield finding(
            "containers", f"There is no container {name}.", "Run playbooks/site.yml for this host."
        )
        return
    status = state.get("Status")
    if status == "paused":
        remedy = f"docker unpause {name}"
        yield finding("containers", f"The container {name} is paused.", remedy)
    elif status != "running":
        yield finding("containers", _stopped(name, state), f"docker logs --tail 50 {name}")
    elif _health(state) == "unhealthy":
        remedy = f"docker logs --tail 50 {name}"
        yield finding("containers", f"The engine calls the container {name} unhealthy.", remedy)


def _stopped(name: str, state: Mapping[str, Any]) -> str:
    if state.get("OOMKilled"):
        return f"The container {name} was ended, since it used more memory than it may."
    code = state.get("ExitCode")
    if state.get("Status") == "restarting":
        return f"The container {name} ends again and again, with exit code {code}."
    return f"The container {name} is {state.get('Status')}, with exit code {code}."
