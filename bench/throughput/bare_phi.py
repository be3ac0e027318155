# SPDX-License-Identifier: GPL-3.0-or-later
"""The PHI Orthanc once more, without the Python plugin, on the same database and storage.

It is what the plugin is measured against, and it has Anon and Disk as Orthanc peers, so that it
can anonymize and send by Orthanc's own means.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orthanc_deid.destination_config import Server
from orthanc_deid.orthanc_client import OrthancClient, TransientError

from .site import BenchError, Site, docker

HTTP_PORT: Final = 27142
DICOM_PORT: Final = 27342
_WAIT: Final = 60  # seconds


@contextlib.contextmanager
def running(site: Site) -> Iterator[Server]:
    """Run it beside the site's own PHI Orthanc, and yield its address and account."""
    phi = site.name("phi")
    name = container(site)
    known = json.loads(docker("inspect", phi))[0]
    with tempfile.TemporaryDirectory(prefix="bench-phi-") as folder:
        settings = Path(folder) / "orthanc"
        _write_settings(site, settings)
        docker(
            *("run", "--detach", "--name", name, "--network", phi),
            *("--read-only", "--tmpfs", "/tmp"),
            *("--user", known["Config"]["User"], "--memory", str(known["HostConfig"]["Memory"])),
            *("--publish", f"127.0.0.1:{HTTP_PORT}:8042"),
            *("--publish", f"127.0.0.1:{DICOM_PORT}:4242"),
            *("--volume", f"{settings}:/etc/orthanc:ro"),
            *("--volume", f"{_source(known, '/var/lib/orthanc')}:/var/lib/orthanc"),
            *("--entrypoint", "Orthanc", known["Config"]["Image"], "/etc/orthanc/orthanc.json"),
        )
        server = replace(site.server("phi"), url=f"https://localhost:{HTTP_PORT}")
        try:
            _wait_for(server, name)
            yield server
        finally:
            docker("rm", "--force", "--volumes", name)


def container(site: Site) -> str:
    """Return the name of its container."""
    return f"{site.name('phi')}-bare"


def without_plugin(settings: dict[str, Any], peers: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an Orthanc without its Python plugin, and with these peers."""
    plugins = [one for one in settings["Plugins"] if not one.endswith("libOrthancPython.so")]
    kept = {key: value for key, value in settings.items() if not key.startswith("Python")}
    return {**kept, "Plugins": plugins, "OrthancPeers": peers}


def _write_settings(site: Site, folder: Path) -> None:
    source = site.config_dir / "phi/orthanc"
    shutil.copytree(source, folder)
    # The site's owner, who alone may read them: they hold passwords.
    owner = source.stat()
    file = folder / "orthanc.json"
    peers = {}
    for kind in ("anon", "disk"):
        server = site.server(kind, host=site.variables["orthanc_site_address"])
        peers[kind] = {"Url": server.url, "Username": server.user, "Password": server.password}
    text = json.dumps(without_plugin(json.loads(file.read_text()), peers))
    file.chmod(0o600)
    file.write_text(text)
    for path in (folder.parent, folder, *folder.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)


def _source(container: dict[str, Any], place: str) -> str:
    """Return what is mounted at a place in a container."""
    return next(str(one["Source"]) for one in container["Mounts"] if one["Destination"] == place)


def _wait_for(server: Server, name: str) -> None:
    client = OrthancClient(name, server)
    last = time.monotonic() + _WAIT
    while True:
        try:
            client.check()
        except TransientError:
            if time.monotonic() > last:
                raise BenchError(
                    f"{name} does not start: {docker('logs', '--tail', '20', name)}"
                ) from None
            time.sleep(0.5)
        else:
            client.close()
            return
