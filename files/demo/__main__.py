# SPDX-License-Identifier: GPL-3.0-or-later
"""Take studies of an invented patient through the demo's site, and show what became of them."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydicom import Dataset
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.tree import Tree

from site_client import Site, SiteError, find_study, first_instance
from studies import PATIENT, STAFF, demo_studies

SHOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber",
    "StudyDescription", "ReferringPhysicianName", "InstitutionName", "StudyInstanceUID",
    "PatientIdentityRemoved", "DeidentificationMethod",
)  # fmt: skip
ADDRESSES = {
    "orthanc-phi": "PHI, identified studies",
    "orthanc-anon": "Anon, for researchers",
    "orthanc-disk": "Disk, writes the tree",
}
PEOPLE = {
    "vera": "look",
    "rosa": "look, start anonymizations on PHI, download from Anon and Disk",
    "hana": "the same, upload and download on PHI, look up patients",
    "adam": "everything",
}
SECONDS = 300
# Addresses and paths must be readable whole, also in a log.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 150)


@dataclass
class Journey:
    """One study on its way."""

    instances: list[Dataset]
    phi_id: str = ""
    anon_id: str = ""
    disk_id: str = ""

    @property
    def name(self) -> str:
        """What the study is called on the screen."""
        return f"{self.instances[0].Modality} study, {len(self.instances)} instances"


def main() -> int:
    """Run the demo; return 0 only if all studies arrived on Anon and Disk without an identity."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--config-dir", type=Path, default=Path("/etc/orthanc-demo"))
    parser.add_argument("--tree-dir", type=Path, default=Path("/srv/orthanc-demo/tree"))
    arguments = parser.parse_args()
    site = Site(arguments.config_dir, arguments.tree_dir)
    try:
        with site.client("phi") as phi, site.client("anon") as anon, site.client("disk") as disk:
            journeys = [Journey(instances) for instances in demo_studies()]
            send(site, phi, journeys)
            follow(phi, anon, disk, journeys)
            show_attributes(phi, anon, journeys)
            check_nothing_leaked(anon, journeys)
            show_tree(site)
    except (SiteError, httpx.HTTPError, OSError) as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        return 1
    show_next_steps(site)
    return 0


def send(site: Site, phi: httpx.Client, journeys: list[Journey]) -> None:
    """Send the studies by C-STORE and note what the PHI Orthanc calls them."""
    for journey in journeys:
        site.send(journey.instances)
        found = find_study(phi, journey.instances[0].StudyInstanceUID)
        if found is None:
            raise SiteError(f"the PHI Orthanc does not list the {journey.name} that it took")
        journey.phi_id = found
    console.print(
        f"Sent {len(journeys)} studies of one invented patient to the PHI Orthanc by C-STORE."
    )


def follow(
    phi: httpx.Client, anon: httpx.Client, disk: httpx.Client, journeys: list[Journey]
) -> None:
    """Wait, with a bar for each study, until all of them are on Anon and in the tree of Disk."""
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + SECONDS
    with Progress(*columns, console=console) as progress:
        bars = {
            id(one): progress.add_task(one.name, total=2 * len(one.instances), state="waits")
            for one in journeys
        }
        waiting = list(journeys)
        while waiting:
            if time.monotonic() > deadline:
                raise SiteError(
                    f"{len(waiting)} studies did not arrive within {SECONDS} s: see "
                    "`docker logs orthanc-phi-worker-1`"
                )
            for journey in list(waiting):
                arrived, state = look(phi, anon, disk, journey)
                progress.update(bars[id(journey)], completed=arrived, state=state)
                if state == "delivered" and arrived == 2 * len(journey.instances):
                    waiting.remove(journey)
            time.sleep(0.5)


