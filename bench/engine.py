#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the engine de-identifies instances, and with how much memory, beside its peers.

Each series is made in memory and given to each contestant in turn, in changing order, on one core.
Required: on CT and MR five times the faster peer, on enhanced multi-frame twice, and never more
memory than two instances and 64 MiB, or five where pixels are blanked.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from speed.contestants import NAMES, OWN, PEERS, READ_AND_WRITE, label
from speed.measurement import cpu_seconds, peak_mib
from speed.series import SERIES, large

MIB = 1 << 20
LARGE, SHORT_LARGE = 1 << 30, 1 << 28  # bytes of pixel data
SPARE = 64  # MiB
BLANKED = 5  # instances at a time: what is blanked is decoded, changed and looked at again
TIMES_FASTER = {"CT 512² native": 5, "MR 256² native": 5, "enhanced MR, 100 frames": 2}


@dataclass(frozen=True)
class Figures:
    """What was measured on one series, by the names of the contestants.

    Attributes:
        series: its name.
        mib: the size of one instance.
        per_second: instances for each second of processor time.
        peak_mib: by how much a process grows that does one instance.
    """

    series: str
    mib: float
    peak_mib: dict[str, float]
    per_second: dict[str, float] = field(default_factory=dict)

    @property
    def times_faster(self) -> float:
        """How many times the faster peer's speed the engine has."""
        return self.per_second[OWN] / max(self.per_second[peer] for peer in PEERS)

    def missed(self) -> Iterator[str]:
        """Yield the requirements that are missed."""
        limit = (BLANKED if "blanked" in self.series else 2) * self.mib + SPARE
        if self.peak_mib[OWN] > limit:
            yield f"{self.series}: {self.peak_mib[OWN]:.0f} MiB, more than {limit:.0f}"
        wanted = TIMES_FASTER.get(self.series)
        if wanted is not None and self.times_faster < wanted:
            yield f"{self.series}: {self.times_faster:.1f} times the faster peer, not {wanted}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(prog="bench/engine.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer instances and rounds")
    parser.add_argument("--only", nargs="+", choices=list(SERIES), metavar="SERIES")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args(argv)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        rows: list[Figures] = []
        for name in arguments.only or SERIES:
            console.print(f"measuring {name}")
            rows.append(_measured(name, Path(folder), short=arguments.short))
        console.print("measuring a large instance")
        big = _measured_large(Path(folder), SHORT_LARGE if arguments.short else LARGE)
    Console().print(_speeds(rows), _memory([*rows, big]))
    if arguments.json:
        rows_as_json = [asdict(row) for row in [*rows, big]]
        figures = {"python": platform.python_version(), "series": rows_as_json}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    missed = [reason for row in [*rows, big] for reason in row.missed()]
    for reason in missed:
        console.print(f"[red]{reason}")
    return int(bool(missed))


def _measured(name: str, folder: Path, *, short: bool) -> Figures:
    make, count = SERIES[name]
    instances = [make(number) for number in range(max(1, count // 4) if short else count)]
    seconds = cpu_seconds(list(NAMES), instances, 2 if short else 6)
    small, file = folder / "small.dcm", folder / "instance.dcm"
    small.write_bytes(SERIES["SR"][0](0))
    file.write_bytes(instances[0])
    return Figures(
        name,
        len(instances[0]) / MIB,
        {one: peak_mib(one, small, file) for one in (OWN, *PEERS, READ_AND_WRITE)},
        {one: 1 / taken for one, taken in seconds.items()},
    )


def _measured_large(folder: Path, size: int) -> Figures:
    small, file = folder / "small.dcm", folder / "large.dcm"
    small.write_bytes(SERIES["SR"][0](0))
    file.write_bytes(large(size))
    mib = file.stat().st_size / MIB
    peaks = {one: peak_mib(one, small, file) for one in (OWN, READ_AND_WRITE)}
    return Figures(f"enhanced MR, {mib:.0f} MiB", mib, peaks)


def _speeds(rows: list[Figures]) -> Table:
    table = Table("instances per CPU-second", *map(label, NAMES), "engine to faster peer")
    for row in rows:
        speeds = [f"{row.per_second[name]:,.1f}" for name in NAMES]
        table.add_row(f"{row.series}, {row.mib:.1f} MiB", *speeds, f"{row.times_faster:.1f}")
    return table


def _memory(rows: list[Figures]) -> Table:
    names = (OWN, *PEERS, READ_AND_WRITE)
    table = Table("peak memory, MiB", "instance", *map(label, names))
    for row in rows:
        peaks = [f"{row.peak_mib[name]:.1f}" if name in row.peak_mib else "" for name in names]
        table.add_row(row.series, f"{row.mib:.1f}", *peaks)
    return table


if __name__ == "__main__":
    sys.exit(main())
