# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site tells of itself: the table of verify.yml, figures, and logs without an identity."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

import deployed
from deployed import CONTAINERS
from planted import planted_study

MONITORING = deployed.ROOT / "files/monitoring"
APACHE_LOGS = Path("/var/log/apache2")


def test_one_command_looks_at_everything_and_tells_it_in_a_table() -> None:
    done = deployed.playbook("verify", check=False)

    assert deployed.changed(done) == 0
    table = re.search(r"msg: \|-\n(.*?)\n\n", done.stdout, re.DOTALL)
    assert table, done.stdout[-3000:]
    lines = [line.strip() for line in table[1].splitlines()]
    # Only the backup, which no test before this one has made, may be wrong.
    wrong = [line for line in lines if line.startswith("wrong")]
    assert [line for line in wrong if "backup is young and proven" not in line] == []
    assert bool(wrong) == bool(done.returncode)
    for told in (
        "a test study comes through", "shows a valid certificate", "database answers",
        "answers a C-ECHO", "tree can be written", "studies do not wait", "days left",
        "the mail relay runs",
    ):  # fmt: skip
        assert any(told in line and line.startswith("well") for line in lines), told


def test_every_figure_that_alerts_and_dashboard_ask_for_is_told() -> None:
    asked = (MONITORING / "orthanc_alerts.yml").read_text()
    asked += (MONITORING / "grafana_dashboard.json").read_text()
    names = set(re.findall(r"\borthanc_\w+", asked)) - {"orthanc_deid"}
    with deployed.client("phi", "metrics") as phi:
        told = phi.get("/deid/v1/metrics").raise_for_status().text
        told += phi.get("/tools/metrics-prometheus").raise_for_status().text
        assert phi.get("/studies").status_code == httpx.codes.FORBIDDEN
        assert phi.get("/deid/v1/status").status_code == httpx.codes.FORBIDDEN
    known = set(re.findall(r"^(orthanc_\w+)", told, re.MULTILINE))

    backup = {name for name in names if "_backup_" in name}  # there is one after the first backup
    assert names - backup - known == set()
    assert 'orthanc_deid_certificate_days{server="phi"}' in told
    assert "orthanc_deid_workers_alive 2.0" in told


def test_no_log_holds_an_identity_of_a_study_that_came_through_or_was_held_back() -> None:
    good, planted = planted_study("CT_small.dcm", 2)
    deployed.send(good)
    deployed.delivered(good[0].StudyInstanceUID, 2)
    bad, more = planted_study("MR_small.dcm", 2)
    for instance in bad:
        instance.PatientID = ""
    deployed.send(bad)
    deployed.wait_for(
        "one is held back",
        lambda: deployed.state(bad[0].StudyInstanceUID).get("state") == "quarantined",
    )
    with deployed.client("phi") as phi:
        for text in (good[0].PatientID, good[0].StudyInstanceUID):
            phi.post("/tools/lookup", content=str(text))
            phi.get(f"/patients/{text}")
            phi.get("/dicom-web/studies", params={"PatientID": str(text)})

    logs = "\n".join(deployed.docker("logs", name) for name in CONTAINERS)
    logs += "".join(path.read_text() for path in APACHE_LOGS.glob("e2e-orthanc*.log"))
    found = [text for text in [*planted, *more] if text.lower() in logs.lower()]
    assert found == []


def test_workers_log_json_with_study_and_job() -> None:
    lines = [
        json.loads(line)
        for name in CONTAINERS
        if "worker" in name
        for line in deployed.docker("logs", name).splitlines()
    ]

    delivered = [line for line in lines if line["event"] == "delivered"]
    assert delivered
    for line in delivered:
        assert line["job"]
        assert line["anonymous_study_uid"].startswith("2.25.")


def test_every_line_of_a_container_is_a_record_that_tells_where_it_comes_from() -> None:
    for name in CONTAINERS:
        told = deployed.inspect(name)
        kind = name.split("-")[1]
        record = json.loads(Path(told["LogPath"]).read_text().splitlines()[0])

        assert {"log", "stream", "time"} <= record.keys(), name
        assert record["attrs"]["tag"] == name
        assert record["attrs"]["org.imaging-orthanc.kind"] == kind
        assert record["attrs"]["org.imaging-orthanc.part"] in {"orthanc", "postgresql", "worker"}
        options = told["HostConfig"]["LogConfig"]["Config"]
        assert (options["max-size"], options["max-file"]) == ("20m", "5")


def test_postgresql_does_not_log_the_identity_that_an_error_is_about() -> None:
    study, _ = planted_study("CT_small.dcm", 1, patient="TWICE-THE-SAME")
    deployed.send(study)
    deployed.delivered(study[0].StudyInstanceUID, 1)
    again = "INSERT INTO patient_identifiers SELECT * FROM patient_identifiers"
    with pytest.raises(subprocess.CalledProcessError):
        deployed.docker(
            "exec", "e2e-phi-db", "psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres",
            "-d", "philookup", "-c", f"{again} WHERE patient_id = 'TWICE-THE-SAME'",
        )  # fmt: skip

    log = deployed.docker("logs", "e2e-phi-db")
    assert "duplicate key value" in log
    assert "TWICE-THE-SAME" not in log


def test_apaches_logs_are_rotated_by_the_distribution() -> None:
    looked = subprocess.run(
        ["/usr/sbin/logrotate", "--debug", "/etc/logrotate.d/apache2"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "e2e-orthanc_access.log" in looked.stdout + looked.stderr
