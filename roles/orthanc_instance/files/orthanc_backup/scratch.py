# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL that lives for one proof, without a network and apart from the running one."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orthanc_backup.config import Config
from orthanc_backup.errors import BackupError
from orthanc_backup.postgres import Server
from orthanc_backup.running import pipe, program

SECONDS_TO_START = 120
START = """
initdb --pgdata=/var/lib/postgresql/data/proof --username=postgres --encoding=UTF8 \
  --locale=C.UTF-8 --auth-local=peer --auth-host=reject >/dev/null
exec postgres -D /var/lib/postgresql/data/proof -c listen_addresses= -c fsync=off \
  -c unix_socket_directories=/var/run/postgresql -c log_min_messages=fatal \
  -c log_min_error_statement=panic -c max_wal_size=4GB -c full_page_writes=off
"""


@contextmanager
def scratch_server(config: Config) -> Iterator[Server]:
    """Run an empty server of the same image, and remove it with all that was restored into it."""
    server = Server(f"{config.name}-proof")
    _remove(server, config)
    config.scratch.mkdir(mode=0o700)
    shutil.chown(config.scratch, config.postgres_uid, config.postgres_uid)
    try:
        pipe("PostgreSQL cannot be started for the proof", _command(server, config))
        _wait(server)
        yield server
    finally:
        _remove(server, config)


def _command(server: Server, config: Config) -> list[str]:
    account = f"{config.postgres_uid}:{config.postgres_uid}"
    numbers = f"uid={config.postgres_uid},gid={config.postgres_uid},mode=0700"
    return [
        program("docker"), "run", "--detach", "--name", server.container, "--pull", "never",
        "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges:true", "--user", account,
        "--memory", config.memory, "--pids-limit", "256", "--shm-size", "256m",
        "--tmpfs=/tmp", "--tmpfs", f"/var/run/postgresql:{numbers}",
        "--volume", f"{config.scratch}:/var/lib/postgresql/data",
        "--entrypoint", "sh", config.image, "-ec", START,
    ]  # fmt: skip


def _wait(server: Server) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    question = server.inside("pg_isready", "--quiet", "-U", "postgres")
    while subprocess.run(question, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise BackupError(
                f"{server.container} did not start within {SECONDS_TO_START} seconds: see the "
                "room on the disk and the memory of the host."
            )
        time.sleep(0.5)


def _remove(server: Server, config: Config) -> None:
    command = [program("docker"), "rm", "--force", "--volumes", server.container]
    subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree(config.scratch, ignore_errors=True)
