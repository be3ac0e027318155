# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways of studies that are measured: through the service, and by Orthanc's own means."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx

from orthanc_deid.destination_config import Server
from orthanc_deid.destinations_orthanc import CONNECTIONS
from orthanc_deid.orthanc_client import LIMITS, OrthancClient
from orthanc_deid.tls import client_context

from . import bare_phi
from .clock import Lap, lap
from .site import BenchError, Site
from .studies import send

RECEIVERS: Final = ("anon", "disk")
_LONGEST: Final = 1800  # seconds for any step
_ATTEMPTS: Final = 5
_LOOK: Final = 0.25  # seconds between two looks
Progress = Callable[[int], None]


class Journey:
    """Takes studies through a site, beside which `bare_phi` runs, and looks whether they arrive.

    Args:
        site: the site.
        progress: is told how many instances are there.
    """

    def __init__(self, site: Site, progress: Progress) -> None:
        self._site = site
        self._containers = [*site.containers, bare_phi.container(site)]
        self._progress = progress

    def store(self, studies: Sequence[Path], port: int, associations: int) -> Lap:
        """Measure how an Orthanc takes studies from a scanner."""
        with lap(count(studies), self._containers) as taken:
            send(studies, port, associations)
        return taken

    def wait_until_stable(self, studies: Sequence[Path]) -> list[str]:
        """Wait until the queue holds all studies; returns PHI's identifiers of them."""
        with api(self._site, "phi") as phi:
            found = [_find(phi, study.name) for study in studies]
            last = time.monotonic() + _LONGEST
            for study in found:
                while phi.get(f"/deid/v1/studies/{study}").json().get("state") != "queued":
                    _demand_time(last, "a study waits for the workers")
                    time.sleep(_LOOK)
        return found

    def deliver(self, studies: Sequence[Path], begin: Callable[[], object]) -> Lap:
        """Measure from `begin` until the service says that all is verified on Anon and Disk.

        Then Anon is asked for the instances, and the tree is looked at, without trust in it.
        """
        instances = count(studies)
        with api(self._site, "phi") as phi, api(self._site, "anon") as anon:
            already, held = _delivered(phi), _instances(anon)
            files = self._files_in_tree()
            last = time.monotonic() + _LONGEST
            with lap(instances, self._containers) as taken:
                begin()
                looked = time.monotonic()
                while _delivered(phi) < already + len(studies):
                    _demand_time(last, "the studies are delivered")
                    time.sleep(_LOOK)
                    if time.monotonic() > looked + 1:
                        self._progress(_instances(anon) - held)
                        looked = time.monotonic()
            there = _instances(anon) - held, self._files_in_tree() - files
        if there != (instances, instances):
            raise BenchError(
                f"of {instances} instances that were delivered, {there[0]} are on Anon and "
                f"{there[1]} in the tree of Disk"
            )
        return taken

    def fetch(self, folder: Path) -> list[Path]:
        """Fetch every file that Anon holds, to be posted again; returns them."""
        folder.mkdir()
        with self._site.client("anon") as anon, api(self._site, "anon") as http:

            def one(instance: str) -> Path:
                path = folder / f"{instance}.dcm"
                path.write_bytes(anon.download(instance))
                return path

            with ThreadPoolExecutor(4) as threads:
                return list(threads.map(one, http.get("/instances").json()))

    def post(self, files: Sequence[Path], processes: int) -> Lap:
        """Measure how Anon and Disk take files that are posted straight to both.

        With as many processes as workers are busy, and as many connections as a worker has.
        """
        servers = [self._site.server(kind) for kind in RECEIVERS]
        shares = [files[at::processes] for at in range(processes)]
        with (
            ProcessPoolExecutor(processes) as pool,
            lap(len(files), self._containers) as taken,
        ):
            list(pool.map(_post, [servers] * processes, shares))
        return taken

    def by_orthanc(self, bare: httpx.Client, studies: Sequence[str], instances: int) -> Lap:
        """Measure Orthanc's own way: anonymize each study, then store it on both peers.

        As many studies at a time as there are workers. Where two at a time get into each other's
        way in the index, Orthanc gives one of them up, and it is asked again.
        """

        def one(study: str) -> str:
            made = _until_success(lambda: bare.post(f"/studies/{study}/anonymize", json={})).json()
            with ThreadPoolExecutor(len(RECEIVERS)) as threads:
                sent = threads.map(
                    lambda kind: _until_success(
                        lambda: bare.post(f"/peers/{kind}/store", json=[made["ID"]])
                    ),
                    RECEIVERS,
                )
                list(sent)
            return str(made["ID"])

        with (
            ThreadPoolExecutor(len(self._site.workers)) as threads,
            lap(instances, self._containers) as taken,
        ):
            copies = list(threads.map(one, studies))
        with api(self._site, "anon") as anon:
            held = _instances(anon)
        if held != instances:
            raise BenchError(f"Orthanc's own way left {held} of {instances} instances on Anon")
        for copy in copies:
            bare.delete(f"/studies/{copy}").raise_for_status()
        return taken

    def clear(self) -> None:
        """Delete every study of the site, and the files in its tree."""
        self.clear_receivers()
        with api(self._site, "phi") as phi:
            for study in phi.get("/studies").json():
                phi.delete(f"/studies/{study}")

    def clear_receivers(self) -> None:
        """Delete every study of Anon and Disk, and the files in the tree."""
        with api(self._site, "anon") as anon, self._site.client("disk") as disk:
            for study in anon.get("/studies").json():
                anon.delete(f"/studies/{study}").raise_for_status()
            for found in list(disk.studies()):
                disk.remove_from_disk(found.orthanc_id)

    def _files_in_tree(self) -> int:
        return sum(1 for _ in self._site.tree.rglob("*.dcm"))


