# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes Orthanc's events on to the queue from a thread of its own.

Orthanc must neither wait nor fail because the database is away. What cannot be passed on is
dropped: the reconcile job finds it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from orthanc_deid.logs import describe

PENDING = 10_000


class Announcer:
    """Calls `announce(study)` for each study, one after the other, in the background."""

    def __init__(self, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
        self._announce = announce
        self._warn = warn
        self._waiting: queue.Queue[str | None] = queue.Queue(PENDING)
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin to pass on."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after at most `seconds`; what is still waiting is dropped."""
        self.add(None)
        self._thread.join(seconds)

    def add(self, study: str | None) -> None:
        """Take a study; returns at once."""
        try:
            self._waiting.put_nowait(study)
        except queue.Full:
            self._warn("too many studies wait to be queued; reconcile will find the others")

    def _run(self) -> None:
        while (study := self._waiting.get()) is not None:
            try:
                self._announce(study)
            except Exception as error:
                place = describe(type(error), error.__traceback__)
                self._warn(f"a study was not queued ({place}); reconcile will find it")
