# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches studies from DICOM nodes, in a thread of the agent.

All that it knows is in the database and in Orthanc's jobs, so it goes on after a restart of either.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid.fetches import Fetches, Item
from orthanc_deid.orthanc_client import GoneError, OrthancError
from orthanc_deid.pacs import Pacs

log = logging.getLogger(__name__)

SECONDS: Final = 2.0
AT_ONCE: Final = 2
"""How many studies are retrieved at the same time: a PACS has other work."""
ATTEMPTS: Final = 4
FIRST_PAUSE: Final = 10.0
UNDER_WAY: Final = frozenset({"Pending", "Running", "Paused", "Retry"})


class Fetcher:
    """Takes every fetch as far as it goes."""

    def __init__(self, fetches: Fetches, pacs: Pacs) -> None:
        self.fetches = fetches
        self.pacs = pacs
        self._awake = threading.Event()

    def start(self) -> None:
        """Work in a thread that ends with the process."""
        threading.Thread(target=self._run, name="fetcher", daemon=True).start()

    def wake(self) -> None:
        """Look at once for what there is to do."""
        self._awake.set()

    def _run(self) -> None:
        while True:
            try:
                self.step()
            except SQLAlchemyError as error:
                log.warning("the crosswalk does not answer", exc_info=error)
            except Exception:
                log.exception("a fault of the program while fetching")
            self._awake.wait(SECONDS)
            self._awake.clear()

    def step(self) -> None:
        """Do what is due now."""
        items = self.fetches.due()
        running = [item for item in items if item.state == "retrieving"]
        for item in running:
            self._guard(self._follow, item)
        for item in items:
            if item.state == "looking":
                self._guard(self._look, item)
        free = AT_ONCE - len(running)
        for item in _first(free, (item for item in items if item.state == "waiting")):
            self._guard(self._begin, item)

    def _guard(self, action: Callable[[Item], None], item: Item) -> None:
        try:
            action(item)
        except OrthancError as error:
            self._failed(item, str(error))

    def _look(self, item: Item) -> None:
        studies = self.pacs.find(item.node, {"AccessionNumber": item.accession})
        exact = [study for study in studies if study.accession == item.accession]
        if exact:
            self.fetches.found(item, exact)
        else:
            self.fetches.change(item, state="not-found", error="the node has no such accession")

    def _begin(self, item: Item) -> None:
        job = self.pacs.retrieve(item.node, item.study_instance_uid)
        self.fetches.change(item, state="retrieving", job=job, error="")

    def _follow(self, item: Item) -> None:
        try:
            state, error = self.pacs.job(item.job)
        except GoneError:  # Orthanc was restarted
            self.fetches.change(item, state="waiting", job="")
            return
        received = self.pacs.arrived(item.study_instance_uid)
        if state in UNDER_WAY:
            if received != item.received:
                self.fetches.change(item, received=received)
        elif state != "Success":
            self._failed(item, error or "the node did not send the study", received=received)
        elif received == 0:
            self._failed(
                item,
                "the node says that it sent the study, but nothing arrived; "
                "it must know PHI as a destination, and the inventory must allow it to store",
            )
        elif item.expected is not None and received < item.expected:
            missing = f"{received} of {item.expected} instances arrived"
            self._failed(item, missing, received=received)
        else:
            self.fetches.change(item, state="done", received=received, error="")

    def _failed(self, item: Item, error: str, received: int | None = None) -> None:
        """Try again later, but not for ever."""
        attempts = item.attempts + 1
        last = attempts >= ATTEMPTS
        again = "looking" if not item.study_instance_uid else "waiting"
        self.fetches.change(
            item,
            state="failed" if last else again,
            attempts=attempts,
            error=error,
            job="",
            received=item.received if received is None else received,
            pause=0 if last else FIRST_PAUSE * 2 ** (attempts - 1),
        )


def _first(count: int, items: Iterable[Item]) -> list[Item]:
    return [item for item, _ in zip(items, range(max(count, 0)), strict=False)]
