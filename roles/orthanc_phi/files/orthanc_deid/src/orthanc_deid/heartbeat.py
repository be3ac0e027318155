# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers tell the crosswalk that they are alive, and how much room their spool has."""

from __future__ import annotations

import platform
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from orthanc_deid import __version__, database
from orthanc_deid.events import now
from orthanc_deid.schema import workers

FORGOTTEN: Final = timedelta(days=7)


class Heartbeat:
    """The row of this worker, by the name of its host."""

    def __init__(self, engine: sa.Engine, spool: Path, name: str | None = None) -> None:
        self._engine = engine
        self._spool = spool
        self._name = name or platform.node()
        self._started_at = now()

    def beat(self) -> None:
        """Write that this worker is alive now; workers unheard of for a week are forgotten."""
        usage = shutil.disk_usage(self._spool) if self._spool.exists() else None
        values = {
            "version": __version__,
            "started_at": self._started_at,
            "beat_at": now(),
            "spool_free": usage.free if usage else 0,
            "spool_total": usage.total if usage else 0,
        }
        with self._engine.begin() as connection:
            connection.execute(
                database.insert(connection, workers)
                .values(name=self._name, **values)
                .on_conflict_do_update(index_elements=[workers.c.name], set_=values)
            )
            connection.execute(workers.delete().where(workers.c.beat_at < now() - FORGOTTEN))

    def end(self) -> None:
        """Take the row away: this worker stops as it was told."""
        with self._engine.begin() as connection:
            connection.execute(workers.delete().where(workers.c.name == self._name))
