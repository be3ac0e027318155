# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that are stopped, put aside under another name, and brought back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from shutil import which

from orthanc_upgrade.config import BEFORE, Config
from orthanc_upgrade.errors import UpgradeError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS_TO_START = 180


def docker(*arguments: str, check: bool = True) -> str:
    """Run docker and return what it prints.

    Raises:
        UpgradeError: It failed, and ``check`` is set.
    """
    program = which("docker", path=PATH)
    if not program:
        raise UpgradeError("This host has no program docker.")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise UpgradeError(f"docker {' '.join(arguments[:2])} failed: {last}")
    return done.stdout if done.returncode == 0 else ""


def image_of(name: str) -> str:
    """Return the image that a container was made from; empty where there is no container."""
    return docker("inspect", "--format", "{{.Config.Image}}", name, check=False).strip()


def is_running(name: str) -> bool:
    """Tell whether a container runs."""
    told = docker("inspect", "--format", "{{.State.Running}}", name, check=False)
    return told.strip() == "true"


def workers(config: Config) -> list[str]:
    """Return the workers of an Orthanc, put aside or not."""
    label = f"label=org.imaging-orthanc.worker-of={config.name}"
    return sorted(docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split())


def all_containers(config: Config) -> list[str]:
    """Return the names of an Orthanc's containers in the order in which they stop."""
    found = {name[: -len(BEFORE)] if name.endswith(BEFORE) else name for name in workers(config)}
    return [*sorted(found), config.name, config.database]


def put_aside(name: str) -> None:
    """Stop a container and give it another name, unless that was done already."""
    if image_of(name) and not image_of(name + BEFORE):
        docker("stop", name)
        docker("rename", name, name + BEFORE)


def bring_back(name: str) -> None:
    """Let what was put aside take the place of what has its name now, and run."""
    if image_of(name + BEFORE):
        docker("rm", "--force", name, check=False)
        docker("rename", name + BEFORE, name)
    if image_of(name):
        docker("start", name)


def wait_until_healthy(name: str) -> None:
    """Wait until a container's own check is content.

    Raises:
        UpgradeError: It is not in time.
    """
    form = "{{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
    deadline = time.monotonic() + SECONDS_TO_START
    while docker("inspect", "--format", form, name).strip() != "healthy":
        if time.monotonic() > deadline:
            raise UpgradeError(
                f"{name} was started, but is not healthy after {SECONDS_TO_START} seconds: see "
                f"docker logs {name}."
            )
        time.sleep(1)


def serve_files(name: str, image: str, files: Path, major: str, uid: int) -> None:
    """Run a PostgreSQL on its files, for programs of its own container only.

    With the settings that its files brought, since a deployment has written others meanwhile.
    """
    docker("rm", "--force", name, check=False)
    docker(
        "run", "--detach", "--name", name, "--pull", "never", "--network", "none", "--read-only",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--user", f"{uid}:{uid}",
        "--stop-signal", "SIGINT", "--shm-size", "256m", "--tmpfs=/tmp",
        "--tmpfs", f"/var/run/postgresql:uid={uid},gid={uid},mode=0700",
        "--volume", f"{files}:/var/lib/postgresql/data", "--entrypoint", "postgres", image,
        "-D", f"/var/lib/postgresql/data/{major}", "-c", "listen_addresses=",
        "-c", "unix_socket_directories=/var/run/postgresql", "-c", "archive_mode=off",
        "-c", "log_min_error_statement=panic",
    )  # fmt: skip
    deadline = time.monotonic() + SECONDS_TO_START
    while ask("postgres", name, "SELECT 1") != "1":
        if time.monotonic() > deadline:
            raise UpgradeError(f"{name} does not answer: see docker logs {name}.")
        time.sleep(1)


def ask(database: str, container: str, sql: str) -> str:
    """Return what a database answers; empty where it cannot."""
    return docker(
        "exec", container, "psql", "-XAtq", "-U", "postgres", "-d", database, "-c", sql, check=False
    ).strip()  # fmt: skip
