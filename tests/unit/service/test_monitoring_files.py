# SPDX-License-Identifier: GPL-3.0-or-later
"""Alert rules and dashboard ask for figures that there are; alerts come when they should."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.figures import Figures
from orthanc_deid.metrics import Metrics

ROOT = Path(__file__).parents[3]
FILES = ROOT / "files/monitoring"
RULES = FILES / "orthanc_alerts.yml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def asked_for() -> set[str]:
    """Every figure that a rule or a panel names."""
    panels = json.loads((FILES / "grafana_dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for rule in ALERTS]
    expressions += [target["expr"] for panel in panels for target in panel["targets"]]
    return {name for text in expressions for name in re.findall(r"\borthanc_\w+", text)} - {
        "orthanc_deid"  # the name of a job
    }


def test_every_figure_of_the_service_that_is_asked_for_is_told(
    database: sa.URL, tmp_path: Path
) -> None:
    crosswalk = Crosswalk(database, base_name="DEMO")
    (tmp_path / "backup.json").write_text(json.dumps({"success": "", "error": ""}))
    figures = Figures(
        crosswalk.engine, "UTC", storage=tmp_path, backup_state=tmp_path / "backup.json"
    )
    told = set(re.findall(r"^# TYPE (\w+)", Metrics(crosswalk.engine, figures).text(), re.M))

    of_service = {name for name in asked_for() if name.startswith("orthanc_deid_")}
    assert len(of_service) > 10
    assert of_service - told == set()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_where_it_is_written(rule: dict[str, Any]) -> None:
    document, _, heading = rule["annotations"]["remedy"].partition(": ")

    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(), re.M)
    assert heading in headings
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_prometheus_understands_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("figure", "bad", "good", "alert"),
    [
        ('up{job="orthanc_deid"}', "0", "1", "OrthancPhiDown"),
        ("orthanc_deid_database_up", "0", "1", "OrthancCrosswalkDown"),
        ("orthanc_deid_workers_alive", "0", "2", "OrthancWorkersDead"),
        ("orthanc_deid_queue_oldest_seconds", "3700", "60", "OrthancQueueOld"),
        ("orthanc_deid_failing_deliveries", "3", "0", "OrthancDestinationFailing"),
        ("orthanc_deid_oldest_waiting_seconds", "300000", "60", "OrthancWaitingForPerson"),
        ("orthanc_deid_backup_failed", "1", "0", "OrthancBackupFailed"),
        ("orthanc_deid_backup_success_timestamp_seconds", "-30000", "0", "OrthancBackupOld"),
        ("orthanc_deid_certificate_days", "20", "300", "OrthancCertificateEnds"),
    ],
)
def test_an_alert_comes_when_it_should_and_only_then(
    tmp_path: Path, figure: str, bad: str, good: str, alert: str
) -> None:
    assert _alerts(tmp_path, figure, bad) == {alert}
    assert _alerts(tmp_path, figure, good) == set()


def _alerts(tmp_path: Path, figure: str, value: str) -> set[str]:
    """Return the alerts that fire after an hour in which a figure had a value."""
    expected = [{"eval_time": "60m", "alertname": rule["alert"]} for rule in ALERTS]
    series = [{"series": figure, "values": f"{value}x60"}]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected}
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    # It names each alert that fires though none is expected.
    done = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    found = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert bool(found) == bool(done.returncode), done.stderr
    return found
