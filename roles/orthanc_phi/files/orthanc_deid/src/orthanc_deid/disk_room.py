# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the PHI Orthanc takes new instances: not while its disk is nearly full.

A disk that runs full breaks Orthanc and its database in the middle of something; a sender that is
refused before keeps what it has and sends it again. Used inside Orthanc too: the standard library
only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

STORAGE = Path("/var/lib/orthanc")
LOOK_EVERY = 1.0  # seconds
OUT_OF_RESOURCES = 0xA700
"""Status of a C-STORE that the sender may repeat later (PS3.4 table B.2-1)."""

INSUFFICIENT_STORAGE = 507


class Room(NamedTuple):
    """How full the disk is, and whether new instances are refused because of that."""

    used_percent: float
    free_bytes: int
    refusing: bool


class DiskRoom:
    """Looks at the file system of Orthanc's storage, at most once a second.

    Args:
        percent: from how many percent used on instances are refused; 100 is never.
        reserve: below how many free bytes they are refused; 0 is never.
        path: somewhere in the file system.
    """

    def __init__(self, percent: int, reserve: int, path: Path = STORAGE) -> None:
        self._percent = percent
        self._reserve = reserve
        self._path = path
        self._seen: tuple[float, Room] | None = None

    @classmethod
    def of(cls, settings: Path) -> DiskRoom:
        """Return the one of the service's settings."""
        limit: Mapping[str, Any] = json.loads(settings.read_text("utf-8")).get("disk_limit", {})
        return cls(int(limit.get("percent", 100)), int(limit.get("reserve", 0)))

    def look(self) -> Room:
        """Return how it stands.

        Raises:
            OSError: the file system does not answer.
        """
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] >= LOOK_EVERY:
            self._seen = now, self._measure()
        return self._seen[1]

    def _measure(self) -> Room:
        space = os.statvfs(self._path)
        # As df counts: what is kept for root is neither used nor free.
        used, free = space.f_blocks - space.f_bfree, space.f_bavail
        percent = 100.0 * used / max(used + free, 1)
        free_bytes = free * space.f_frsize
        refusing = (self._percent < 100 and percent >= self._percent) or free_bytes < self._reserve
        return Room(round(percent, 1), free_bytes, refusing)
