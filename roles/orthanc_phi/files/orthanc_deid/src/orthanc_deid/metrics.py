# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the service in Prometheus' text format.

No label holds anything of a patient or a study. What cannot be found out is left out, so that an
alert may ask for it; `orthanc_deid_database_up` tells whether the crosswalk answered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import __version__
from orthanc_deid.events import now
from orthanc_deid.figures import Figures
from orthanc_deid.schema import deliveries, events, studies
from orthanc_deid.state_counts import Seldom
from orthanc_deid.states import State

SETTLED_AFTER: Final = timedelta(minutes=2)
FOR_A_PERSON = frozenset(state for state in State if state in {"quarantined", "review"})

Metric = GaugeMetricFamily | CounterMetricFamily
Values = Iterable[tuple[tuple[str, ...], float]]


class Metrics(Collector):
    """Collects the figures when they are asked for.

    Args:
        engine: the crosswalk.
        figures: what is read there and around the process.
    """

    def __init__(self, engine: sa.Engine, figures: Figures) -> None:
        self._engine = engine
        self._figures = figures
        self._settled = Seldom(_settled_deliveries)
        self._events = EventCounts()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> str:
        """Return all figures."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield all figures; asked for by the registry."""
        yield _gauge("info", "The version of the service.", [((__version__,), 1)], "version")
        try:
            told = self._figures.now()
            with self._engine.connect() as connection:
                counted = [
                    *_deliveries([*self._settled.value(connection), *_pending(connection)]),
                    _moves(self._events.now(connection)),
                    _oldest_waiting(connection),
                ]
        except SQLAlchemyError:
            yield _gauge("database_up", "Whether the crosswalk answers.", [((), 0)])
            return
        yield _gauge("database_up", "Whether the crosswalk answers.", [((), 1)])
        yield from _told(told)
        yield from counted


def _told(told: dict[str, Any]) -> Iterator[Metric]:
    """Yield what `Figures.now` tells."""
    queue = told["queue"]
    yield _gauge("studies", "Studies in each state.", _by_name(told["studies"]), "state")
    yield _gauge("queue_studies", "Studies under way.", [((), queue["length"])])
    yield _gauge(
        "queue_oldest_seconds",
        "For how long nothing happened to the study under way that rests longest.",
        [((), queue["oldest_seconds"] or 0)],
    )
    yield _gauge(
        "queue_failing_studies",
        "Studies under way whose last try failed.",
        [((), queue["tried_again"])],
    )
    alive = sum(worker["alive"] for worker in told["workers"])
    yield _gauge("workers_alive", "Workers that are alive, on any host.", [((), alive)])
    for name, key, purpose in (
        ("disk_free_bytes", "free", "Space that is free."),
        ("disk_size_bytes", "total", "The size of the file system."),
    ):
        values = [((disk["name"],), disk[key]) for disk in told["disks"]]
        yield _gauge(name, purpose, values, "disk")
    yield from _backup(told["backup"])
    days = [
        ((item["name"],), item["days"]) for item in told["certificates"] if item["days"] is not None
    ]
    yield _gauge(
        "certificate_days", "How many days a server's certificate is still valid.", days, "server"
    )


def _backup(backup: dict[str, Any]) -> Iterator[Metric]:
    """Yield how the last backup went; nothing where none are made."""
    if not backup["known"]:
        return
    success = backup["success"]
    yield _gauge("backup_failed", "Whether the last backup failed.", [((), bool(backup["error"]))])
    yield _gauge(
        "backup_success_timestamp_seconds",
        "When the last backup was made that was proven by restoring it; 0 is never.",
        [((), datetime.fromisoformat(success).timestamp() if success else 0)],
    )


def _pending(connection: sa.Connection) -> list[Any]:
    return _counted_deliveries(connection, deliveries.c.state == "pending")


def _settled_deliveries(connection: sa.Connection) -> list[Any]:
    return _counted_deliveries(connection, deliveries.c.state != "pending")


def _counted_deliveries(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Any]:
    """Return destination, state, studies, instances and errors of each kind of delivery."""
    query = (
        sa.select(
            deliveries.c.destination,
            deliveries.c.state,
            sa.func.count(),
            sa.func.sum(deliveries.c.instances),
            sa.func.count(deliveries.c.last_error),
        )
        .where(which)
        .group_by(deliveries.c.destination, deliveries.c.state)
    )
    return list(connection.execute(query).all())


def _deliveries(rows: list[Any]) -> Iterator[Metric]:
    yield _gauge(
        "deliveries",
        "Studies in each state of delivery at each destination.",
        [((row[0], row[1]), row[2]) for row in rows],
        "destination",
        "state",
    )
    yield _gauge(
        "delivered_instances",
        "Instances that are at each destination.",
        [((row[0],), row[3] or 0) for row in rows if row[1] == "delivered"],
        "destination",
    )
    failing = dict.fromkeys((row[0] for row in rows), 0)
    for row in rows:
        failing[row[0]] += row[4] if row[1] == "pending" else 0
    yield _gauge(
        "failing_deliveries",
        "Studies whose last try to reach a destination failed.",
        _by_name(failing),
        "destination",
    )


class EventCounts:
    """Counts events by what they tell; those that were counted are not read again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: Counter[str] = Counter()
        self._last = 0

    def now(self, connection: sa.Connection) -> Counter[str]:
        """Return how many events there are of each kind."""
        # One that is not committed yet may have a number below those that are.
        over = events.c.at < now() - SETTLED_AFTER
        with self._lock:
            for action, count, last in connection.execute(self._query().where(over)).all():
                self._before[action] += count
                self._last = max(self._last, last)
            recent = {row[0]: row[1] for row in connection.execute(self._query())}
            return self._before + Counter(recent)

    def _query(self) -> sa.Select[Any]:
        count = sa.func.count()
        query = sa.select(events.c.action, count, sa.func.max(events.c.id))
        return query.where(events.c.id > self._last).group_by(events.c.action)


def _moves(counted: Counter[str]) -> Metric:
    """Tell the moves of studies; whatever else happened is one kind."""
    counts = dict.fromkeys((*map(str, State), "other"), 0)
    for action, count in counted.items():
        counts[action if action in counts else "other"] += count
    metric = CounterMetricFamily(
        "orthanc_deid_events", "Moves of studies into each state, and others.", labels=["action"]
    )
    for names, total in _by_name(counts):
        metric.add_metric(names, total)
    return metric


def _oldest_waiting(connection: sa.Connection) -> Metric:
    query = sa.select(sa.func.min(studies.c.updated_at)).where(studies.c.state.in_(FOR_A_PERSON))
    oldest = connection.scalar(query)
    age = (now() - oldest).total_seconds() if oldest else 0
    return _gauge("oldest_waiting_seconds", "How long a study waits for a person.", [((), age)])


def _by_name(counts: dict[str, int]) -> Values:
    return [((name,), count) for name, count in counts.items()]


def _gauge(name: str, purpose: str, values: Values, *labels: str) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(f"orthanc_deid_{name}", purpose, labels=labels)
    for given, value in values:
        metric.add_metric(given, value)
    return metric
