# SPDX-License-Identifier: GPL-3.0-or-later
"""How long something takes, and how much processor time each container has in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

_SOCKET: Final = Path("/var/run/docker.sock")


@dataclass
class Lap:
    """What was measured.

    Attributes:
        instances: how many were taken.
        seconds: on the wall.
        cpu: processor seconds by container.
    """

    instances: int
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Instances for each second."""
        return self.instances / self.seconds


@contextlib.contextmanager
def lap(instances: int, containers: Sequence[str]) -> Iterator[Lap]:
    """Measure what is done inside."""
    measured = Lap(instances)
    before, started = _cpu(containers), time.monotonic()
    yield measured
    measured.seconds = time.monotonic() - started
    after = _cpu(containers)
    measured.cpu = {name: round(after[name] - before[name], 2) for name in containers}


def _cpu(containers: Sequence[str]) -> dict[str, float]:
    """Return the processor seconds that containers have had since they were started."""
    transport = httpx.HTTPTransport(uds=str(_SOCKET))
    with httpx.Client(transport=transport, base_url="http://docker", timeout=30) as engine:

        def one(name: str) -> float:
            asked = {"stream": "false", "one-shot": "true"}
            answer = engine.get(f"/v1.41/containers/{name}/stats", params=asked)
            told = answer.raise_for_status().json()
            return float(told["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

        with ThreadPoolExecutor(len(containers)) as threads:
            return dict(zip(containers, threads.map(one, containers), strict=True))
