# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway Orthanc from the image that this collection builds."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

NAME: Final = "bench-orthanc"
PORT: Final = 29042
_REPOSITORY: Final = "imaging-orthanc/orthanc"
_WAIT: Final = 60  # seconds
_SETTINGS: Final = {
    "Name": "bench",
    "StorageDirectory": "/tmp/orthanc",  # inside the container
    "RemoteAccessAllowed": True,
    "AuthenticationEnabled": False,
    "OverwriteInstances": True,
    "DicomServerEnabled": False,
}


def image() -> str | None:
    """Return the newest image of Orthanc that was built here, or None if there is none."""
    listed = _docker("images", _REPOSITORY, "--format", "{{.Repository}}:{{.Tag}}")
    return listed.splitlines()[0] if listed else None


@contextmanager
def running(
    found: str, settings: Mapping[str, Any] | None = None, *, host_network: bool = False
) -> Iterator[str]:
    """Run an Orthanc on a port of this machine only, and yield its URL.

    Args:
        found: its image.
        settings: what its configuration holds besides.
        host_network: whether it reaches what listens on this machine alone.
    """
    # Two benches may run at a time.
    name, port = (f"{NAME}-host", PORT + 100) if host_network else (NAME, PORT)
    own = {"HttpPort": port, "RemoteAccessAllowed": False} if host_network else {}
    published = ("--publish", f"127.0.0.1:{port}:8042")
    network = ("--network", "host") if host_network else published
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        merged = {**_SETTINGS, **own, **(settings or {})}
        (Path(directory) / "orthanc.json").write_text(json.dumps(merged))
        _docker("rm", "--force", name)
        _docker(
            *("run", "--detach", "--name", name, *network),
            *("--volume", f"{directory}:/etc/orthanc:ro", found),
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url)
            yield url
        finally:
            _docker("rm", "--force", "--volumes", name)


def _wait_for(url: str) -> None:
    last = time.monotonic() + _WAIT
    while True:
        try:
            httpx.get(f"{url}/system").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > last:
                raise
            time.sleep(0.5)
        else:
            return


def _docker(*words: str) -> str:
    run = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if run.returncode and words[0] != "rm":
        raise RuntimeError(f"docker {words[0]}: {run.stderr.strip()}")
    return run.stdout.strip()