def look(
    phi: httpx.Client, anon: httpx.Client, disk: httpx.Client, journey: Journey
) -> tuple[int, str]:
    """Return how many instances of a study are on Anon and Disk together, and its state."""
    answer = phi.get(f"/deid/v1/studies/{journey.phi_id}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return 0, "waits until no more instances come"
    study = answer.raise_for_status().json()
    if study["state"] == "quarantined":
        raise SiteError(f"the {journey.name} was quarantined: {study['reason']}")
    new_uid = study["anonymous_study_uid"]
    if not new_uid:
        return 0, study["state"]
    journey.anon_id = find_study(anon, new_uid) or ""
    journey.disk_id = find_study(disk, new_uid) or ""
    on_anon = (
        len(anon.get(f"/studies/{journey.anon_id}/instances").json()) if journey.anon_id else 0
    )
    on_disk = (
        disk.get(f"/disk/studies/{journey.disk_id}").json()["present"] if journey.disk_id else 0
    )
    return on_anon + on_disk, study["state"]


def show_attributes(phi: httpx.Client, anon: httpx.Client, journeys: list[Journey]) -> None:
    """Print attributes before and after, for the first study."""
    before = first_instance(phi, journeys[0].phi_id)
    after = first_instance(anon, journeys[0].anon_id)
    table = Table("attribute", "on PHI", "on Anon and Disk", title="Before and after")
    for column in table.columns:
        column.overflow = "fold"
    for keyword in SHOWN:
        table.add_row(keyword, before.get(keyword, ""), after.get(keyword, "[dim]removed[/]"))
    console.print(table)


def check_nothing_leaked(anon: httpx.Client, journeys: list[Journey]) -> None:
    """Look for the invented names and numbers in every byte of every instance on Anon."""
    planted = {
        part.encode().lower()
        for value in (PATIENT | STAFF).values()
        for part in value.replace("^", " ").replace(",", " ").split()
        if len(part) > 3
    }
    files = 0
    for journey in journeys:
        for instance in anon.get(f"/studies/{journey.anon_id}/instances").json():
            content = anon.get(f"/instances/{instance['ID']}/file").content
            files += 1
            found = [part.decode() for part in planted if part in content.lower()]
            if found:
                raise SiteError(f"an anonymized instance holds {', '.join(found)}")
    console.print(
        f"None of {len(planted)} planted names and numbers is in any byte of {files} files on Anon."
    )


def show_tree(site: Site) -> None:
    """Print the tree of Disk, a few files of each folder."""
    if not any(site.tree_dir.iterdir()):
        raise SiteError(f"{site.tree_dir} is empty: see `docker logs orthanc-disk`")
    top = Tree(f"[bold]{site.tree_dir}[/]")
    _branch(top, site.tree_dir)
    console.print(top)


def _branch(tree: Tree, folder: Path, most: int = 3) -> None:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.is_file()]
    for entry in files[:most]:
        tree.add(entry.name)
    if len(files) > most:
        tree.add(f"[dim]and {len(files) - most} more[/]")
    for entry in entries:
        if entry.is_dir():
            _branch(tree.add(f"[bold]{entry.name}[/]"), entry, most)


def show_next_steps(site: Site) -> None:
    """Print what to open next, and as whom."""
    addresses = Table("what", "address", title="What to open next")
    people = Table("sign on as", "who may", "password in", title="Who you can be")
    for column in (*addresses.columns, *people.columns):
        column.overflow = "fold"
    for name, title in ADDRESSES.items():
        addresses.add_row(title, f"https://localhost:{site.front_port}/{name}/")
    for name, rights in PEOPLE.items():
        people.add_row(name, rights, str(site.config_dir / "apache/secrets/users" / name))
    console.print(addresses)
    console.print(people)
    console.print(
        f"The browser does not know the demo's certificate authority, {site.config_dir}/ca/ca.crt."
    )
    console.print(
        "States of all studies: docker exec orthanc-phi-worker-1 python3 -m orthanc_deid studies"
    )


if __name__ == "__main__":
    sys.exit(main())
