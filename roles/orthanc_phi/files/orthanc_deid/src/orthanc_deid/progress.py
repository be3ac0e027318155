# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a worker has come with the instances of a study, told to whoever looks meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

EVERY: Final = 1.0
"""Seconds between two reports: a study that takes less has none, and costs nothing."""


class Progressing(Protocol):
    """Where progress is kept."""

    def tell_progress(self, study_id: int, progress: dict[str, Any]) -> None:
        """Keep how far a study has come, until its state changes."""


class Progress:
    """Counts the instances of one study on their way; may be called by several threads at once.

    Args:
        kept: where progress is kept.
        study_id: the crosswalk's own number of the study.
        instances: how many instances it has.
    """

    def __init__(self, kept: Progressing, study_id: int, instances: int) -> None:
        self._kept = kept
        self._study_id = study_id
        self._instances = instances
        self._read = 0
        self._deidentified = 0
        self._destinations: dict[str, dict[str, int]] = {}
        self._told = time.monotonic()
        self._counting = threading.Lock()

    def read(self) -> None:
        """Count one more instance that was read from the PHI Orthanc."""
        with self._counting:
            self._read += 1
        self._tell()

    def deidentified(self) -> None:
        """Count one more instance that was de-identified, or left out."""
        with self._counting:
            self._deidentified += 1
        self._tell()

    def again(self, instances: int) -> None:
        """Note that so many instances are read and de-identified a second time."""
        with self._counting:
            self._read -= instances
            self._deidentified -= instances

    def going_to(self, destinations: Iterable[str], instances: int) -> None:
        """Note that so many instances go to each of these destinations now."""
        with self._counting:
            self._destinations = {
                name: {"instances": instances, "sent": 0, "verified": 0} for name in destinations
            }

    def sent(self, destination: str) -> None:
        """Count one more instance that is on its way to a destination."""
        with self._counting:
            there = self._destinations[destination]
            there["sent"] = min(there["sent"] + 1, there["instances"])
        self._tell()

    def verified(self, destination: str) -> None:
        """Note that the destination has been asked, and has all of it."""
        with self._counting:
            there = self._destinations[destination]
            there["sent"] = there["verified"] = there["instances"]
        self._tell()

    def _tell(self) -> None:
        with self._counting:  # while it is kept, too: no report may overtake a later one
            now = time.monotonic()
            if now - self._told < EVERY:
                return
            self._told = now
            try:
                self._kept.tell_progress(self._study_id, self._report())
            except SQLAlchemyError:
                return  # nobody sees it then; the study itself is not held up by that

    def _report(self) -> dict[str, Any]:
        return {
            "instances": self._instances,
            "read": self._read,
            "deidentified": self._deidentified,
            "destinations": [
                {"destination": name, **counts} for name, counts in self._destinations.items()
            ],
        }
