# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules of the collection against the tests' site, as a playbook would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import deployed


def run(name: str, orthanc: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module for one Orthanc of the site, as its administrator unless told otherwise."""
    arguments = {**connection(orthanc), **options}
    command = [
        str(Path(sys.executable).with_name("ansible")),
        "-i", "localhost,", "-c", "local", "localhost",
        "-e", f"ansible_python_interpreter={sys.executable}",
        "-m", f"imaging.orthanc.{name}", "-a", json.dumps(arguments),
    ]  # fmt: skip
    done = subprocess.run(
        [*command, "--check"] if check else command,
        cwd=deployed.ROOT,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(deployed.ROOT / "playbooks/collections"),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    (play,) = json.loads(done.stdout)["plays"]
    answer: dict[str, Any] = play["tasks"][0]["hosts"]["localhost"]
    return answer


def connection(kind: str, user: str = "administrator") -> dict[str, Any]:
    """How a module reaches one Orthanc of the site."""
    return {
        "url": f"https://localhost:{deployed.PORTS[kind]}",
        "user": user,
        "password": deployed.secret(kind, user),
        "ca_path": str(deployed.CONFIG / "ca/ca.crt"),
    }
