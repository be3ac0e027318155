# SPDX-License-Identifier: GPL-3.0-or-later
"""How long Ansible takes to deploy the three kinds, and to find that nothing is to be done.

The site is of the bench's own, on this machine, and is removed at the end. Two peers: a playbook
that only gathers the facts of the same hosts, below which no run can come, and `docker run` of the
same containers on the same data, below which no first run can come.

Required: the second run takes at most 8 times the fact gathering, and at most a quarter of the
first run with images present.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from containers import Containers
from throughput import site

TRIES = 3
TIMES_FACTS, PART_OF_FIRST = 8.0, 0.25
SITE = {
    "orthanc_phi_name": "bench-phi",
    "orthanc_anon_name": "bench-anon",
    "orthanc_disk_name": "bench-disk",
    "orthanc_phi_http_port": 29042,
    "orthanc_anon_http_port": 29043,
    "orthanc_disk_http_port": 29044,
    "orthanc_phi_dicom_port": 29242,
    "orthanc_anon_dicom_port": 29243,
    "orthanc_disk_dicom_port": 29244,
    "orthanc_site_base_name": "BENCH",
    "orthanc_site_user": "orthanc-bench",
    "orthanc_site_group": "orthanc-bench",
    "orthanc_site_uid": 10844,
    "orthanc_site_gid": 10844,
    "orthanc_site_config_dir": "/etc/orthanc-bench",
    "orthanc_site_data_dir": "/srv/orthanc-bench",
    "orthanc_site_backup_dir": "/var/backups/orthanc-bench",
}
CONTAINERS = (
    "bench-anon-db", "bench-anon", "bench-disk-db", "bench-disk", "bench-phi-db", "bench-phi",
    "bench-phi-worker-1", "bench-phi-worker-2",
)  # fmt: skip
KINDS = ("--tags", "anon,disk,phi")
GATHER = """
- hosts: orthanc_phi:orthanc_anon:orthanc_disk
  gather_facts: true
  tasks: []
"""
IMAGES = """
- hosts: orthanc_phi:orthanc_anon:orthanc_disk
  tasks:
    - ansible.builtin.include_role: {name: imaging.orthanc.container_host}
    - ansible.builtin.include_role: {name: imaging.orthanc.container_host, tasks_from: image}
      vars: {container_host_image_kind: "{{ item }}"}
      loop: [postgres, orthanc, orthanc_phi]
"""


@dataclass(frozen=True)
class Figure:
    """How long something takes; `seconds` is the best of `tries`."""

    name: str
    seconds: float
    tries: int
    changed: int | None = None


class Playbooks:
    """Ansible's runs on the bench's site."""

    def __init__(self, scratch: Path) -> None:
        self._variables = scratch / "site.json"
        self._variables.write_text(json.dumps(SITE))
        self.gather, self.images = scratch / "gather.yml", scratch / "images.yml"
        self.gather.write_text(GATHER)
        self.images.write_text(IMAGES)

    def run(self, playbook: Path, *arguments: str) -> int:
        """Run a playbook; returns how many of its tasks changed something."""
        told = site.playbook(playbook, self._variables, *arguments)
        return sum(int(word[8:]) for word in told.split() if word.startswith("changed="))

    def remove(self) -> None:
        """Remove the site with its data; images stay."""
        site.remove(self._variables)


def main() -> int:
    """Run the bench; returns 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(prog="bench/converge.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="try everything once only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as scratch, deployable(Path(scratch)) as playbooks:
            figures = list(measure(playbooks, 1 if arguments.short else TRIES))
    except site.BenchError as error:
        print(f"bench/converge.py: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        rows = [vars(figure) for figure in figures]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    show(figures)
    missed = missing({figure.name: figure for figure in figures})
    for sentence in missed:
        print(f"bench/converge.py: {sentence}", file=sys.stderr)
    return 1 if missed else 0


@contextmanager
def deployable(scratch: Path) -> Iterator[Playbooks]:
    """A place without the bench's site, where its images are; without it again afterwards."""
    playbooks = Playbooks(scratch)
    playbooks.remove()  # of a run that was cut off
    try:
        Console(stderr=True).print("making the images available")
        playbooks.run(playbooks.images)
        yield playbooks
    finally:
        playbooks.remove()


def measure(playbooks: Playbooks, tries: int) -> Iterator[Figure]:
    """Yield each figure, in the order in which they have to be taken."""

    def deploy(*arguments: str) -> Callable[[], int]:
        return lambda: playbooks.run(Path("playbooks/site.yml"), *KINDS, *arguments)

    first = best({"first run, images present": deploy()}, 1)
    # In turns, since they are compared and the machine is not the same from minute to minute.
    facts, second = best(
        {"gather facts only": lambda: playbooks.run(playbooks.gather), "second run": deploy()},
        tries,
    )
    yield from (facts, *first, second)
    ages = itertools.count(60)

    def another_age() -> int:
        return deploy("-e", f"orthanc_anon_stable_age={next(ages)}")()

    yield from best({"one setting changed": another_age}, tries)
    deploy()()
    yield from best({"check run": deploy("--check", "--diff")}, tries)
    containers = Containers(CONTAINERS)
    yield from best({"docker run of the same containers": containers.start_anew}, tries)


def best(actions: dict[str, Callable[[], int | None]], tries: int) -> list[Figure]:
    """Return the shortest time of each action; they take turns.

    Args:
        actions: by what is done; each returns how many tasks changed something, or nothing.
        tries: how often each is done.
    """
    Console(stderr=True).print(", ".join(actions))
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    changed: dict[str, int | None] = {}
    for _ in range(tries):
        for name, action in actions.items():
            start = time.perf_counter()
            changed[name] = action()
            seconds[name].append(time.perf_counter() - start)
    return [Figure(name, round(min(seconds[name]), 1), tries, changed[name]) for name in actions]


def missing(figures: dict[str, Figure]) -> list[str]:
    """Return a sentence for each requirement that the figures miss."""
    second, facts = figures["second run"].seconds, figures["gather facts only"].seconds
    first = figures["first run, images present"].seconds
    sentences = [
        f"in the {name} {figures[name].changed} tasks changed something, where nothing had to"
        for name in ("second run", "check run")
        if figures[name].changed
    ]
    if second > TIMES_FACTS * facts:
        sentences.append(
            f"the second run took {second} s, {second / facts:.1f} times the gathering of facts"
            f" ({facts} s); at most {TIMES_FACTS:g} times are allowed"
        )
    if second > PART_OF_FIRST * first:
        sentences.append(
            f"the second run took {second} s, {second / first:.0%} of the first ({first} s);"
            f" at most {PART_OF_FIRST:.0%} are allowed"
        )
    return sentences


def show(figures: list[Figure]) -> None:
    """Print the table."""
    facts = figures[0].seconds
    table = Table("", "seconds", "to gathering facts", "changed", title="Three kinds on one host")
    for figure in figures:
        changed = "" if figure.changed is None else str(figure.changed)
        table.add_row(figure.name, f"{figure.seconds}", f"{figure.seconds / facts:.1f}", changed)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
