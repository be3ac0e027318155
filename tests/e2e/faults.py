# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks on a site: each fault is done to the real thing, and undone if it does not heal."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx

import deployed
from deployed import CONTAINERS, TREE
from flow import Flow

Fault = Callable[[Flow, random.Random], None]
STORAGE = Path("/srv/orthanc-e2e/phi/storage")
# Jobs without locks, as no version of the program makes them: any number may start at once.
ANOTHER_JOB = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT 'default', 'anonymize_study', '{{"study": {study}}}' FROM generate_series(1, 4)
"""
DROP_A_THIRD = """

_is_deidentified = is_deidentified


def is_deidentified(data):
    return _is_deidentified(data) and sum(data) % 3 != 0
"""


def kill(container: str) -> None:
    """Kill a container's first process as the kernel would; the engine starts it again."""
    os.kill(deployed.inspect(container)["State"]["Pid"], signal.SIGKILL)


def healthy(container: str) -> None:
    """Wait until a container is healthy."""
    deployed.wait_for(
        f"{container} is healthy",
        lambda: deployed.inspect(container)["State"]["Health"]["Status"] == "healthy",
        180,
    )


def killed(container: str) -> Fault:
    """Kill a container twice, at random moments."""

    def fault(_flow: Flow, moment: random.Random) -> None:
        for _ in range(2):
            time.sleep(moment.uniform(0, 6))
            kill(container)
            time.sleep(2)
        healthy(container)

    return fault


def restarted(*containers: str, seconds: float = 3) -> Fault:
    """Stop containers in order, and start them again."""

    def fault(_flow: Flow, moment: random.Random) -> None:
        time.sleep(moment.uniform(0, 6))
        deployed.docker("stop", *containers)
        time.sleep(seconds)
        deployed.docker("start", *containers)

    return fault


def hung(container: str, seconds: float) -> Fault:
    """Let a container hold its connections and answer nothing."""

    def fault(_flow: Flow, moment: random.Random) -> None:
        time.sleep(moment.uniform(0, 6))
        deployed.docker("pause", container)
        time.sleep(seconds)
        deployed.docker("unpause", container)

    return fault


def _address(container: str) -> str:
    networks = deployed.inspect(container)["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def cut(container: str, seconds: float) -> Fault:
    """Drop every packet to a container."""

    def fault(_flow: Flow, moment: random.Random) -> None:
        time.sleep(moment.uniform(0, 6))
        rule = ["DOCKER-USER", "-d", _address(container), "-j", "DROP"]
        subprocess.run(["iptables", "-I", *rule], check=True)
        try:
            time.sleep(seconds)
        finally:
            subprocess.run(["iptables", "-D", *rule], check=True)

    return fault


@contextlib.contextmanager
def _small(directory: Path, container: str, size: str) -> Iterator[None]:
    """Give a container's directory a file system of its own, soon full, and then room in it."""
    owner = directory.stat()
    deployed.docker("stop", container)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory], check=True)
    os.chown(directory, owner.st_uid, owner.st_gid)
    directory.chmod(owner.st_mode & 0o7777)
    deployed.docker("start", container)
    healthy(container)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,size=2g", "none", directory], check=True)


def put_back_file_systems() -> None:
    """Move what came onto a small file system to where it belongs."""
    for directory, container in ((TREE, "e2e-disk"), (STORAGE, "e2e-phi")):
        if not directory.is_mount():
            continue
        deployed.docker("stop", container)
        with tempfile.TemporaryDirectory() as kept:
            subprocess.run(["cp", "-a", f"{directory}/.", kept], check=True)
            subprocess.run(["umount", directory], check=True)
            subprocess.run(["cp", "-a", f"{kept}/.", directory], check=True)
        deployed.docker("start", container)
        healthy(container)


