# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies of the PHI Orthanc have to be looked at: what has changed, now and then all.

Orthanc's log of changes is written in the transaction that stores an instance, unlike the event
that a study is stable, which is lost with the process. So the log is followed from a position in
the crosswalk. The position stays before the first change of a study that is not stable yet: that
one is looked at again the next time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.events import now
from orthanc_deid.orthanc_client import GoneError, OrthancClient, SourceStudy
from orthanc_deid.schema import looks

COMPLETE_EVERY: Final = timedelta(hours=1)
OVERLAP: Final = 200
"""So many changes are read again, since one may be logged behind another that was read."""

REACH: Final = 20_000
"""A study that is not stable got its last instance within so many changes."""

_PHI: Final = "phi"


class Position(NamedTuple):
    """Up to which change the log was followed, and when everything was looked at."""

    change: int
    complete_at: datetime


class PhiChanges:
    """Follows the changes of the PHI Orthanc."""

    def __init__(self, engine: sa.Engine, source: OrthancClient) -> None:
        self._engine = engine
        self._source = source

    def position(self) -> Position | None:
        """Return how far the log was followed; None if it never was."""
        query = sa.select(looks.c.change, looks.c.complete_at).where(looks.c.name == _PHI)
        with self._engine.connect() as connection:
            found = connection.execute(query).one_or_none()
        return Position(*found) if found else None

    def keep(self, position: Position) -> None:
        """Note how far the log was followed."""
        values = position._asdict()
        with self._engine.begin() as connection:
            connection.execute(
                database.insert(connection, looks)
                .values(name=_PHI, **values)
                .on_conflict_do_update(index_elements=[looks.c.name], set_=values)
            )

    def is_complete_due(self, last: int) -> bool:
        """Whether everything has to be looked at: after an hour, or where the log began anew."""
        known = self.position()
        if known is None or known.change > last:
            return True
        return now() - known.complete_at >= COMPLETE_EVERY

    def changed(self, since: int, last: int) -> Iterator[tuple[int, SourceStudy]]:
        """Yield each study with instances that came after a change, with its first such change.

        Raises:
            orthanc_client.TransientError: Orthanc does not answer.
        """
        seen: set[str] = set()
        for change in self._source.changes(max(since - OVERLAP, 0), last):
            if change.type != "NewInstance" or change.resource in seen:
                continue
            seen.add(change.resource)
            with suppress(GoneError):
                study = self._source.study_of_instance(change.resource)
                seen.update(self._source.instance_ids(study.orthanc_id))
                yield change.number, study
