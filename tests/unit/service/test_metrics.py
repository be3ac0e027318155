# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is told, from a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.figures import Figures
from orthanc_deid.heartbeat import Heartbeat
from orthanc_deid.metrics import Metrics
from orthanc_deid.states import State

from .test_subjects import send_out

MINUTES = 60


@pytest.fixture
def crosswalk(database: sa.URL) -> Iterator[Crosswalk]:
    opened = Crosswalk(database, base_name="DEMO")
    yield opened
    opened.close()


@pytest.fixture
def metrics(crosswalk: Crosswalk, tmp_path: Path) -> Metrics:
    figures = Figures(
        crosswalk.engine, "UTC", storage=tmp_path, backup_state=tmp_path / "backup.json"
    )
    return Metrics(crosswalk.engine, figures)


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return each value by its name without the prefix, and the values of its labels."""
    return {
        (sample.name.removeprefix("orthanc_deid_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def test_studies_deliveries_and_moves_are_counted(crosswalk: Crosswalk, metrics: Metrics) -> None:
    send_out(crosswalk, "MRN-1")
    crosswalk.studies.set_delivery(1, "anon", instances=3)
    waiting = crosswalk.studies.add(orthanc_id="s-2").id
    crosswalk.studies.move(waiting, State.QUEUED)
    crosswalk.studies.set_delivery(waiting, "disk", error="disk cannot be reached")

    told = read(metrics)

    assert told["database_up",] == 1
    assert (told["studies", "delivered"], told["studies", "quarantined"]) == (1, 0)
    assert told["queue_studies",] == 1
    assert told["deliveries", "anon", "delivered"] == 1
    assert told["delivered_instances", "anon"] == 3
    assert (told["failing_deliveries", "disk"], told["failing_deliveries", "anon"]) == (1, 0)
    assert (told["events_total", "delivered"], told["events_total", "received"]) == (1, 2)


def test_what_waits_for_a_person_has_an_age(crosswalk: Crosswalk, metrics: Metrics) -> None:
    assert read(metrics)["oldest_waiting_seconds",] == 0
    study = crosswalk.studies.add(orthanc_id="s-1").id
    for state in (State.QUEUED, State.WORKING, State.QUARANTINED):
        crosswalk.studies.move(study, state, reason="leak: one was found")
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE studies SET updated_at = now() - interval '2 hours'")

    assert read(metrics)["oldest_waiting_seconds",] == pytest.approx(120 * MINUTES, abs=60)


def test_workers_that_live_are_counted(
    crosswalk: Crosswalk, metrics: Metrics, tmp_path: Path
) -> None:
    for name in ("worker-1", "worker-2"):
        Heartbeat(crosswalk.engine, tmp_path, name).beat()
    assert read(metrics)["workers_alive",] == 2
    assert read(metrics)["disk_free_bytes", "spool of worker-1"] > 0
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE workers SET beat_at = now() - interval '2 minutes' WHERE name = 'worker-1'"
        )

    assert read(metrics)["workers_alive",] == 1


def test_a_backup_is_told_by_its_time_and_its_failure(metrics: Metrics, tmp_path: Path) -> None:
    assert ("backup_failed",) not in read(metrics)
    state = {"attempt": "", "success": "2026-01-31T12:17:00+00:00", "error": "no space left"}
    (tmp_path / "backup.json").write_text(json.dumps(state))

    told = read(metrics)

    assert told["backup_failed",] == 1
    assert told["backup_success_timestamp_seconds",] == 1769861820


def test_a_crosswalk_that_is_away_is_a_figure_too(database: sa.URL, tmp_path: Path) -> None:
    away = Crosswalk(database.set(port=1), base_name="DEMO")

    told = read(Metrics(away.engine, Figures(away.engine, "UTC", storage=tmp_path)))

    assert told["database_up",] == 0
    assert ("studies", "delivered") not in told


def test_nothing_of_a_patient_is_in_it(crosswalk: Crosswalk, metrics: Metrics) -> None:
    send_out(crosswalk, "MRN-4711")
    crosswalk.studies.note("MRN-4711 was looked up", detail="DOE^JANE")

    text = metrics.text()

    assert "4711" not in text
    assert "JANE" not in text
