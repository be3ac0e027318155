#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many CT instances a whole site takes in a second, beside what bounds it.

Measured on one site: PHI taking C-STORE, the way from stable on PHI to verified on Anon and Disk,
and the whole way; beside them the same Orthanc without the plugin, the same anonymized files posted
straight to Anon and Disk, and Orthanc's own anonymize and store. The site is deployed for the bench
and removed at the end, unless --site names one that stands and holds no study.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from orthanc_deid.orthanc_client import OrthancError
from throughput import bare_phi
from throughput.clock import Lap
from throughput.figures import TOLD, Intake, Load, Whole, best
from throughput.site import BenchError, Site, deployed, standing
from throughput.studies import send, write_study
from throughput.ways import Journey, api, http_client


@dataclass(frozen=True)
class Size:
    """How much is sent.

    Attributes:
        loads: for each, how many studies of how many instances, over how many associations.
        turn: instances of a turn with or without the plugin.
        turns: of each.
        whole: instances of the study that goes the whole way.
    """

    loads: tuple[tuple[int, int, int], ...]
    turn: int
    turns: int
    whole: int = 300


FULL = Size(((1, 2000, 1), (200, 20, 4)), turn=500, turns=4)
SHORT = Size(((1, 200, 1), (40, 20, 4)), turn=100, turns=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 1 if a requirement is missed, 2 if it cannot run."""
    parser = argparse.ArgumentParser(prog="bench/pipeline.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer and smaller studies")
    parser.add_argument(
        "--site",
        type=Path,
        metavar="FILE",
        help="use the site that stands with the variables of this file, and leave it there",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args(argv)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _end)
    try:
        if arguments.site is None:
            console.print("deploying a site for the bench; it is removed at the end")
        chosen = deployed() if arguments.site is None else standing(arguments.site)
        with chosen as site, Progress(console=console) as progress:
            figures = _measure(site, SHORT if arguments.short else FULL, progress)
    except (BenchError, OrthancError, httpx.HTTPError) as error:
        console.print(f"[red]The bench cannot run:[/] {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; what the bench made is removed")
        return 130
    # A table must be readable whole, also in a log.
    figures.show(Console(width=None if sys.stdout.isatty() else 150))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures.to_dict(), indent=2) + "\n")
    for reason in figures.missed():
        console.print(f"[red]missed:[/] {reason}", highlight=False)
    return int(any(True for _ in figures.missed()))


@dataclass(frozen=True)
class Figures:
    """All that was measured on a site, and where."""

    where: dict[str, Any]
    intake: Intake
    loads: list[Load]
    whole: Whole

    def missed(self) -> Iterator[str]:
        """Yield the requirements that are missed."""
        yield from self.intake.missed()
        for load in self.loads:
            yield from load.missed()
        yield from self.whole.missed()

    def to_dict(self) -> dict[str, Any]:
        """Return all figures for a JSON file."""
        return {**asdict(self), "missed": list(self.missed())}

    def show(self, console: Console) -> None:
        """Print a table of the speeds, and one of what each container did for an instance."""
        speeds = Table("instances/s", *(load.name for load in self.loads))
        for key, told in TOLD.items():
            speeds.add_row(told, *(f"{getattr(load, key).rate:.1f}" for load in self.loads))
        shares = [load.delivered.rate / load.posted.rate for load in self.loads]
        speeds.add_row("(b) of (d)", *(f"{share:.0%}" for share in shares))
        shares = [load.delivered.rate / load.by_orthanc.rate for load in self.loads]
        speeds.add_row("(b) to (e)", *(f"{share:.2f} times" for share in shares))
        console.print(speeds, _processor_time(self.loads))
        console.print(
            f"(a) with the plugin {best(self.intake.with_plugin):.1f}, (a') without it "
            f"{best(self.intake.without):.1f} instances/s: {self.intake.share:.0%}",
            f"\n(c) the whole way of {self.whole.measured.instances} slices: "
            f"{self.whole.measured.seconds:.1f} s of {self.whole.limit:.1f} s that it may take",
            highlight=False,
        )


def _processor_time(loads: Sequence[Load]) -> Table:
    """Return a table of processor milliseconds that containers have for an instance."""
    columns = [(load, key) for load in loads for key in TOLD]
    heads = (f"{TOLD[key].split()[0]} {load.name}" for load, key in columns)
    table = Table("CPU ms/instance", *heads)
    laps = [getattr(load, key) for load, key in columns]
    for name in laps[0].cpu:
        table.add_row(name, *(f"{1000 * one.cpu[name] / one.instances:.1f}" for one in laps))
    totals = (sum(one.cpu.values()) for one in laps)
    sums = (f"{1000 * cpu / one.instances:.1f}" for cpu, one in zip(totals, laps, strict=True))
    table.add_row("all", *sums)
    return table


def _measure(site: Site, size: Size, progress: Progress) -> Figures:
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="bench-pipeline-"))
        bare = ends.enter_context(http_client(ends.enter_context(bare_phi.running(site))))
        bench = _Bench(site, bare, Path(folder), progress)
        ends.callback(bench.journey.clear)
        intake = bench.intake(size)
        loads = [bench.load(*load) for load in size.loads]
        return Figures(_where(site), intake, loads, bench.whole(size.whole, intake, loads[0]))


class _Bench:
    """Measures one site; each measurement leaves it without studies.

    Args:
        site: the site.
        bare: the PHI Orthanc without the plugin.
        folder: where files are kept meanwhile.
        progress: where is shown what goes on.
    """

    def __init__(self, site: Site, bare: httpx.Client, folder: Path, progress: Progress) -> None:
        self._site = site
        self._bare = bare
        self._folder = folder
        self._progress = progress
        self._bar = progress.add_task("", total=None)
        self.journey = Journey(site, lambda done: progress.update(self._bar, completed=done))

    def intake(self, size: Size) -> Intake:
        """Send to PHI with the plugin and without it, in an order that favours neither."""
        self._step("PHI with the plugin and without it")
        laps: dict[int, list[Lap]] = {self._site.dicom_port: [], bare_phi.DICOM_PORT: []}
        ports = list(laps)
        with self._site.workers_paused():
            for turn in range(size.turns):
                for port in ports if turn % 2 == 0 else reversed(ports):
                    study = write_study(self._folder, size.turn)
                    laps[port].append(self.journey.store([study], port, 1))
                    self.journey.clear()
        return Intake(laps[self._site.dicom_port], laps[bare_phi.DICOM_PORT])

    def load(self, studies: int, instances: int, associations: int) -> Load:
        """Take studies through the service, and by the ways that it is compared with."""
        name, total = f"{studies} x {instances}", studies * instances
        self._step(f"{name}: writing files")
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            made = [write_study(Path(place), instances) for _ in range(studies)]
            with self._site.workers_paused() as resume:
                self._step(f"{name}: PHI takes C-STORE")
                stored = self.journey.store(made, self._site.dicom_port, associations)
                phi_ids = self.journey.wait_until_stable(made)
                self._step(f"{name}: PHI to Anon and Disk", total)
                delivered = self.journey.deliver(made, resume)
            self._step(f"{name}: posted straight to Anon and Disk")
            files = self.journey.fetch(Path(place) / "anonymous")
            self.journey.clear_receivers()
            posted = self.journey.post(files, min(studies, len(self._site.workers)))
            self.journey.clear_receivers()
            with self._site.workers_paused():
                self._step(f"{name}: Orthanc's own way")
                by_orthanc = self.journey.by_orthanc(self._bare, phi_ids, total)
        self.journey.clear()
        return Load(name, stored, delivered, posted, by_orthanc)

    def whole(self, instances: int, intake: Intake, load: Load) -> Whole:
        """Send one study while the workers wait for it, until it is delivered."""
        self._step(f"the whole way of {instances} slices", instances)
        study = write_study(self._folder, instances)
        measured = self.journey.deliver([study], lambda: send([study], self._site.dicom_port))
        return Whole(
            measured,
            instances / best(intake.with_plugin),
            instances / load.delivered.rate,
            float(self._site.variables["orthanc_phi_stable_age"]),
        )

    def _step(self, what: str, total: int | None = None) -> None:
        self._progress.reset(self._bar, description=what, total=total)


def _where(site: Site) -> dict[str, Any]:
    with api(site, "phi") as phi:
        orthanc = phi.get("/system").raise_for_status().json()["Version"]
    cpus = Path("/proc/cpuinfo").read_text().split("\n\n")[:-1]
    model = next(line.split(": ")[1] for line in cpus[0].splitlines() if "model name" in line)
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": f"{len(cpus)} x {model}",
        "load": Path("/proc/loadavg").read_text().split()[:3],
        "orthanc": orthanc,
        "python": platform.python_version(),
        "workers": len(site.workers),
    }


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
