# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site delivers with one worker, two and more, and the memory of each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughput import bare_phi
from throughput.site import Site, docker
from throughput.studies import write_study
from throughput.ways import Journey


@dataclass(frozen=True)
class Crew:
    """What was measured with some workers.

    Attributes:
        workers: how many.
        rate: instances/s from stable on PHI to verified on Anon and Disk.
        cpu: processor milliseconds of all containers for an instance.
        peak_mib: the most memory that the process of a worker has had so far, of each.
    """

    workers: int
    rate: float
    cpu: float
    peak_mib: tuple[float, ...]


def measure(
    site: Site, counts: Sequence[int], studies: int, instances: int, progress: Callable[[str], None]
) -> list[Crew]:
    """Deliver studies with so many workers, all others paused."""
    crews = []
    journey = Journey(site, lambda _: None)
    with bare_phi.running(site), tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        for count in counts:
            progress(f"{count} of {len(site.workers)} workers, {studies} x {instances} slices")
            made = [write_study(Path(folder) / str(count), instances) for _ in range(studies)]
            try:
                with site.workers_paused() as resume:
                    journey.store(made, site.dicom_port, 2)
                    journey.wait_until_stable(made)
                    taken = journey.deliver(made, lambda: resume(count))  # noqa: B023 - called here
            finally:
                journey.clear()
            cpu = 1000 * sum(taken.cpu.values()) / taken.instances
            peaks = tuple(round(_peak_mib(name), 1) for name in site.workers[:count])
            crews.append(Crew(count, round(taken.rate, 1), round(cpu, 1), peaks))
    return crews


def _peak_mib(container: str) -> float:
    """Return the peak memory of a container's process, which runs on this machine."""
    process = json.loads(docker("inspect", container))[0]["State"]["Pid"]
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
