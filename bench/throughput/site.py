# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that is measured: one that stands on this machine, or one that is there for the bench.

Its variables are those of `inventories/demo` and a file of names, ports and directories.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from orthanc_deid.destination_config import Server
from orthanc_deid.orthanc_client import OrthancClient

ROOT: Final = Path(__file__).resolve().parents[2]
OWN: Final = Path(__file__).with_name("site_vars.yml")
_DEMO: Final = ROOT / "inventories/demo"
_ATTEMPTS: Final = 10
# The bench reaches the Orthancs past Apache.
_KINDS: Final = ("--skip-tags", "apache")


class BenchError(Exception):
    """The bench cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Site:
    """Where the Orthancs of a site are.

    Attributes:
        file: its variables, as for `ansible-playbook -e @FILE`.
        count: how many workers it has; as the variables say if it is 0.
    """

    file: Path
    count: int = 0

    @cached_property
    def variables(self) -> dict[str, Any]:
        """What the playbooks are told of the site."""
        demo = yaml.safe_load((_DEMO / "group_vars/all.yml").read_text())
        return {**demo, **yaml.safe_load(self.file.read_text())}

    @property
    def config_dir(self) -> Path:
        """Where its settings and secrets are."""
        return Path(self.variables["orthanc_site_config_dir"])

    @property
    def tree(self) -> Path:
        """The tree of Disk."""
        return Path(self.variables["orthanc_site_data_dir"]) / "tree"

    @property
    def workers(self) -> list[str]:
        """The containers of its workers."""
        count = self.count or int(self.variables["orthanc_phi_workers"])
        return [f"{self.name('phi')}-worker-{number}" for number in range(1, count + 1)]

    @property
    def containers(self) -> list[str]:
        """All containers of its Orthancs, databases and workers."""
        names = [self.name(kind) for kind in ("phi", "anon", "disk")]
        return [*names, *(f"{name}-db" for name in names), *self.workers]

    @property
    def dicom_port(self) -> int:
        """Where PHI takes C-STORE."""
        return int(self.variables["orthanc_phi_dicom_port"])

    def name(self, kind: str) -> str:
        """Return the name of an Orthanc, which is that of its container."""
        return str(self.variables[f"orthanc_{kind}_name"])

    def server(self, kind: str, account: str = "administrator", host: str = "localhost") -> Server:
        """Return address and account of an Orthanc."""
        return Server(
            url=f"https://{host}:{self.variables[f'orthanc_{kind}_http_port']}",
            user=account,
            ca=self.config_dir / "ca/ca.crt",
            password=(self.config_dir / kind / "secrets" / account).read_text().strip(),
        )

    @contextlib.contextmanager
    def client(self, kind: str) -> Iterator[OrthancClient]:
        """Connect to an Orthanc, as the worker does."""
        client = OrthancClient(kind, self.server(kind))
        try:
            yield client
        finally:
            client.close()

    @contextlib.contextmanager
    def workers_paused(self) -> Iterator[Callable[..., None]]:
        """Hold the workers, so that what arrives waits for them; yields what lets them go on.

        It lets all go on, or so many as it is told.
        """
        paused: list[str] = []

        def resume(count: int | None = None) -> None:
            nonlocal paused
            going, paused = paused[:count], paused[len(paused[:count]) :]
            if going:
                docker("unpause", *going)

        try:
            for worker in self.workers:
                _pause(worker)
                paused.append(worker)
            yield resume
        finally:
            resume()


@contextlib.contextmanager
def deployed(file: Path = OWN, workers: int = 2) -> Iterator[Site]:
    """Deploy a site, and remove it with everything in it however the bench ends."""
    try:
        playbook("playbooks/site.yml", file, "-e", f"orthanc_phi_workers={workers}", *_KINDS)
        yield Site(file, workers)
    finally:
        remove(file, *_KINDS)


@contextlib.contextmanager
def standing(file: Path) -> Iterator[Site]:
    """Use a site that stands, and leave it there.

    Raises:
        BenchError: it holds studies, which a bench would delete.
    """
    site = Site(file)
    for kind in ("phi", "anon", "disk"):
        with site.client(kind) as orthanc:
            if next(orthanc.studies(), None):
                raise BenchError(
                    f"{site.name(kind)} holds studies, and the bench deletes all: "
                    "name a site without studies"
                )
    yield site


def docker(*words: str) -> str:
    """Run a docker command; returns what it prints.

    Raises:
        BenchError: it failed.
    """
    run = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"docker {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout.strip()


def _pause(container: str) -> None:
    """Pause a container; the kernel fails to freeze one now and then while it begins a process."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(BenchError):
            docker("pause", container)
            return
        time.sleep(1)
    docker("pause", container)


def remove(file: Path, *words: str) -> None:
    """Remove a site with its data and backups; images stay."""
    both = ("orthanc_site_remove_data=true", "orthanc_site_remove_backups=true")
    playbook("playbooks/remove.yml", file, "-e", " ".join(both), *words)


def playbook(path: str | Path, file: Path, *words: str) -> str:
    """Run a playbook on a site; returns what it prints.

    Args:
        path: the playbook, from the top of the project.
        file: the variables of the site.
        words: further arguments.

    Raises:
        BenchError: it failed.
    """
    command = [
        str(ROOT / ".venv/bin/ansible-playbook"),
        *("-i", str(_DEMO), str(path), "-e", f"@{file.resolve()}", *words),
    ]
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")}
    # In a session of its own: Ctrl-C is for the bench, which ends all of it and then removes.
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **collections},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise
    if process.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{told[-5000:]}")
    return told
