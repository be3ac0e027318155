#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What costs more as a site grows: queue, crosswalk, tree of Disk, index, and number of workers.

Each part is filled to several sizes, and the same is asked of it at each. What grows faster than
the work is told. The workers are measured on a site that is deployed for the bench and removed at
the end, or on one that stands (--site); the short form without a site leaves them out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.table import Table

from growth import index, queue, tree, workers
from growth.curve import Curve
from growth.workers import Crew
from orthanc_deid.orthanc_client import OrthancError
from throughput.site import BenchError, deployed, standing

CROSSWALK = Path(__file__).with_name("crosswalk.py")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How far each part is filled, and what the workers get: studies of so many instances."""

    queue: tuple[int, ...]
    tree: tuple[int, ...]
    index: tuple[int, ...]
    studies: int
    instances: int


FULL = Size(
    queue=(100, 1_000, 10_000, 100_000),
    tree=(1_000, 10_000, 100_000, 1_000_000),
    index=(1_000, 10_000, 100_000, 1_000_000),
    studies=24,
    instances=50,
)
SHORT = Size(
    queue=(100, 1_000, 10_000),
    tree=(1_000, 10_000, 50_000),
    index=(1_000, 10_000, 30_000),
    studies=8,
    instances=20,
)
MOST_WORKERS = 4
PARTS = ("queue", "crosswalk", "tree", "index", "workers")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 2 if it cannot run."""
    parser = argparse.ArgumentParser(prog="bench/scale.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="smaller sizes")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--site", type=Path, metavar="FILE", help="variables of a site that stands")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw plots there, as SVG")
    arguments = parser.parse_args(argv)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _end)
    wanted = set(arguments.only or PARTS)
    if arguments.short and not arguments.site and not arguments.only:
        wanted.discard("workers")
    size = SHORT if arguments.short else FULL
    # A table must be readable whole, also in a log.
    output = Console(width=None if sys.stdout.isatty() else 150)
    curves: list[Curve] = []
    try:
        for curve in _curves(wanted, size, short=arguments.short, tell=console.print):
            output.print(curve.table())
            curves.append(curve)
        crews = _crews(arguments.site, size, console.print) if "workers" in wanted else []
    except (BenchError, OrthancError, RuntimeError, httpx.HTTPError) as error:
        console.print(f"[red]The bench cannot run:[/] {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; what the bench made is removed")
        return 130
    if crews:
        output.print(_crew_table(crews))
    told = [sentence for curve in curves for sentence in curve.faster_than_work()]
    if arguments.json:
        figures = {
            "where": _where(),
            "curves": [curve.to_dict() for curve in curves],
            "workers": [asdict(crew) for crew in crews],
            "faster_than_work": told,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.plots:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        for curve in curves:
            console.print(f"drawn: {curve.plot(arguments.plots)}")
    for sentence in told:
        console.print(f"[red]grows faster than the work:[/] {sentence}", highlight=False)
    return 0


def _curves(wanted: set[str], size: Size, *, short: bool, tell: Tell) -> Iterator[Curve]:
    if "queue" in wanted:
        yield queue.measure(size.queue, tell)
    if "crosswalk" in wanted:
        yield _crosswalk(short=short, tell=tell)
    if "tree" in wanted:
        yield tree.measure(size.tree, tell)
    if "index" in wanted:
        yield index.measure(size.index, tell)


def _crosswalk(*, short: bool, tell: Tell) -> Curve:
    """Return what `bench/crosswalk.py` finds, which judges it by itself."""
    tell("the crosswalk, by bench/crosswalk.py")
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, str(CROSSWALK), "--json", file.name]
        run = subprocess.run(
            [*command, *(["--short"] if short else [])], capture_output=True, text=True, check=False
        )
        text = Path(file.name).read_text()
    if not text:
        raise BenchError(f"bench/crosswalk.py failed: {run.stderr[-1000:]}")
    return crosswalk_curve(json.loads(text))


def crosswalk_curve(told: Mapping[str, Any]) -> Curve:
    """Return what `bench/crosswalk.py` writes as JSON as a curve over the number of studies."""
    sizes = sorted(told["ms"], key=int)
    costs: dict[str, list[float]] = defaultdict(list)
    for size in sizes:
        for figure in told["ms"][size]:
            costs[figure["name"]].append(float(figure["median"]))
    return Curve("crosswalk", "studies", [int(size) for size in sizes], costs)


def _crews(file: Path | None, size: Size, tell: Tell) -> list[Crew]:
    with contextlib.ExitStack() as ends:
        if file is None:
            tell("deploying a site for the bench; it is removed at the end")
            site = ends.enter_context(deployed(workers=MOST_WORKERS))
        else:
            site = ends.enter_context(standing(file))
        counts = [count for count in (1, 2, MOST_WORKERS) if count <= len(site.workers)]
        return workers.measure(site, counts, size.studies, size.instances, tell)


def _crew_table(crews: Sequence[Crew]) -> Table:
    table = Table("workers", "instances/s", "CPU ms/instance, all", "peak memory of each, MiB")
    for crew in crews:
        peaks = ", ".join(f"{peak:.0f}" for peak in crew.peak_mib)
        table.add_row(str(crew.workers), f"{crew.rate:.1f}", f"{crew.cpu:.1f}", peaks)
    return table


def _where() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": Path("/proc/loadavg").read_text().split()[:3],
        "python": platform.python_version(),
    }


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
