# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the service in Prometheus' text format.

No label holds anything of a patient or a study. What cannot be found out is left out, so that an
alert may ask for it; `orthanc_deid_database_up` tells whether the crosswalk answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import __version__
from orthanc_deid.events import now
from orthanc_deid.figures import Figures
from orthanc_deid.schema import deliveries, events, studies
from orthanc_deid.states import State

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
                    *_deliveries(connection),
                    *_events(connection),
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


def _deliveries(connection: sa.Connection) -> Iterator[Metric]:
    rows = connection.execute(
        sa.select(
            deliveries.c.destination,
            deliveries.c.state,
            sa.func.count(),
            sa.func.sum(deliveries.c.instances),
            sa.func.count(deliveries.c.last_error),
        ).group_by(deliveries.c.destination, deliveries.c.state)
    ).all()
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


def _events(connection: sa.Connection) -> Iterator[Metric]:
    """Count the moves of studies; whatever else happened is one kind."""
    counts = dict.fromkeys((*map(str, State), "other"), 0)
    query = sa.select(events.c.action, sa.func.count()).group_by(events.c.action)
    for action, count in connection.execute(query):
        counts[action if action in counts else "other"] += count
    metric = CounterMetricFamily(
        "orthanc_deid_events", "Moves of studies into each state, and others.", labels=["action"]
    )
    for names, count in _by_name(counts):
        metric.add_metric(names, count)
    yield metric


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