def tree_full(_flow: Flow, _moment: random.Random) -> None:
    """Fill the file system of Disk's tree, and give it room when Disk has said so."""
    with _small(TREE, "e2e-disk", "2m"):
        deployed.wait_for("Disk says that its tree is full", _tree_is_full, 240)


def _tree_is_full() -> bool:
    with deployed.client("disk") as disk:
        return bool(disk.get("/disk/status").raise_for_status().json()["problem"])


def storage_full(flow: Flow, _moment: random.Random) -> None:
    """Fill the file system of PHI's storage; PHI refuses, and the scanner sends again."""
    with _small(STORAGE, "e2e-phi", "4m"):
        deployed.wait_for("PHI has refused an instance", lambda: flow.refused, 240)


def filtered(flow: Flow, _moment: random.Random) -> None:
    """Let Anon answer with 200 and drop every third instance, and mend it when PHI has noticed."""
    script = deployed.CONFIG / "anon/orthanc/plugins/deidentified_only.py"
    kept = script.read_text()
    script.chmod(0o600)
    try:
        script.write_text(kept + DROP_A_THIRD)
        _restart("e2e-anon")
        deployed.wait_for(
            "PHI has noticed that Anon drops instances",
            lambda: any("FilteredOut" in one for one in flow.reasons()),
            240,
        )
    finally:
        script.write_text(kept)
        script.chmod(0o400)
        _restart("e2e-anon")


def _restart(container: str) -> None:
    deployed.docker("restart", container)
    healthy(container)


def worker_killed(_flow: Flow, moment: random.Random) -> None:
    """Kill the workers while they have a study."""
    for _ in range(3):
        time.sleep(moment.uniform(1, 5))
        kill(f"e2e-phi-worker-{moment.choice((1, 2))}")


def given_twice(flow: Flow, _moment: random.Random) -> None:
    """Give each study to several workers at once, past the queue's own lock."""
    for uid in flow.study_uids:
        told = deployed.wait_for("the crosswalk knows it", partial(deployed.state, uid))
        deployed.docker(
            "exec", "e2e-phi-db", "psql", "--username", "postgres", "--dbname", "philookup",
            "--command", ANOTHER_JOB.format(study=int(told["study"])),
        )  # fmt: skip


def asked_twice(flow: Flow, _moment: random.Random) -> None:
    """Ask for each study by hand, several times at once, while workers have it."""

    def ask(study: str) -> None:
        with deployed.client("phi") as phi, contextlib.suppress(httpx.HTTPError):
            phi.post(f"/deid/v1/studies/{study}/anonymize", json={"force": True})

    for uid in flow.study_uids:
        study = deployed.wait_for("PHI has it", partial(deployed.orthanc_id, "phi", uid))
        threads = [threading.Thread(target=ask, args=(study,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def nothing(_flow: Flow, _moment: random.Random) -> None:
    """Break nothing."""


# Those that `make test` does; `make soak` does all of them, again and again.
SHORT: dict[str, Fault] = {
    "PHI killed": killed("e2e-phi"),
    "database of PHI killed": killed("e2e-phi-db"),
    "workers killed": worker_killed,
}
ALL: dict[str, Fault] = {
    **SHORT,
    "sent twice, out of order": nothing,
    "Anon killed": killed("e2e-anon"),
    "Disk killed": killed("e2e-disk"),
    "database of Anon killed": killed("e2e-anon-db"),
    "database of PHI restarted": restarted("e2e-phi-db"),
    "database of PHI hangs": hung("e2e-phi-db", 45),
    "Anon down for minutes": restarted("e2e-anon", seconds=150),
    "Anon answers 200 and drops instances": filtered,
    "Anon hangs": hung("e2e-anon", 40),
    "network to Anon cut": cut("e2e-anon", 40),
    "everything stopped and started": restarted(*CONTAINERS),
    "asked for by hand while worked on": asked_twice,
    "two workers on the same study": given_twice,
    "tree of Disk full": tree_full,
    "storage of PHI full": storage_full,
}
