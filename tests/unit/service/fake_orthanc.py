# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc in memory, with the faults that tests need; and a transparent "engine".

A file is the text `patient|study|series|sop|text`, so that a test can read what it sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from orthanc_deid.destination_config import Server
from orthanc_deid.errors import Dropped, Quarantine
from orthanc_deid.orthanc_client import OrthancClient
from orthanc_deid.pixel_rules import PixelRule
from orthanc_deid.report import Record
from orthanc_deid.study_deidentification import Deidentification
from orthanc_deid.subject import Subject
from orthanc_deid.text_known import Known


def file(patient: str, study: str, sop: str, text: str = "") -> bytes:
    """One file of a patient."""
    return f"{patient}|{study}|series|{sop}|{text}".encode()


@dataclass
class FakeOrthanc:
    """Answers the requests of `OrthancClient`."""

    name: str = "orthanc"
    instances: dict[str, bytes] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    status: str = "Success"
    stable: bool = True
    down: bool = False
    loses: bool = False
    disk_room: int = 10**6
    unwritten: int = 0
    sender: str = ""
    log: list[str] = field(default_factory=list)
    description: str = ""
    find_limit: int | None = None
    keeps: bool = False
    left: list[str] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda _method, _path: None

    def client(self, name: str = "") -> OrthancClient:
        """A connection to this Orthanc."""
        server = Server("https://fake", "service", Path("/none"), "secret")
        return OrthancClient(name or self.name, server, httpx.MockTransport(self.answer))

    def store(self, *files: bytes) -> None:
        """Receive files, as from a scanner."""
        for data in files:
            patient, study, _, sop, _ = data.decode().split("|")
            self.instances[f"i-{patient}-{study}-{sop}"] = data
            self.log.append(f"i-{patient}-{study}-{sop}")
            key = f"s-{patient}-{study}"
            self.updates[key] = self.updates.get(key, 0) + 1

    def delete(self, study: str) -> None:
        """Delete a study."""
        del self.updates[study]
        self.instances = {k: v for k, v in self.instances.items() if self._of(v) != study}

    def texts(self) -> list[str]:
        """What the files hold."""
        return sorted(data.decode() for data in self.instances.values())

    @staticmethod
    def _of(data: bytes) -> str:
        patient, study, *_ = data.decode().split("|")
        return f"s-{patient}-{study}"

    def _study(self, key: str) -> dict[str, Any]:
        return {
            "ID": key,
            "IsStable": self.stable,
            "LastUpdate": str(self.updates[key]),
            "MainDicomTags": {
                "StudyInstanceUID": key.split("-")[2],
                "StudyDate": "20260131",
                "StudyDescription": self.description,
            },
            "PatientMainDicomTags": {"PatientName": f"Name^{key.split('-')[1]}"},
        }

    def _changes(self, parameters: httpx.QueryParams) -> dict[str, Any]:
        """What came since a change, in pages of two."""
        since = len(self.log) if "last" in parameters else int(parameters["since"])
        page = [
            {"Seq": number, "ChangeType": "NewInstance", "ID": instance}
            for number, instance in enumerate(self.log[since : since + 2], since + 1)
        ]
        end = since + len(page)
        return {"Changes": page, "Last": end, "Done": end == len(self.log)}

    def answer(self, request: httpx.Request) -> httpx.Response:  # noqa: C901, PLR0911, PLR0912 - a case per route
        """Answer one request."""
        method, path = request.method, request.url.path
        self.requests.append(f"{method} {path}")
        self.before(method, path)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        parts = path.strip("/").split("/")
        match method, *parts:
            case "GET", "changes":
                return _json(self._changes(request.url.params))
            case "GET", "instances", key, "study" if key in self.instances:
                return _json(self._study(self._of(self.instances[key])))
            case "GET", "studies":
                since = int(request.url.params["since"])
                return _json([self._study(key) for key in list(self.updates)[since : since + 2]])
            case "POST", "tools", "lookup":
                uid = request.content.decode()
                found = [key for key in self.updates if key.split("-")[2] == uid]
                return _json([{"Type": "Study", "ID": key} for key in found])
            case "POST", "tools", "find":
                uid = json.loads(request.content)["Query"]["StudyInstanceUID"]
                told = [
                    {
                        "ID": i,
                        "RequestedTags": {"SOPInstanceUID": d.decode().split("|")[3]},
                        "Attachments": [{"ContentType": 1, "UncompressedSize": len(d)}],
                    }
                    for i, d in self.instances.items()
                    if d.decode().split("|")[1] == uid
                ]
                return _json(told[: self.find_limit])
            case "POST", "instances":
                if self.status in {"Success", "AlreadyStored"} and not self.loses:
                    self.store(request.content)
                return _json({"Status": self.status})
            case "POST", "disk", "studies", key, "write":
                count = sum(self._of(data) == key for data in self.instances.values())
                present = min(count, self.disk_room)
                return _json({"instances": count + self.unwritten, "present": present})
            case "POST", "disk", "studies", key, "remove" if key in self.updates:
                self.delete(key)
                return _json({"removed": 1, "left": self.left})
            case ("DELETE", "studies", key) | ("DELETE", "deid", "v1", "copies", key) if (
                key in self.updates
            ):
                if not self.keeps:
                    self.delete(key)
                return _json({})
            case "GET", "instances", key, "file" if key in self.instances:
                return httpx.Response(200, content=self.instances[key])
            case "GET", "studies", key if key in self.updates:
                return _json(self._study(key))
            case "GET", "studies", key, "series" if key in self.updates:
                instances = [i for i, data in self.instances.items() if self._of(data) == key]
                return _json([{"Instances": instances, "MainDicomTags": {"Modality": "MR"}}])
            case "GET", "instances", key, "metadata" if key in self.instances:
                return _json({"RemoteAET": self.sender} if self.sender else {})
            case "GET", "studies", key, "instances" if (
                key in self.updates and request.url.params.get("expand") == "false"
            ):
                return _json([i for i, d in self.instances.items() if self._of(d) == key])
            case "GET", "studies", key, "instances" if key in self.updates:
                return _json(
                    [
                        {"ID": i, "MainDicomTags": {"SOPInstanceUID": d.decode().split("|")[3]}}
                        for i, d in self.instances.items()
                        if self._of(d) == key
                    ]
                )
        return httpx.Response(404)


