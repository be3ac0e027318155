# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries by STOW-RS: what each answer means. A real server stands in tests/e2e."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from orthanc_deid import destinations_dicomweb
from orthanc_deid.destination_config import DicomWeb
from orthanc_deid.destinations_dicomweb import DicomWebDestination
from orthanc_deid.orthanc_client import OrthancError, RefusedError, TransientError

from .conftest import Files

WEB = DicomWeb("https://web/dicom-web", "/none", token="T0ken")


@dataclass
class Server:
    """A DICOMweb server that misbehaves as it is told; it pages by three."""

    files: Files
    status: int = 200
    search_status: int = 200
    failing: dict[str, int] = field(default_factory=dict)
    untold: int = 0
    forgets: int = 0
    content: bytes | None = None
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[list[bytes]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def destination(self, **changes: Any) -> DicomWebDestination:
        return DicomWebDestination(
            "web", replace(WEB, **changes), httpx.MockTransport(self._answer)
        )

    def deliver(self, **changes: Any) -> None:
        self.destination(**changes).deliver(self.files.study, self.files.paths, lambda: None)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.method == "POST":
            return self._store(request)
        if self.search_status != 200:
            return httpx.Response(self.search_status)
        offset = int(request.url.params.get("offset", 0))
        page = [{"00080018": _values(uid)} for uid in self.held[offset : offset + 3]]
        return httpx.Response(200, content=json.dumps(page)) if page else httpx.Response(204)

    def _store(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        assert int(request.headers["Content-Length"]) == len(body)
        boundary = re.search("boundary=(.+)", request.headers["Content-Type"])
        assert boundary is not None
        _, *parts, end = body.split(f"--{boundary[1]}".encode())
        assert end == b"--\r\n"
        files = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
        self.bodies.append(files)
        sent = [uid for uid, path in self.files.paths.items() if path.read_bytes() in files]
        stored = [uid for uid in sent if uid not in self.failing]
        self.held += stored[self.forgets :]
        answer = {
            "00081199": {"vr": "SQ", "Value": [_item(uid) for uid in stored[self.untold :]]},
            "00081198": {"vr": "SQ", "Value": [_item(*one) for one in self.failing.items()]},
        }
        content = json.dumps(answer).encode() if self.content is None else self.content
        return httpx.Response(self.status, content=content)


def _values(value: object) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


def _item(uid: str, reason: int | None = None) -> dict[str, Any]:
    return {"00081155": _values(uid)} | ({"00081197": _values(reason)} if reason else {})


@pytest.fixture
def server(files: Files) -> Server:
    return Server(files)


def test_every_file_arrives_as_it_is_with_the_token(server: Server) -> None:
    server.deliver()
    assert sorted(data for body in server.bodies for data in body) == server.files.contents()
    assert {one.headers["Authorization"] for one in server.requests} == {"Bearer T0ken"}


def test_large_studies_go_in_several_requests(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations_dicomweb, "BATCH_FILES", 3)
    server.deliver()
    assert [len(body) for body in server.bodies] == [3, 1]


@pytest.mark.parametrize(
    ("reason", "error"),
    [(0xA700, TransientError), (0x0110, TransientError), (0x0122, RefusedError)],
)
def test_an_instance_that_was_not_stored_is_told_by_its_reason(
    server: Server, reason: int, error: type[OrthancError]
) -> None:
    server.status = 202
    server.failing = {next(iter(server.files.paths)): reason}
    with pytest.raises(error, match=f"did not store 1 instances: .*{reason:04X}"):
        server.deliver()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"untold": 1}, TransientError, "says nothing of 1 instances"),
        ({"forgets": 1}, TransientError, "to 4 instances, but 1 are not there"),
        ({"content": b"<xml/>"}, TransientError, "gives no account of what it stored"),
        ({"content": b"[]"}, TransientError, "gives no account of what it stored"),
        ({"status": 401}, TransientError, "HTTP 401; check its account or token"),
        ({"status": 503}, TransientError, "HTTP 503"),
        ({"status": 415}, RefusedError, "HTTP 415"),
    ],
)
def test_a_delivery_that_is_not_whole_is_told(
    server: Server, changes: dict[str, Any], error: type[OrthancError], words: str
) -> None:
    for name, value in changes.items():
        setattr(server, name, value)
    with pytest.raises(error, match=words):
        server.deliver()


@pytest.mark.parametrize("status", [404, 501])
def test_without_search_the_answer_counts_unless_a_query_is_demanded(
    server: Server, status: int
) -> None:
    server.search_status = status
    server.deliver()
    with pytest.raises(TransientError, match="does not answer QIDO-RS"):
        server.deliver(verify="query")


def test_the_answer_alone_counts_where_that_is_set(server: Server) -> None:
    server.forgets = 1
    server.deliver(verify="answer")
    assert {one.method for one in server.requests} == {"POST"}


def test_a_server_that_fails_is_not_ready(server: Server) -> None:
    server.destination().check()
    server.search_status = 500
    with pytest.raises(TransientError, match="HTTP 500"):
        server.destination().check()
