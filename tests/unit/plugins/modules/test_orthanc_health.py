# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt


@pytest.fixture
def ask(
    run_module: Callable[..., dict[str, Any]], connection: dict[str, Any]
) -> Callable[..., dict[str, Any]]:
    def run(**changed: Any) -> dict[str, Any]:
        arguments = {
            "aet": "ANON",
            "plugins": ["python", "postgresql-index"],
            # The stub's certificate is valid for a day.
            "certificate_days": 0,
            "timeout": 0,
        }
        return run_module("orthanc_health", {**connection, **arguments, **changed})

    return run


Ask = Callable[..., dict[str, Any]]


def only_finding(answer: dict[str, Any]) -> dict[str, str]:
    assert answer["failed"]
    (finding,) = answer["findings"]
    assert finding["cause"] in answer["msg"]
    assert finding["remedy"] in answer["msg"]
    found: dict[str, str] = finding
    return found


def test_a_healthy_orthanc_is_healthy_and_says_what_it_is(ask: Ask) -> None:
    answer = ask()

    assert answer["state"] == "healthy"
    assert answer["findings"] == []
    assert answer["version"] == "1.12.7"
    assert answer["plugins"] == {"python": "5.0", "postgresql-index": "7.0"}
    assert not answer["changed"]


def test_an_orthanc_that_is_starting_is_waited_for(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/changes?last"] = [503, 200]

    answer = ask(timeout=30)

    assert answer["state"] == "healthy"
    assert answer["waited"] >= 1


def test_a_wrong_password_is_told_as_such_and_never_shown(ask: Ask) -> None:
    answer = ask(password="N0tTheRightPassword")

    finding = only_finding(answer)
    assert answer["state"] == "unhealthy"
    assert "HTTP 401" in finding["cause"]
    assert "password" in finding["remedy"]
    assert "N0tTheRightPassword" not in json.dumps(answer)


def test_a_database_that_hangs_is_found_behind_a_system_route_that_answers(
    ask: Ask, orthanc: Any
) -> None:
    orthanc.answers["/changes?last"] = "hang"

    answer = ask()

    finding = only_finding(answer)
    assert answer["state"] == "unhealthy"
    assert finding["check"] == "database"
    assert "no answer within 1 s" in finding["cause"]
    assert "PostgreSQL hangs" in finding["remedy"]


def test_an_orthanc_that_hangs_altogether_does_not_hang_the_module(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/system"] = "hang"

    answer = ask()

    assert answer["state"] == "unhealthy"
    assert "no answer within 1 s" in only_finding(answer)["cause"]


def test_a_database_that_is_away_is_told_as_such(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/changes?last"] = 503

    finding = only_finding(ask())

    assert finding["check"] == "database"
    assert "HTTP 503" in finding["cause"]
    assert "PostgreSQL is away" in finding["remedy"]


def test_each_plugin_that_is_missing_is_named(ask: Ask) -> None:
    answer = ask(plugins=["python", "dicom-web", "gdcm"])

    assert [finding["cause"] for finding in answer["findings"]] == [
        "The plugin dicom-web is not loaded.",
        "The plugin gdcm is not loaded.",
    ]
    assert answer["failed"]


def test_another_orthanc_at_the_address_is_noticed_by_its_title(ask: Ask) -> None:
    finding = only_finding(ask(aet="DISK"))

    assert finding["check"] == "aet"
    assert "ANON, not DISK" in finding["cause"]


def test_everything_that_is_wrong_is_told_at_once(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/changes?last"] = 500

    answer = ask(aet="DISK", plugins=["gdcm"])

    assert [finding["check"] for finding in answer["findings"]] == ["database", "plugins", "aet"]


def test_nothing_at_the_address_is_unreachable(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = ask(url=f"https://127.0.0.1:{free.getsockname()[1]}")

    assert answer["state"] == "unreachable"
    assert "cannot be reached" in only_finding(answer)["cause"]


def test_a_port_that_takes_connections_and_says_nothing_does_not_hang_the_module(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = ask(url=f"https://127.0.0.1:{silent.getsockname()[1]}")

    assert answer["state"] in {"unhealthy", "unreachable"}
    assert "no answer within 1 s" in only_finding(answer)["cause"]


def test_a_certificate_of_another_authority_is_not_trusted(ask: Ask) -> None:
    answer = ask(ca_path="/etc/ssl/certs/ca-certificates.crt")

    assert answer["state"] == "unreachable"
    assert "certificate verify failed" in only_finding(answer)["cause"].lower()


def test_something_else_that_answers_is_no_orthanc(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/system"] = b"<html>Welcome</html>"

    answer = ask()

    assert answer["state"] == "unhealthy"
    assert "other than JSON" in only_finding(answer)["cause"]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"success": "2020-01-31T12:17:00+00:00", "error": ""}, "hours old; 3 are allowed"),
        ({"success": "", "error": ""}, "No backup has succeeded yet"),
        (
            {"success": "2999-01-31T12:17:00+00:00", "error": "orthanc-phi-db is not running."},
            "The last backup failed: orthanc-phi-db is not running.",
        ),
        ("not what the program writes", "cannot be read"),
        (None, "is not there"),
    ],
)
def test_a_backup_that_failed_or_is_overdue_is_a_warning(
    ask: Ask, tmp_path: Path, state: object, told: str
) -> None:
    if state is not None:
        (tmp_path / "state.json").write_text(json.dumps(state))

    answer = ask(backup_state=str(tmp_path / "state.json"))

    (finding,) = answer["findings"]
    assert answer["state"] == "healthy"
    assert (finding["check"], finding["severity"]) == ("backup", "warning")
    assert told in finding["cause"]


def test_a_backup_as_it_should_be_is_no_finding(ask: Ask, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    (tmp_path / "state.json").write_text(json.dumps({"success": now, "error": ""}))

    assert ask(backup_state=str(tmp_path / "state.json"))["findings"] == []


@pytest.fixture
def dicom_server() -> Iterator[int]:
    """A DICOM server that knows one caller."""
    server = AE(ae_title="ANON")
    server.add_supported_context("1.2.840.10008.1.1")
    server.require_called_aet = True
    server.require_calling_aet = ["KNOWN"]
    running = server.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda _event: 0x0000)]
    )
    yield running.socket.getsockname()[1]
    running.shutdown()


def test_a_certificate_that_ends_soon_is_a_warning_with_its_days(ask: Ask) -> None:
    answer = ask(certificate_days=21)

    (finding,) = answer["findings"]
    assert answer["state"] == "healthy"
    assert answer["certificate_days"] == 0
    assert (finding["check"], finding["severity"]) == ("certificate", "warning")


def test_the_script_is_told_by_kind_and_version(ask: Ask, orthanc: Any) -> None:
    answer = ask(kind="anon", script_version="1.0.0")

    assert answer["script"] == {"kind": "anon", "version": "1.0.0"}
    assert answer["state"] == "healthy"
    wrong = ask(kind="phi", script_version="2.0.0")
    assert [item["cause"] for item in wrong["findings"]] == [
        "The Orthanc runs the script of anon, not of phi.",
        "The script is of version 1.0.0, not 2.0.0.",
    ]
    orthanc.answers["/deployment"] = 404
    assert only_finding(ask(kind="anon"))["check"] == "script"


@pytest.mark.parametrize("calling_aet", ["KNOWN", "STRANGER"])
def test_a_dicom_port_that_answers_or_refuses_a_stranger_is_well(
    ask: Ask, dicom_server: int, calling_aet: str
) -> None:
    assert ask(dicom_port=dicom_server, calling_aet=calling_aet)["state"] == "healthy"


def test_a_dicom_port_of_another_title_is_an_error(
    ask: Ask, orthanc: Any, dicom_server: int
) -> None:
    orthanc.answers["/system"] = {"DicomAet": "OTHER"}

    finding = only_finding(ask(aet="OTHER", dicom_port=dicom_server, calling_aet="KNOWN"))

    assert finding["check"] == "dicom"
    assert "the called AE title is not its own" in finding["cause"]


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_else_on_the_dicom_port_is_an_error(ask: Ask, says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=_answer_once, args=(other, says))
        thread.start()
        finding = only_finding(ask(dicom_port=other.getsockname()[1]))
        thread.join()

    assert finding["check"] == "dicom"


def _answer_once(server: socket.socket, says: bytes) -> None:
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.recv(1024)
        connection.sendall(says)


def test_a_dicom_port_that_says_nothing_does_not_hang_the_module(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finding = only_finding(ask(dicom_port=silent.getsockname()[1]))

    assert "within 1 s" in finding["cause"]


def test_failed_jobs_are_a_warning(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/jobs?expand"] = [{"State": "Failure"}, {"State": "Success"}]

    answer = ask()

    (finding,) = answer["findings"]
    assert answer["state"] == "healthy"
    assert finding["cause"].startswith("1 of Orthanc's jobs")


def test_an_old_queue_and_a_quarantine_are_warnings(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/deid/v1/status"] = {
        "states": {"quarantined": 2},
        "queue_length": 3,
        "oldest_age_seconds": 7300,
    }

    answer = ask(queue_max_age=3600)

    assert answer["state"] == "healthy"
    assert answer["queue"]["queue_length"] == 3
    old, quarantine = answer["findings"]
    assert "the oldest for 2:01:40" in old["cause"]
    assert quarantine["check"] == "quarantine"
    assert ask(queue_max_age=7300)["findings"] == [quarantine]


def test_a_pipeline_that_does_not_tell_of_its_queue_is_an_error(ask: Ask) -> None:
    assert only_finding(ask(queue_max_age=3600))["check"] == "queue"


def test_a_tree_that_cannot_be_written_is_an_error(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["/deployment"] = {"kind": "disk", "version": "1.0.0"}
    orthanc.answers["/disk/status"] = {"problem": ""}
    assert ask(kind="disk")["state"] == "healthy"

    orthanc.answers["/disk/status"] = {"problem": "no space left"}

    assert "no space left" in only_finding(ask(kind="disk"))["cause"]


def test_a_full_file_system_is_told_before_and_when_it_is_full(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 5

    def statvfs(_path: str) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 100, 50, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    (finding,) = ask(directories=["/srv"])["findings"]
    assert finding["severity"] == "warning"
    assert "5.0 % of the space of /srv" in finding["cause"]
    free = 1
    assert only_finding(ask(directories=["/srv"]))["check"] == "disk"


def test_a_directory_that_is_away_is_an_error(ask: Ask, tmp_path: Path) -> None:
    assert "cannot be looked at" in only_finding(ask(directories=[str(tmp_path / "x")]))["cause"]


def test_an_orthanc_behind_a_port_that_closes_at_once_is_starting(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port:
        thread = threading.Thread(target=_answer_once, args=(port, b""))
        thread.start()
        answer = ask(url=f"https://127.0.0.1:{port.getsockname()[1]}")
        thread.join()

    assert answer["state"] == "starting"
    assert answer["failed"]


@pytest.mark.parametrize(
    ("container", "state", "told"),
    [
        ({"Status": "running", "Health": {"Status": "healthy"}}, "healthy", ""),
        ({"Status": "running", "Health": {"Status": "unhealthy"}}, "unhealthy", "unhealthy"),
        ({"Status": "paused"}, "unhealthy", "is paused"),
        ({"Status": "exited", "ExitCode": 255}, "unhealthy", "exit code 255"),
        ({"Status": "exited", "OOMKilled": True}, "unhealthy", "more memory"),
        ({"Status": "restarting", "ExitCode": 1}, "unhealthy", "again and again"),
        (None, "unhealthy", "There is no container one"),
    ],
)
def test_the_containers_around_it_are_judged(
    ask: Ask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    container: dict[str, Any] | None,
    state: str,
    told: str,
) -> None:
    _engine(tmp_path, monkeypatch, container)

    answer = ask(containers=["one"])

    assert answer["state"] == state
    assert told in str(answer["findings"])


def test_an_orthanc_whose_container_is_starting_is_starting(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _engine(tmp_path, monkeypatch, {"Status": "running", "Health": {"Status": "starting"}})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = ask(url=f"https://127.0.0.1:{free.getsockname()[1]}", containers=["one"])

    assert answer["state"] == "starting"


def _engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any] | None) -> None:
    """Put a docker command into the path that tells of one container."""
    found = [] if state is None else [{"Name": "/one", "State": state}]
    (tmp_path / "docker.json").write_text(json.dumps(found))
    command = tmp_path / "docker"
    ending = "" if state else "echo 'Error: No such container: one' >&2; exit 1"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/docker.json\n{ending}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def test_an_engine_that_fails_is_told_as_such(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert "Cannot connect to the Docker daemon" in only_finding(ask(containers=["one"]))["cause"]