def _json(content: Any) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(content))


@dataclass
class FakeEngine:
    """Replaces the names in a file, and nothing else; another profile writes its name."""

    profile: str | None = None
    root: str = "anon"
    drawn: tuple[PixelRule, ...] = ()

    def with_drawn(self, drawn: tuple[PixelRule, ...]) -> FakeEngine:
        """The engine that knows what persons drew."""
        return replace(self, drawn=drawn)

    def map_uid(self, old: str) -> str:
        """The new UID."""
        return f"{self.root}.{old}" if self.root else old

    def deidentify(
        self,
        data: bytes,
        subject: Subject,
        identifiers: frozenset[str],
        _known: Known,
        accepted: frozenset[str],
    ) -> Any:
        """The anonymized file."""
        _, study, series, sop, text = data.decode().split("|")
        if text == "bug":
            raise KeyError("the value MRN-1")
        if text == "burned-in" and not self.drawn and "burned-in" not in accepted:
            raise Quarantine("burned-in", "look at it", {"burned-in"})
        if text == "letter":
            raise Dropped("document", "it is a letter")
        for identifier in identifiers:
            text = text.replace(identifier, "")
        text += self.profile or ""
        new = f"{subject.patient_id}|{self.map_uid(study)}|{series}|{self.map_uid(sop)}|{text}"
        return SimpleNamespace(
            sop_instance_uid=self.map_uid(sop),
            data=new.encode(),
            record=Record("fake", self.profile or "digest", ()),
        )


def read_identity(data: bytes) -> Any:
    """What a file says of its patient."""
    patient, study, _, _, text = data.decode().split("|")
    if text == "truncated":
        raise Quarantine("unreadable", "it is not whole; send it again")
    return SimpleNamespace(
        patient_name=f"Name^{patient}",
        study_date="20260131",
        patient_id=patient,
        issuer=text.removeprefix("issuer ") if text.startswith("issuer ") else "",
        accession_number=text.removeprefix("accession ") if text.startswith("accession ") else "",
        study_instance_uid=study,
        deidentified=text == "deidentified",
        known=Known(),
        identifiers=frozenset({patient, text.removeprefix("alias ")})
        if text.startswith("alias ")
        else frozenset({patient}),
    )


def fake_deidentification(profile: str | None = None, root: str = "anon") -> Deidentification:
    """The parts of the engine, faked."""
    return Deidentification(FakeEngine(profile, root), read_identity)  # type: ignore[arg-type]
