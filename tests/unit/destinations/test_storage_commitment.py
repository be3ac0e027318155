# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report of Storage Commitment means. Two real Orthancs do it in tests/e2e."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from orthanc_deid import orthanc_client, storage_commitment
from orthanc_deid.destination_config import Server
from orthanc_deid.orthanc_client import OrthancClient, TransientError
from orthanc_deid.storage_commitment import Reference, StorageCommitment

WANTED = [Reference("1.2.840.10008.5.1.4.1.1.2", uid) for uid in ("1.2.1", "1.2.2")]


class Phi:
    """A PHI Orthanc that tells its reports one after the other, the last one for ever."""

    def __init__(self, *reports: dict[str, Any], asks: int = 200) -> None:
        self.reports = list(reports)
        self.asks = asks
        self.asked: list[tuple[str, Any]] = []

    def demand(self) -> None:
        server = Server("https://phi", "service", "/none", "secret")
        client = OrthancClient("PHI", server, httpx.MockTransport(self._answer))
        StorageCommitment("archive", "arc 1", client).demand(WANTED, lambda: None)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.asked.append((request.url.raw_path.decode(), json.loads(request.content)))
            return httpx.Response(self.asks, json={"ID": "2.25.7"})
        assert request.url.path == "/storage-commitment/2.25.7"
        report = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
        return httpx.Response(200, json=report)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_commitment, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(storage_commitment, "REPORT_SECONDS", 0.2)
    monkeypatch.setattr(orthanc_client, "PAUSES", ())


def report(status: str, *stored: str) -> dict[str, Any]:
    return {"Status": status, "Success": [{"SOPInstanceUID": uid} for uid in stored]}


def test_a_node_that_commits_itself_to_everything_has_the_study() -> None:
    phi = Phi(report("Pending"), report("Pending"), report("Success", "1.2.1", "1.2.2"))
    phi.demand()
    ((path, asked),) = phi.asked
    assert path == "/modalities/arc%201/storage-commitment"
    assert [one["SOPInstanceUID"] for one in asked["DicomInstances"]] == ["1.2.1", "1.2.2"]


@pytest.mark.parametrize("status", ["Failure", "Success"])
def test_an_instance_without_a_commitment_is_not_there(status: str) -> None:
    with pytest.raises(TransientError, match="does not commit itself to 1 of 2 instances"):
        Phi(report(status, "1.2.2")).demand()


def test_a_report_that_never_comes_is_told() -> None:
    with pytest.raises(TransientError, match="has not reported on its Storage Commitment"):
        Phi(report("Pending")).demand()


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "knows no node arc 1; name it in"), (500, "could not be asked .* HTTP 500")],
)
def test_a_node_that_cannot_be_asked_is_told(status: int, words: str) -> None:
    with pytest.raises(TransientError, match=words):
        Phi(report("Pending"), asks=status).demand()
