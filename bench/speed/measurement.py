# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time and memory of one contestant on one series."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from .contestants import contestant


def cpu_seconds(names: list[str], instances: list[bytes], rounds: int) -> dict[str, float]:
    """Return the processor seconds that each contestant takes for an instance.

    Round by round they change places, so that none of them always comes first. Counted is the
    best round: what else the machine does can only make a round slower. Programs that they start,
    such as the one that looks for text, count as well.
    """
    best = dict.fromkeys(names, float("inf"))
    for name in names:
        contestant(name)(instances[0])
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            run = contestant(name)
            started = _cpu()
            for data in instances:
                run(data)
            best[name] = min(best[name], (_cpu() - started) / len(instances))
    return best


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mib(name: str, small: Path, large: Path) -> float:
    """Return by how many MiB a process of its own grows that de-identifies one file.

    Args:
        name: the contestant.
        small: a file that it does first, so that all its modules and tables are loaded.
        large: the file.
    """
    here = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-m", "speed.measurement", name, small, large],
        env={**os.environ, "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}"},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(run.stdout.split()[-1])


def _status(name: str) -> float:
    """Return a figure of this process in MiB; unlike `ru_maxrss` it begins with the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _main(name: str, small: str, large: str) -> None:
    run = contestant(name)
    run(Path(small).read_bytes())
    before = _status("VmRSS:")
    run(Path(large).read_bytes())
    print(_status("VmHWM:") - before)


if __name__ == "__main__":
    _main(*sys.argv[1:])
