# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about DICOM nodes, and about what is fetched from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.fetcher import Fetcher
from orthanc_deid.fetches import OPEN, Fetch, Item
from orthanc_deid.held_studies import HeldStudies
from orthanc_deid.orthanc_client import OrthancError, RefusedError
from orthanc_deid.pacs import MOST, FoundStudy

MOST_ITEMS: Final = 2000
_UID: Final = re.compile(r"[0-9.]{1,64}")
_DATE: Final = re.compile(r"[0-9]{8}")
_QUERY: Final = (
    "patient",
    "patient_name",
    "accession",
    "date_from",
    "date_to",
    "description",
    "modality",
)
_STUDY: Final = (
    "patient_name",
    "patient_id",
    "accession",
    "study_date",
    "description",
    "modalities",
)


class FetchRoutes:
    """The answers about nodes and fetches."""

    def __init__(self, fetcher: Fetcher, held: HeldStudies) -> None:
        self._pacs = fetcher.pacs
        self._fetches = fetcher.fetches
        self._wake = fetcher.wake
        self._held = held

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/nodes", self.nodes),
            Route("POST", "/nodes/{name}/query", self.query),
            Route("GET", "/fetches", self.recent),
            Route("POST", "/fetches", self.start),
            Route("GET", "/fetches/{number}", self.show),
            Route("POST", "/fetches/{number}/retry", self.retry),
            Route("POST", "/fetches/{number}/stop", self.stop),
        ]

    def nodes(self, _request: Request) -> Answer:
        """Return the nodes that may be asked."""
        return 200, {"nodes": [asdict(node) for node in self._pacs.nodes.values()]}

    def query(self, request: Request, name: str) -> Answer:
        """Ask a node which studies it has."""
        self._demand_node(name)
        query = read_query(request.content())
        try:
            found = self._pacs.find(name, query)
        except RefusedError as error:
            raise ApiError(409, f"{name} did not answer the query: {error}") from None
        except OrthancError as error:
            raise ApiError(503, f"{name} did not answer the query: {error}") from None
        held = self._held.held_of(study.study_instance_uid for study in found)
        return 200, {
            "studies": [
                {
                    **_told(study),
                    "instances": study.expected,
                    "held": study.study_instance_uid in held,
                }
                for study in found[:MOST]
            ],
            "more": len(found) > MOST,
        }

    def start(self, request: Request) -> Answer:
        """Fetch studies that were found, and look for accessions and fetch what they are."""
        content = request.content()
        node = content.get("node")
        if not isinstance(node, str):
            raise ApiError(400, "node must be the name of a node")
        self._demand_node(node)
        studies = [_read_study(item) for item in _list(content, "studies", dict)]
        accessions = [_read_accession(item) for item in _list(content, "accessions", str)]
        accessions = list(dict.fromkeys(accessions))
        if not studies and not accessions:
            raise ApiError(400, "name at least one study or accession")
        if len(studies) + len(accessions) > MOST_ITEMS:
            raise ApiError(400, f"that is too much at once; fetch at most {MOST_ITEMS} studies")
        fetch = self._fetches.add(node, studies, accessions, actor=request.user)
        self._wake()
        return 202, self._describe(fetch)

    def recent(self, _request: Request) -> Answer:
        """Return the newest fetches."""
        return 200, {"fetches": [_describe(fetch) for fetch in self._fetches.recent()]}

    def show(self, _request: Request, number: str) -> Answer:
        """Return a fetch with its items."""
        return 200, self._describe(int(number))

    def retry(self, request: Request, number: str) -> Answer:
        """Try once more what did not come."""
        self._describe(int(number))
        self._fetches.again(int(number), actor=request.user)
        self._wake()
        return 202, self._describe(int(number))

    def stop(self, request: Request, number: str) -> Answer:
        """Do nothing more for a fetch; what is on its way still arrives."""
        self._describe(int(number))
        self._fetches.stop(int(number), actor=request.user)
        return 202, self._describe(int(number))

    def _demand_node(self, name: str) -> None:
        if name not in self._pacs.nodes:
            known = ", ".join(self._pacs.nodes) or "none is set"
            raise ApiError(404, f"no such node may be asked; orthanc_phi_pacs names them: {known}")

    def _describe(self, number: int) -> dict[str, Any]:
        items = self._fetches.items(number)
        if not items:
            raise ApiError(404, "there is no such fetch")
        return {
            "id": number,
            "node": items[0].node,
            "finished": not any(item.state in OPEN for item in items),
            "items": [_item(item) for item in items],
        }


def read_query(content: Mapping[str, Any]) -> dict[str, str]:
    """Return a query by DICOM's keywords.

    Raises:
        ApiError: it asks for everything, or for what no query can hold.
    """
    told = {name: content.get(name, "") for name in _QUERY}
    for name, value in told.items():
        if not isinstance(value, str) or not _is_plain(value, without="\\"):
            raise ApiError(400, f"{name} must be at most 64 characters, without backslash")
    told = {name: value.strip() for name, value in told.items()}
    for name in ("date_from", "date_to"):
        if told[name] and not _DATE.fullmatch(told[name]):
            raise ApiError(400, f"{name} must be a date such as 20260114")
    if not any(value.strip("*? ") for name, value in told.items() if name != "modality"):
        raise ApiError(400, "say at least a patient, an accession, a date or a description")
    query = {
        "PatientID": told["patient"],
        "PatientName": _anywhere(told["patient_name"]),
        "AccessionNumber": told["accession"],
        "StudyDescription": _anywhere(told["description"]),
        "ModalitiesInStudy": told["modality"].upper(),
    }
    if told["date_from"] or told["date_to"]:
        query["StudyDate"] = f"{told['date_from']}-{told['date_to']}"
    return query


def _is_plain(text: str, without: str) -> bool:
    return len(text) <= 64 and text.isprintable() and not set(text) & set(without)


def _anywhere(text: str) -> str:
    return f"*{text.strip('*')}*" if text else ""


def _list(content: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    items = content.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
        raise ApiError(400, f"{name} must be a list")
    return items


def _read_study(item: Mapping[str, Any]) -> FoundStudy:
    uid, expected = item.get("study_instance_uid"), item.get("instances")
    if not isinstance(uid, str) or not _UID.fullmatch(uid):
        raise ApiError(400, "each study must have its study_instance_uid")
    if expected is not None and (type(expected) is not int or not 0 <= expected < 2**31):
        raise ApiError(400, "instances must be a whole number or null")
    texts = {}
    for name in _STUDY:
        value = item.get(name, "")
        if name == "modalities" and isinstance(value, list):
            value = " ".join(map(str, value))
        if not isinstance(value, str) or len(value) > 1000 or "\0" in value:
            raise ApiError(400, f"{name} must be a text")
        texts[name] = value
    return FoundStudy(study_instance_uid=uid, expected=expected, **texts)


def _read_accession(text: str) -> str:
    accession = text.strip()
    if not accession or not _is_plain(accession, without="*?\\"):
        raise ApiError(400, "each accession must be 1 to 64 characters without *, ? and backslash")
    return accession


def _told(study: FoundStudy | Item) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        **{name: getattr(study, name) for name in _STUDY},
        "modalities": study.modalities.split(),
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        **_told(item),
        "id": item.id,
        "state": item.state,
        "error": item.error,
        "instances": item.expected,
        "received": item.received,
        "attempts": item.attempts,
        "updated_at": item.updated_at.isoformat(),
    }


def _describe(fetch: Fetch) -> dict[str, Any]:
    return {**asdict(fetch), "created_at": fetch.created_at.isoformat()}
