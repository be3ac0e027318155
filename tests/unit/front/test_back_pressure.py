# SPDX-License-Identifier: GPL-3.0-or-later
"""A PHI Orthanc whose disk is nearly full refuses what is new, and goes on when there is room."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from back_pressure import BackPressure
from orthanc_deid import disk_room
from orthanc_deid.disk_room import DiskRoom


class Disk:
    """A file system of 1000 blocks, of which 50 are root's."""

    def __init__(self, used: int) -> None:
        self.used = used
        self.broken = False

    def statvfs(self, _path: object) -> Any:
        if self.broken:
            raise OSError
        free = 1000 - self.used
        return SimpleNamespace(
            f_blocks=1000, f_bfree=free, f_bavail=max(free - 50, 0), f_frsize=1 << 20
        )


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(100)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    monkeypatch.setattr(disk_room, "LOOK_EVERY", 0.0)
    return made


class Output:
    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.headers: dict[str, str] = {}

    def SetHttpHeader(self, name: str, value: str) -> None:  # noqa: N802 - Orthanc\'s name
        self.headers[name] = value

    def SendHttpStatus(self, status: int, body: bytes) -> None:  # noqa: N802 - Orthanc\'s name
        self.status, self.body = status, body

    def AnswerBuffer(self, body: bytes, _type: str) -> None:  # noqa: N802 - Orthanc\'s name
        self.body = body

    def SendMethodNotAllowed(self, _allowed: str) -> None:  # noqa: N802 - Orthanc\'s name
        self.status = 405


class OrthancError(Exception):
    pass


class FakeOrthanc:
    OrthancException = OrthancError
    ErrorCode = SimpleNamespace(
        BAD_REQUEST=8, BAD_FILE_FORMAT=15, FULL_STORAGE=2033, DATABASE_UNAVAILABLE=2045
    )

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.log: list[str] = []
        self.fails: int | None = None

    def LogWarning(self, text: str) -> None:  # noqa: N802 - Orthanc\'s name
        self.log.append(text)

    def RestApiGet(self, uri: str) -> bytes:  # noqa: N802 - Orthanc\'s name
        self.asked.append(f"GET {uri}")
        return b"[]"

    def RestApiPost(self, uri: str, body: bytes) -> bytes:  # noqa: N802 - Orthanc\'s name
        if self.fails is not None:
            raise OrthancError(self.fails)
        self.asked.append(f"POST {uri} {len(body)}")
        return b'{"Status": "Success"}'


def upload(pressure: BackPressure, method: str = "POST", **request: Any) -> Output:
    output = Output()
    pressure.instances(output, "/instances", method=method, **request)
    return output


def test_new_instances_are_refused_while_the_disk_is_nearly_full_and_no_longer(disk: Disk) -> None:
    orthanc = FakeOrthanc()
    pressure = BackPressure(orthanc, DiskRoom(90, 0))
    assert pressure.c_store(None) == 0
    assert upload(pressure, body=b"DICM").body == b'{"Status": "Success"}'
    disk.used = 870  # of 950 that are not root's
    assert pressure.c_store(None) == 0xA700
    refused = upload(pressure, body=b"DICM")
    assert (refused.status, refused.headers["Retry-After"]) == (507, "60")
    assert "send again when there is room" in json.loads(refused.body)["error"]
    assert pressure.held("POST", "/dicom-web/studies") == "the disk is nearly full"
    assert pressure.held("GET", "/dicom-web/studies") == ""
    disk.used = 850
    assert pressure.c_store(None) == 0
    assert orthanc.asked == ["POST /instances 4"]
    assert [line.rpartition(": ")[2] for line in orthanc.log] == [
        "new instances are refused from now on",
        "new instances are taken again",
    ]


def test_a_reserve_of_bytes_counts_too(disk: Disk) -> None:
    room = DiskRoom(100, 200 << 20)
    assert not room.look().refusing
    disk.used = 751  # 249 free, of which 50 are root's
    assert room.look() == (79.1, 199 << 20, True)


def test_without_a_limit_nothing_is_refused(disk: Disk) -> None:
    disk.used = 1000
    assert not DiskRoom(100, 0).look().refusing


def test_a_disk_that_cannot_be_looked_at_is_taken_for_full(disk: Disk) -> None:
    disk.broken = True
    assert BackPressure(FakeOrthanc(), DiskRoom(90, 0)).c_store(None) == 0xA700


def test_what_is_no_upload_is_answered_as_ever(disk: Disk) -> None:
    orthanc = FakeOrthanc()
    pressure = BackPressure(orthanc, DiskRoom(90, 0))
    disk.used = 900
    assert upload(pressure, "GET", get={"limit": "5"}).body == b"[]"
    assert upload(pressure, "DELETE").status == 405
    assert orthanc.asked == ["GET /instances?limit=5"]


@pytest.mark.parametrize(
    ("code", "status"), [(8, 400), (15, 400), (2033, 507), (2045, 503), (1, 500)]
)
def test_an_upload_that_orthanc_refuses_has_orthancs_status(
    disk: Disk, code: int, status: int
) -> None:
    orthanc = FakeOrthanc()
    orthanc.fails = code
    assert upload(BackPressure(orthanc, DiskRoom(90, 0)), body=b"x").status == status
    assert disk.used == 100


def test_the_limits_come_from_the_settings_of_the_service(disk: Disk, tmp_path: Path) -> None:
    settings = tmp_path / "config.json"
    settings.write_text('{"disk_limit": {"percent": 10, "reserve": 0}}')
    assert DiskRoom.of(settings).look().refusing
    settings.write_text("{}")
    assert not DiskRoom.of(settings).look().refusing
    assert disk.used == 100
