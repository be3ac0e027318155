# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _holding(orthanc: Any) -> None:
    orthanc.answers["/system"] = {
        "Name": "orthanc-anon",
        "Version": "1.12.7",
        "DicomAet": "ANON",
        "DicomPort": 4242,
        "DatabaseBackendPlugin": "postgresql",
    }
    orthanc.answers["/statistics"] = {
        "CountPatients": 1,
        "CountStudies": 2,
        "CountSeries": 3,
        "CountInstances": 40,
        "TotalDiskSize": "123456789012",
    }
    orthanc.answers["/modalities?expand"] = {
        "pacs": {
            "AET": "PACS",
            "Host": "192.0.2.1",
            "Port": 104,
            "AllowEcho": True,
            "AllowStore": True,
            "AllowFind": False,
        }
    }


def test_it_tells_what_an_orthanc_is_holds_and_knows(
    run_module: Run, connection: dict[str, Any]
) -> None:
    answer = run_module("orthanc_info", connection)

    assert not answer["changed"]
    assert answer["system"]["kind"] == "anon"
    assert answer["system"]["database"] == "postgresql"
    assert answer["statistics"]["studies"] == 2
    assert answer["statistics"]["bytes"] == 123456789012
    assert answer["plugins"] == {"python": "5.0", "postgresql-index": "7.0"}
    (node,) = answer["nodes"]
    assert node == {
        "name": "pacs", "aet": "PACS", "host": "192.0.2.1", "port": 104, "allow": ["echo", "store"],
    }  # fmt: skip
    assert answer["accounts"] == {"viewer": ["look"]}
    assert connection["password"] not in json.dumps({**answer, "invocation": None})


def test_an_orthanc_without_a_script_of_this_collection_is_told_all_the_same(
    run_module: Run, connection: dict[str, Any], orthanc: Any
) -> None:
    orthanc.answers["/deployment"] = 404

    answer = run_module("orthanc_info", connection)

    assert answer["system"]["kind"] == ""
    assert answer["accounts"] == {}


def test_check_mode_reads_as_well(run_module: Run, connection: dict[str, Any]) -> None:
    assert run_module("orthanc_info", connection, check=True) == run_module(
        "orthanc_info", connection
    )


def test_a_route_that_hangs_does_not_hang_the_module(
    run_module: Run, connection: dict[str, Any], orthanc: Any
) -> None:
    orthanc.answers["/statistics"] = "hang"

    answer = run_module("orthanc_info", connection)

    assert answer["failed"]
    assert "GET /statistics got no answer within 1 s" in answer["msg"]


def test_a_wrong_password_is_told_as_such(run_module: Run, connection: dict[str, Any]) -> None:
    answer = run_module("orthanc_info", {**connection, "password": "N0tTheRightPassword"})

    assert "HTTP 401" in answer["msg"]
    assert "password is not the one in orthanc.json" in answer["msg"]


def test_the_password_may_lie_in_a_file_on_the_host(
    run_module: Run, connection: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "service"
    file.write_text(connection["password"] + "\n")
    there = {name: value for name, value in connection.items() if name != "password"}

    assert "system" in run_module("orthanc_info", {**there, "password_file": str(file)})
    answer = run_module("orthanc_info", {**there, "password_file": str(tmp_path / "none")})
    assert f"cannot be read from {tmp_path / 'none'}: No such file" in answer["msg"]
    both = run_module("orthanc_info", {**connection, "password_file": str(file)})
    assert "mutually exclusive" in both["msg"]
    assert "password, password_file" in run_module("orthanc_info", there)["msg"]
