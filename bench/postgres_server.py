# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of this machine's package, started for a while and thrown away."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa


@contextlib.contextmanager
def running_postgres(*, fsync: bool) -> Iterator[sa.URL]:
    """Start a server with a database of its own; yields its address, as superuser.

    Args:
        fsync: whether it waits for the disk, as a server that matters does.
    """
    directory, user, port = binaries(), _server_user(), _free_port()
    home = Path(tempfile.mkdtemp(prefix="orthanc-deid-pg-"))
    os.chown(home, user.pw_uid, user.pw_gid)
    account = user.pw_uid if os.geteuid() == 0 else None

    def run(*command: str) -> None:
        subprocess.run(command, check=True, cwd=home, stdout=subprocess.DEVNULL, user=account)

    try:
        run(f"{directory}/initdb", "-D", "data", "-U", "owner", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home}"
        options += "" if fsync else " -c fsync=off"
        run(f"{directory}/pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        yield sa.make_url(f"postgresql+psycopg2://owner@127.0.0.1:{port}/postgres")
        run(f"{directory}/pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home)


def binaries() -> Path:
    """Where initdb is; Debian's package is installed if it is nowhere."""

    def found() -> list[Path]:
        return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    if not found():
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
        subprocess.run(
            ["apt-get", "install", "-qy", "--no-install-recommends", "postgresql"],
            check=True,
            env=environment,
        )
    return found()[-1].parent


def _server_user() -> pwd.struct_passwd:
    """PostgreSQL refuses root; then the account of its package runs it."""
    return pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam("postgres")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
