# SPDX-License-Identifier: GPL-3.0-or-later
"""How many instances a process may work on at once, by their sizes and the memory that it has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")  # of its versions 2 and 1
OWN: Final = 256 << 20
"""Bytes that the program itself takes, with what it remembers of studies."""
TIMES: Final = 5
"""How often an instance is in memory at the most: where its pixels are blanked."""
UNLIMITED: Final = 1 << 30


class MemoryRoom:
    """Has those wait for whose instances there is no memory now; may be used by several threads.

    An instance that is larger than all of the room is worked on alone.

    Attributes:
        size: bytes of instances that may be worked on at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._changed = threading.Condition()

    @classmethod
    def of_container(cls, cgroup: Path = CGROUP) -> MemoryRoom:
        """Return the room that the memory limit of this container leaves."""
        room = UNLIMITED
        for name in LIMITS:
            with suppress(OSError, ValueError):  # no such file, or "max"
                most = int((cgroup / name).read_text())
                room = min(max(most - OWN, 0) // TIMES, UNLIMITED)
        return cls(room)

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until there is room for an instance of so many bytes, and keep it meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self.size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
