# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of verify.yml: what was seen, in plain words."""

from __future__ import annotations

from typing import Any

from ansible_collections.imaging.orthanc.plugins.filter.verify_rows import verify_rows
from ansible_collections.imaging.orthanc.plugins.filter.verify_table import verify_table

PAUSED = {"check": "database", "severity": "error", "cause": "No answer.", "remedy": "Unpause it."}
WAITING = {"check": "quarantine", "severity": "warning", "cause": "2 wait.", "remedy": "Look."}

CHECKED = ("http", "account", "certificate", "database", "queue", "quarantine", "backup")


def health(*findings: dict[str, str], checks: tuple[str, ...] = CHECKED) -> dict[str, Any]:
    return {
        "findings": list(findings),
        "checks": list(checks),
        "version": "1.12.7",
        "certificate_days": 300,
        "script": {"kind": "phi", "version": "1.0.0"},
    }


def states(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["what"]: row["state"] for row in rows}


def test_every_check_of_a_healthy_orthanc_is_a_line_that_is_well() -> None:
    rows = verify_rows(health(), "phi", "health")

    assert set(states(rows).values()) == {"well"}
    assert {row["what"]: row["seen"] for row in rows}["certificate"] == "300 days left"
    assert len(rows) == len(CHECKED)
    assert "tree can be written" not in states(rows)


def test_a_finding_takes_the_place_of_its_check() -> None:
    rows = verify_rows(health(PAUSED, WAITING), "phi", "health")

    assert states(rows)["database answers"] == "wrong"
    assert states(rows)["quarantine"] == "look"
    assert next(row for row in rows if row["state"] == "wrong")["remedy"] == "Unpause it."


def test_of_an_orthanc_that_does_not_answer_nothing_is_called_well() -> None:
    silent = {"check": "http", "severity": "error", "cause": "Cannot be reached.", "remedy": "Log."}

    assert states(verify_rows(health(silent, checks=("http",)), "phi", "health")) == {
        "answers over HTTPS": "wrong"
    }


def test_a_module_that_crashed_is_a_line_too() -> None:
    (row,) = verify_rows({"msg": "MODULE FAILURE"}, "phi", "health")

    assert (row["state"], row["seen"]) == ("wrong", "MODULE FAILURE")


def test_each_node_is_a_line() -> None:
    answered = {"node": "pacs", "answered": True, "seconds": 0.1, "cause": "", "remedy": ""}
    silent = {"node": "ct1", "answered": False, "seconds": 5, "cause": "ct1: no.", "remedy": "On?"}
    rows = verify_rows({"echoes": [answered, silent], "msg": "No answer"}, "phi", "echo")

    assert states(rows) == {"node pacs answers": "well", "node ct1 answers": "wrong"}
    (row,) = verify_rows({"echoes": [], "msg": "HTTP 401"}, "phi", "echo")
    assert (row["state"], row["seen"]) == ("wrong", "HTTP 401")
    assert verify_rows({"echoes": []}, "phi", "echo") == []


def test_the_round_trip_tells_its_times_or_what_went_wrong() -> None:
    (row,) = verify_rows({"seconds": {"send": 0.21, "deliver": 64}}, "phi", "round_trip")
    assert (row["state"], row["seen"]) == ("well", "send 0.2 s, deliver 64.0 s")
    (row,) = verify_rows({"msg": "It is in quarantine.", "seconds": {}}, "phi", "round_trip")
    assert (row["state"], row["seen"]) == ("wrong", "It is in quarantine.")


def test_a_port_that_can_be_reached_from_where_it_must_not_is_wrong() -> None:
    closed = {"item": "disk.example.org", "msg": "Timeout when waiting", "elapsed": 3}
    away = {"item": "x.example.org", "msg": "Failed to connect by ssh", "unreachable": True}
    told = {"results": [closed, {"item": "anon.example.org"}, away]}
    rows = verify_rows(told, "phi", "probes")

    assert [row["state"] for row in rows] == ["well", "wrong", "wrong"]
    assert "could not be tried: Failed to connect" in rows[2]["seen"]
    assert verify_rows({"skipped": True}, "phi", "probes") == []


def test_rules_that_differ_are_told_by_the_first_difference() -> None:
    assert verify_rows({"rc": 0}, "firewall", "rules")[0]["state"] == "well"
    (row,) = verify_rows({"rc": 1, "stdout_lines": ["", "+-A INPUT"]}, "firewall", "rules")
    assert (row["state"], row["seen"]) == ("wrong", "+-A INPUT")


def test_a_worker_that_is_ill_or_missing_is_named() -> None:
    well = {"rc": 0, "stdout_lines": ["/phi-worker-1 is running and healthy"], "stderr_lines": []}
    assert states(verify_rows(well, "workers", "workers")) == {"workers run": "well"}
    ill = {"rc": 0, "stdout_lines": ["/phi-worker-1 is running and unhealthy"]}
    assert "worker-1 is running and unhealthy" in verify_rows(ill, "w", "workers")[0]["seen"]
    assert states(verify_rows(well, "relay", "relay")) == {"the mail relay runs": "well"}
    gone = {"rc": 1, "stdout_lines": [], "stderr_lines": ["No such container: phi-worker-1"]}
    assert "No such container" in verify_rows(gone, "workers", "workers")[0]["seen"]


def test_apaches_certificate_is_wrong_when_it_ends_soon_or_is_not_there() -> None:
    (row,) = verify_rows({"not_after": "29990101000000Z"}, "Apache", "front")
    assert row["state"] == "well"
    (row,) = verify_rows({"not_after": "20200101000000Z"}, "Apache", "front")
    assert row["state"] == "wrong"
    (row,) = verify_rows({"msg": "Connection refused"}, "Apache", "front")
    assert (row["state"], row["seen"]) == ("wrong", "Connection refused")


def test_the_table_tells_what_is_wrong_first_and_counts() -> None:
    rows = verify_rows(health(PAUSED, WAITING), "orthanc-phi on host", "health")

    lines = verify_table(rows)

    assert lines[0].split() == ["state", "where", "what", "what", "was", "seen"]
    assert lines[1].split("  ")[0] == "wrong"
    assert lines[2].strip() == "-> Unpause it."
    assert lines[3].startswith("look")
    assert lines[-1].endswith("1 to look at, 1 wrong.")
