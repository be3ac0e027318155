# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules, against the real site."""

from __future__ import annotations

import time
from typing import Any

import pytest

import deployed
from ansible_modules import connection, run
from planted import planted_study

PLUGINS = {"postgresql-index", "python", "dicom-web"}
DESTINATIONS = ("anon", "disk")


def destinations() -> list[dict[str, str]]:
    return [{"name": kind, **connection(kind)} for kind in DESTINATIONS]


@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
def test_every_orthanc_is_healthy_with_all_that_is_around_it(kind: str) -> None:
    answer = run(
        "orthanc_health",
        kind,
        **connection(kind, "service"),
        aet=kind.upper(),
        kind=kind,
        plugins=sorted(PLUGINS),
        containers=[f"e2e-{kind}", f"e2e-{kind}-db"],
        dicom_port=deployed.DICOM_PORT + ("phi", "anon", "disk").index(kind),
        directories=[f"/srv/orthanc-e2e/{kind}"],
        queue_max_age=3600 if kind == "phi" else None,
        timeout=60,
    )

    errors = [item for item in answer["findings"] if item["severity"] == "error"]
    assert errors == []
    assert answer["state"] == "healthy"
    assert answer["script"]["kind"] == kind
    assert answer["plugins"].keys() >= PLUGINS
    assert answer["certificate_days"] > 300


def test_a_paused_database_is_found_in_time_and_named() -> None:
    deployed.docker("pause", "e2e-anon-db")
    try:
        begun = time.monotonic()
        answer = run(
            "orthanc_health",
            "anon",
            kind="anon",
            containers=["e2e-anon", "e2e-anon-db"],
            timeout=0,
            request_timeout=3,
        )
        assert time.monotonic() - begun < 60
    finally:
        deployed.docker("unpause", "e2e-anon-db")

    assert answer["failed"]
    assert answer["state"] == "unhealthy"
    told = {item["check"]: item for item in answer["findings"]}
    assert "no answer within 3 s" in told["database"]["cause"]
    assert told["containers"]["remedy"] == "docker unpause e2e-anon-db"


def test_a_stopped_orthanc_is_unreachable() -> None:
    deployed.docker("stop", "e2e-anon")
    try:
        answer = run("orthanc_health", "anon", containers=["e2e-anon"], timeout=0)
    finally:
        deployed.docker("start", "e2e-anon")

    assert answer["state"] == "unreachable"
    assert "e2e-anon is exited" in answer["msg"]
    assert run("orthanc_health", "anon", containers=["e2e-anon"])["state"] == "healthy"


def test_what_an_orthanc_is_and_knows_is_told_without_a_secret() -> None:
    first, again = run("orthanc_info", "phi"), run("orthanc_info", "phi", check=True)

    assert not first["changed"]
    assert first["nodes"] == again["nodes"]
    assert {node["name"] for node in first["nodes"]} == {"scanner", "pacs"}
    assert first["system"]["kind"] == "phi"
    assert first["accounts"]["metrics"] == ["measure"]
    told = str({name: value for name, value in first.items() if name != "invocation"})
    secrets = (deployed.secret("phi", name) for name in ("administrator", "service", "metrics"))
    assert not [secret for secret in secrets if secret in told]


def test_phi_answers_to_whom_it_knows_and_refuses_a_stranger() -> None:
    known = run("orthanc_echo", "phi", nodes=[], dicom_port=24242, calling_aet="SCANNER")
    stranger = run("orthanc_echo", "phi", nodes=[], dicom_port=24242, calling_aet="NOBODY")

    assert known["echoes"][0]["answered"]
    assert stranger["failed"]
    assert run("orthanc_echo", "phi", nodes=[], dicom_port=24242)["echoes"][0]["answered"]


def test_a_node_that_does_not_listen_is_named() -> None:
    answer = run("orthanc_echo", "phi", nodes=["scanner"])

    assert answer["failed"]
    assert "scanner (SCANNER, 127.0.0.1:11112)" in answer["msg"]


def test_a_study_is_withdrawn_once_as_check_mode_predicts() -> None:
    study, _ = planted_study("CT_small.dcm", 2)
    uid = str(study[0].StudyInstanceUID)
    deployed.send(study)
    new_uid = deployed.delivered(uid, 2)
    options: dict[str, Any] = {
        "study": uid,
        "state": "withdrawn",
        "note": "a test",
        "wait_timeout": 120,
    }

    predicted = run("orthanc_study", "phi", check=True, **options)
    assert predicted["changed"]
    assert deployed.orthanc_id("anon", new_uid)
    real = run("orthanc_study", "phi", **options, destinations=destinations())
    assert real["changed"], real
    assert real["study"]["state"] == "withdrawn"
    assert not run("orthanc_study", "phi", **options)["changed"]
    assert not run("orthanc_study", "phi", check=True, **options)["changed"]
    for kind in DESTINATIONS:
        assert deployed.orthanc_id(kind, new_uid) is None
    listed = run("orthanc_study_info", "phi", states=["withdrawn"])["studies"]
    assert new_uid in {one["anonymous_study_uid"] for one in listed}


def test_a_test_study_goes_through_the_site_and_leaves_nothing() -> None:
    before = {kind: run("orthanc_info", kind)["statistics"] for kind in deployed.PORTS}

    answer = run("orthanc_roundtrip", "phi", destinations=destinations(), timeout=180)

    assert not answer.get("failed"), answer["msg"]
    assert answer["removed"]
    assert answer["destinations"] == {"anon": 3, "disk": 3}
    assert set(answer["seconds"]) == {"send", "deliver", "check anon", "check disk", "remove"}
    assert answer["planted"] > 15
    for kind, held in before.items():
        assert run("orthanc_info", kind)["statistics"]["studies"] == held["studies"], kind
    subjects = deployed.docker(
        "exec",
        "e2e-phi-worker-1",
        "python3",
        "-m",
        "orthanc_deid",
        "subjects",
        "list",
        "--project",
        "default",
        "999999999",
    )
    assert "999999999" in subjects
    assert not run("orthanc_roundtrip", "phi", check=True)["changed"]