def api(site: Site, kind: str) -> httpx.Client:
    """Return a client of an Orthanc as its administrator, for what the service never asks."""
    return http_client(site.server(kind))


def http_client(server: Server) -> httpx.Client:
    """Return a plain client of an Orthanc."""
    return httpx.Client(
        base_url=server.url,
        auth=(server.user, server.password),
        verify=client_context(str(server.ca)),
        timeout=_LONGEST,
        limits=LIMITS,
    )


def count(studies: Sequence[Path]) -> int:
    """Return how many instances studies have."""
    return sum(1 for study in studies for _ in study.iterdir())


def _post(servers: Sequence[Server], files: Sequence[Path]) -> None:
    clients = [OrthancClient(name, server) for name, server in zip(RECEIVERS, servers, strict=True)]

    def one(client: OrthancClient, file: Path) -> None:
        client.upload(file.read_bytes())

    pools = [ThreadPoolExecutor(CONNECTIONS) for _ in clients]
    waiting = [
        pool.submit(one, client, file)
        for file in files
        for pool, client in zip(pools, clients, strict=True)
    ]
    for posted in waiting:
        posted.result()
    for pool, client in zip(pools, clients, strict=True):
        pool.shutdown()
        client.close()


def _until_success(ask: Callable[[], httpx.Response]) -> httpx.Response:
    for _ in range(_ATTEMPTS - 1):
        if (answer := ask()).is_success:
            return answer
    return ask().raise_for_status()


def _find(orthanc: httpx.Client, study_instance_uid: str) -> str:
    found = orthanc.post("/tools/lookup", content=study_instance_uid).raise_for_status().json()
    for one in found:
        if one["Type"] == "Study":
            return str(one["ID"])
    raise BenchError("PHI does not hold a study that it took")


def _delivered(phi: httpx.Client) -> int:
    """Return how many studies were delivered.

    Raises:
        BenchError: one is in quarantine, so that the bench would wait in vain.
    """
    states: dict[str, Any] = phi.get("/deid/v1/status").raise_for_status().json()["states"]
    if states.get("quarantined"):
        page = phi.get("/deid/v1/studies?state=quarantined&limit=1").json()
        raise BenchError(f"a study is in quarantine: {json.dumps(page['studies'][0]['reason'])}")
    return int(states.get("delivered", 0))


def _instances(orthanc: httpx.Client) -> int:
    return int(orthanc.get("/statistics").raise_for_status().json()["CountInstances"])


def _demand_time(last: float, what: str) -> None:
    if time.monotonic() > last:
        raise BenchError(f"after {_LONGEST} s still not: {what}")
