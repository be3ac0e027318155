# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc in memory that holds real DICOM files: for the workers, and for the pages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread

from orthanc_deid.destination_config import Server
from orthanc_deid.lookup_search import orthanc_id
from orthanc_deid.orthanc_client import OrthancClient

JSON = "application/json"
Answer = tuple[int, str, bytes]


@dataclass
class DicomOrthanc:
    """Answers what `OrthancClient` and the pages ask."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, Dataset] = field(default_factory=dict)

    def client(self) -> OrthancClient:
        """A connection to this Orthanc."""
        server = Server("https://fake", "service", "/none", "secret")
        return OrthancClient(self.name, server, httpx.MockTransport(self._answer_httpx))

    def _answer_httpx(self, request: httpx.Request) -> httpx.Response:
        status, media_type, body = self.answer(request.method, request.url.path, request.content)
        return httpx.Response(status, headers={"Content-Type": media_type}, content=body)

    def store(self, dataset: Dataset) -> None:
        """Receive an instance."""
        written = BytesIO()
        dataset.save_as(written, enforce_file_format=True)
        self._take(written.getvalue())

    def _found(self, key: str) -> dict[str, Any]:
        """What a search tells of an instance."""
        return {
            "ID": key,
            "RequestedTags": {"SOPInstanceUID": str(self.told[key].SOPInstanceUID)},
            "Attachments": [{"ContentType": 1, "UncompressedSize": len(self.files[key])}],
        }

    def _take(self, data: bytes) -> None:
        dataset = dcmread(BytesIO(data))
        key = orthanc_id(str(dataset.PatientID), str(dataset.SOPInstanceUID))
        self.files[key], self.told[key] = data, dataset

    def studies(self) -> dict[str, list[str]]:
        """The instances of each study."""
        found: dict[str, list[str]] = {}
        for key, told in self.told.items():
            study = orthanc_id(str(told.PatientID), str(told.StudyInstanceUID))
            found.setdefault(study, []).append(key)
        return found

    def answer(self, method: str, path: str, body: bytes) -> Answer:  # noqa: C901, PLR0911, PLR0912
        """Answer one request."""
        studies = self.studies()
        match method, *path.strip("/").split("/"):
            case "GET", "changes":
                return _json({})
            case "GET", "studies", study if study in studies:
                return _json(self._study(study, studies[study]))
            case "GET", "studies", study, "instances" if study in studies:
                return _json([self._instance(key) for key in studies[study]])
            case "GET", "studies", study, "series" if study in studies:
                return _json([{"Instances": studies[study], "MainDicomTags": {}}])
            case "POST", "tools", "lookup":
                uid = body.decode()
                same = [
                    s for s, keys in studies.items() if self.told[keys[0]].StudyInstanceUID == uid
                ]
                return _json([{"Type": "Study", "ID": study} for study in same])
            case "POST", "tools", "find":
                asked = json.loads(body)
                keys = [k for k, t in self.told.items() if _matches(t, asked["Query"])]
                return _json([self._found(key) for key in keys] if asked.get("Expand") else keys)
            case "POST", "instances":
                self._take(body)
                return _json({"Status": "Success"})
            case "GET", "instances", key, "file" if key in self.files:
                return 200, "application/dicom", self.files[key]
            case "GET", "instances", key, "metadata" if key in self.files:
                return _json({})
            case "GET", "instances", key, "frames" if key in self.files:
                return _json(["0"])
            case "GET", "instances", key, "simplified-tags" if key in self.files:
                return _json({e.keyword: str(e.value) for e in self.told[key] if e.VR != "OB"})
            case "GET", "instances", key, "content", tag if key in self.files:
                return 200, "text/plain; charset=utf-8", self._content(key, tag)
            case "GET", "instances", key, *_, "rendered" if key in self.files:
                return 200, "image/png", _picture(self.told[key])
        return 404, JSON, b"{}"

    def _study(self, study: str, keys: list[str]) -> dict[str, Any]:
        told = self.told[keys[0]]
        return {
            "ID": study,
            "IsStable": True,
            "LastUpdate": str(len(keys)),
            "MainDicomTags": {"StudyInstanceUID": str(told.StudyInstanceUID)},
            "PatientMainDicomTags": {"PatientID": str(told.PatientID)},
        }

    def _instance(self, key: str) -> dict[str, Any]:
        names = ("SOPInstanceUID", "InstanceNumber")
        return {
            "ID": key,
            "MainDicomTags": {name: str(self.told[key][name].value) for name in names},
        }

    def _content(self, key: str, tag: str) -> bytes:
        element = self.told[key].get(int(tag.replace("-", ""), 16))
        return str(element.value).encode() if element else b""


def server_of(path: Path) -> Server:
    """A server that nobody asks."""
    return Server("https://localhost:9", "", str(path), "")


def _json(content: Any) -> Answer:
    return 200, JSON, json.dumps(content).encode()


def _matches(told: Dataset, query: dict[str, str]) -> bool:
    return all(str(told.get(name, "")) == value for name, value in query.items())


def _picture(told: Dataset) -> bytes:
    picture = BytesIO()
    Image.fromarray(np.asarray(told.pixel_array, np.uint8)).save(picture, "PNG")
    return picture.getvalue()
