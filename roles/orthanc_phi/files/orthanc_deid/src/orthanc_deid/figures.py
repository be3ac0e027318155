# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the service: what one looks at in the morning, and what monitoring collects.

Nothing here tells of a patient. Days and hours are those of the site's zone.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import sqlalchemy as sa

from orthanc_deid.events import now
from orthanc_deid.schema import deliveries, studies, workers
from orthanc_deid.state_counts import StateCounts
from orthanc_deid.states import UNFINISHED, State
from orthanc_deid.tls import client_context

ALIVE_SECONDS: Final = 60
DAYS: Final = 30
HOURS: Final = 48
_CERTIFICATES_SECONDS: Final = 600
_CONNECT_SECONDS: Final = 3.0

BACKUP_STATE: Final = Path("/etc/orthanc-deid/public/backup.json")
STORAGE: Final = Path("/var/lib/orthanc")


@dataclass(frozen=True, slots=True)
class Server:
    """A server whose certificate is watched; `ca` is who signs it, as PEM or a path."""

    name: str
    url: str
    ca: str | Path


class Figures:
    """Reads the figures from the crosswalk and from what the process can see.

    Args:
        engine: the crosswalk, on PostgreSQL.
        zone: the site's time zone, such as `America/New_York`.
        servers: whose certificates are looked at.
    """

    def __init__(
        self,
        engine: sa.Engine,
        zone: str,
        servers: Iterable[Server] = (),
        *,
        storage: Path = STORAGE,
        backup_state: Path = BACKUP_STATE,
    ) -> None:
        self._engine = engine
        self._zone = zone
        self._servers = tuple(servers)
        self._storage = storage
        self._backup_state = backup_state
        self._counts = StateCounts()

    def now(self) -> dict[str, Any]:
        """Return how things stand: studies, workers, disks, backup and certificates."""
        with self._engine.connect() as connection:
            studies_now = {str(one): count for one, count in self._counts.now(connection).items()}
            queue = _queue(connection)
            destinations = _destinations(connection)
            alive = _workers(connection)
        return {
            "at": now().isoformat(),
            "studies": studies_now,
            "queue": queue,
            "destinations": destinations,
            "workers": alive,
            "disks": self._disks(alive),
            "backup": self._backup(),
            "certificates": certificates(self._servers, int(time.time() / _CERTIFICATES_SECONDS)),
        }

    def history(self) -> dict[str, Any]:
        """Return how things went: deliveries a day and destination, studies an hour, their age."""
        with self._engine.connect() as connection:
            return {
                "zone": self._zone,
                "days": _days(connection, self._zone),
                "hours": _hours(connection, self._zone),
                "ages": _ages(connection, self._zone),
            }

    def _disks(self, alive: list[dict[str, Any]]) -> list[dict[str, Any]]:
        usage = shutil.disk_usage(self._storage) if self._storage.exists() else None
        disks = (
            [{"name": "storage of PHI", "free": usage.free, "total": usage.total}] if usage else []
        )
        return disks + [
            {"name": f"spool of {worker['name']}", "free": worker["free"], "total": worker["total"]}
            for worker in alive
            if worker["total"]
        ]

    def _backup(self) -> dict[str, Any]:
        """Return how the last backup went, as its program says; all empty where it says nothing."""
        nothing = {"attempt": "", "success": "", "error": "", "known": False}
        try:
            told = json.loads(self._backup_state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return nothing
        return {name: str(told.get(name, "")) for name in nothing} | {"known": True}


def _queue(connection: sa.Connection) -> dict[str, Any]:
    """Return what is under way, how long the oldest of it has been, and what failed so far."""
    under_way = studies.c.state.in_(UNFINISHED)
    query = sa.select(
        sa.func.count(),
        sa.func.count().filter(studies.c.state != State.QUEUED),
        sa.func.count().filter(studies.c.attempts > 0),
        sa.func.min(studies.c.updated_at),
    ).where(under_way)
    length, running, tried_again, oldest = connection.execute(query).one()
    return {
        "length": length,
        "running": running,
        "tried_again": tried_again,
        "oldest_seconds": round((now() - oldest).total_seconds()) if oldest else None,
    }


def _destinations(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return what waits for each destination that is in trouble now, and what it answered last."""
    waiting = sa.and_(deliveries.c.state == "pending", deliveries.c.last_error.is_not(None))
    query = (
        sa.select(
            deliveries.c.destination,
            sa.func.count().label("waiting"),
            sa.func.max(deliveries.c.updated_at).label("since"),
            sa.func.max(deliveries.c.last_error).label("error"),
        )
        .where(waiting)
        .group_by(deliveries.c.destination)
        .order_by(deliveries.c.destination)
    )
    return [
        {**row, "since": row["since"].isoformat()} for row in connection.execute(query).mappings()
    ]


def _workers(connection: sa.Connection) -> list[dict[str, Any]]:
    moment = now()
    return [
        {
            "name": row.name,
            "version": row.version,
            "started_at": row.started_at.isoformat(),
            "seconds_ago": round((moment - row.beat_at).total_seconds()),
            "alive": (moment - row.beat_at).total_seconds() < ALIVE_SECONDS,
            "free": row.spool_free,
            "total": row.spool_total,
        }
        for row in connection.execute(sa.select(workers).order_by(workers.c.name))
    ]


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _days(connection: sa.Connection, zone: str) -> list[dict[str, Any]]:
    day = sa.func.date_trunc("day", sa.func.timezone(zone, deliveries.c.delivered_at))
    query = (
        sa.select(day.label("day"), deliveries.c.destination, sa.func.count().label("studies"))
        .where(deliveries.c.state == "delivered", deliveries.c.delivered_at > _since(DAYS))
        .group_by("day", deliveries.c.destination)
        .order_by("day", deliveries.c.destination)
    )
    return [
        {**row, "day": row["day"].date().isoformat()}
        for row in connection.execute(query).mappings()
    ]


def _hours(connection: sa.Connection, zone: str) -> list[dict[str, Any]]:
    hour = sa.func.date_trunc("hour", studies.c.delivered_at, zone)
    query = (
        sa.select(hour.label("hour"), sa.func.count().label("studies"))
        .where(studies.c.delivered_at > _since(HOURS // 24))
        .group_by("hour")
        .order_by("hour")
    )
    return [
        {**row, "hour": row["hour"].isoformat()} for row in connection.execute(query).mappings()
    ]


def _ages(connection: sa.Connection, zone: str) -> list[dict[str, Any]]:
    """Return how old studies were, in seconds, when they had been delivered: half, and 19 of 20."""
    day = sa.func.date_trunc("day", sa.func.timezone(zone, studies.c.delivered_at))
    age = sa.extract("epoch", studies.c.delivered_at - studies.c.created_at)
    query = (
        sa.select(
            day.label("day"),
            sa.func.percentile_cont(0.5).within_group(age).label("median"),
            sa.func.percentile_cont(0.95).within_group(age).label("most"),
        )
        .where(studies.c.delivered_at > _since(DAYS))
        .group_by("day")
        .order_by("day")
    )
    return [
        {"day": row.day.date().isoformat(), "median": float(row.median), "most": float(row.most)}
        for row in connection.execute(query)
    ]


@lru_cache(maxsize=2)
def certificates(servers: tuple[Server, ...], _period: int) -> list[dict[str, Any]]:
    """Return how many days each server's certificate is still good; asked once in `_period`."""
    return [{"name": server.name, **_certificate(server)} for server in servers]


def _certificate(server: Server, connect: Callable[..., Any] = socket.create_connection) -> Any:
    address = urlsplit(server.url)
    try:
        context = client_context(str(server.ca))
        with (
            connect((address.hostname, address.port or 443), _CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as tls,
        ):
            ends = ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return {"days": None, "problem": error.verify_message}
    except (OSError, KeyError, ValueError) as error:
        return {"days": None, "problem": f"cannot be reached ({type(error).__name__})"}
    return {"days": int((ends - time.time()) // 86400), "problem": ""}
