# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service asks of an Orthanc over HTTPS, each request with its own time limit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from orthanc_deid.destination_config import Server
from orthanc_deid.errors import DeidError
from orthanc_deid.tls import client_context

# A connection that a restarted PostgreSQL has cut fails once with 503, so a few quick attempts
# save a job from starting again.
PAUSES = (0.2, 1.0, 3.0)  # seconds
PAGE = 500  # studies per request
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# The collection's Orthancs keep a connection for 5 s. What another one has closed before is seen,
# and if it closes just then, the request is sent again.
LIMITS = httpx.Limits(max_connections=12, keepalive_expiry=4.0)


class OrthancError(DeidError):
    """An Orthanc did not do what it was asked. No message names a study, series or instance."""


class TransientError(OrthancError):
    """It may work later without any change to the data."""


class RefusedError(OrthancError):
    """It will be refused again, whenever it is tried."""


class GoneError(OrthancError):
    """What was asked for is not there."""


class CannotWithdrawError(OrthancError):
    """What is at a destination cannot be taken back from here; the text says what to do there."""


@dataclass(frozen=True, slots=True)
class SourceStudy:
    """A study as an Orthanc holds it."""

    orthanc_id: str
    study_instance_uid: str
    last_update: str
    stable: bool


class Change(NamedTuple):
    """An entry of an Orthanc's log of changes."""

    number: int
    type: str
    resource: str


class OrthancClient:
    """A connection to one Orthanc; may be used by several threads."""

    def __init__(self, name: str, server: Server, transport: httpx.BaseTransport | None = None):
        self.name = name
        self._http = httpx.Client(
            base_url=server.url,
            auth=(server.user, server.password),
            transport=transport
            or httpx.HTTPTransport(verify=client_context(str(server.ca)), limits=LIMITS),
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self) -> None:
        """Ask something that needs Orthanc's database; raises `TransientError` if it fails."""
        try:
            self._send("GET", "/changes?last", timeout=httpx.Timeout(5.0))
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def studies(self) -> Iterator[SourceStudy]:
        """Yield all studies that Orthanc holds."""
        since = 0
        while page := self._json("GET", f"/studies?expand&since={since}&limit={PAGE}"):
            yield from (source_study(item) for item in page)
            since += len(page)

    def last_change(self) -> int:
        """Return the number of the last change in the log."""
        return int(self._json("GET", "/changes?last")["Last"])

    def changes(self, since: int, until: int) -> Iterator[Change]:
        """Yield the changes after `since`, up to `until`."""
        while since < until:
            page = self._json("GET", f"/changes?since={since}&limit={PAGE}")
            for item in page["Changes"]:
                if item["Seq"] <= until:
                    yield Change(item["Seq"], item["ChangeType"], item["ID"])
            if page["Done"] or page["Last"] <= since:
                return
            since = page["Last"]

    def study_of_instance(self, instance_id: str) -> SourceStudy:
        """Return the study of an instance; raises `GoneError` if it is not there."""
        return source_study(self._json("GET", f"/instances/{instance_id}/study"))

    def study(self, orthanc_id: str) -> SourceStudy:
        """Return one study; raises `GoneError` if it is not there."""
        return source_study(self._json("GET", f"/studies/{orthanc_id}"))

    def identifying_tags(self, orthanc_id: str) -> dict[str, str]:
        """Return what the index says of a study and its patient; raises `GoneError`."""
        wanted = "requestedTags=IssuerOfPatientID"
        found = self._json("GET", f"/studies/{orthanc_id}?{wanted}")
        parts = ("RequestedTags", "PatientMainDicomTags", "MainDicomTags")
        return {tag: str(text) for part in parts for tag, text in found.get(part, {}).items()}

    def describe(self, orthanc_id: str) -> dict[str, Any]:
        """Return all that the index says of a study; raises `GoneError` if it is not there."""
        wanted = "requestedTags=ModalitiesInStudy;NumberOfStudyRelatedInstances"
        found: dict[str, Any] = self._json("GET", f"/studies/{orthanc_id}?{wanted}")
        return found

    def contents(self, orthanc_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return all that the index says of a study's series and instances."""
        return (
            self._json("GET", f"/studies/{orthanc_id}/series"),
            self._json("GET", f"/studies/{orthanc_id}/instances"),
        )

    def instances_of(self, level: str, orthanc_id: str) -> list[str]:
        """Return the instances of a study, a series or an instance (`level` in the plural)."""
        if level == "instances":
            return [orthanc_id]
        return [item["ID"] for item in self._json("GET", f"/{level}/{orthanc_id}/instances")]

    def tags(self, instance_id: str) -> dict[str, Any]:
        """Return the elements of an instance as Orthanc tells them."""
        told: dict[str, Any] = self._json("GET", f"/instances/{instance_id}/tags")
        return told

    def query_node(self, node: str, query: dict[str, Any], most: int) -> list[dict[str, Any]]:
        """Return what a DICOM node answers to a C-FIND, `most` answers at most."""
        made = self._once("POST", f"/modalities/{node}/query", query)
        answers = f"/queries/{made['ID']}/answers"
        return [
            self._json("GET", f"{answers}/{number}/content?simplify")
            for number in self._json("GET", answers)[:most]
        ]

    def retrieve(self, node: str, how: str, study_instance_uid: str) -> str:
        """Have a study brought here by C-MOVE or C-GET; returns the job that does it."""
        wanted = {
            "Level": "Study",
            "Resources": [{"StudyInstanceUID": study_instance_uid}],
            "Asynchronous": True,
        }
        return str(self._once("POST", f"/modalities/{node}/{how}", wanted)["ID"])

    def job(self, job: str) -> dict[str, Any]:
        """Return what Orthanc tells of a job; raises `GoneError` if it has forgotten it."""
        told: dict[str, Any] = self._json("GET", f"/jobs/{job}")
        return told

    def _once(self, method: str, path: str, content: dict[str, Any]) -> Any:
        """Ask what must not be repeated by itself: a node that does not answer costs its time."""
        try:
            return self._send(method, path, json.dumps(content).encode()).json()
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def source(self, orthanc_id: str) -> str:
        """Return the application entity title that sent a study; empty if none did."""
        first = self.first_instances(orthanc_id)
        return self.remote_aet(first[0]) if first else ""

    def instance_tags(self, instance_id: str) -> dict[str, Any]:
        """Return what an instance says, by keyword; raises `GoneError`."""
        found: dict[str, Any] = self._json("GET", f"/instances/{instance_id}/simplified-tags")
        return found

    def instance_ids(self, orthanc_id: str) -> list[str]:
        """Return Orthanc's identifiers of the instances of a study.

        Without their attributes, which take an Orthanc five to ten times as long to tell; one
        that is too old to leave them out tells them all the same.
        """
        found = self._json("GET", f"/studies/{orthanc_id}/instances?expand=false")
        return [str(one["ID"] if isinstance(one, dict) else one) for one in found]

    def instance_sizes(self, study_instance_uid: str) -> dict[str, int]:
        """Return how many bytes the files of a study have, by Orthanc's identifier of each.

        Those that a search does not tell (LimitFindInstances) are left out.
        """
        found = self._search_instances(study_instance_uid, ResponseContent=["Attachments"])
        return {
            item["ID"]: max((one["UncompressedSize"] for one in item["Attachments"]), default=0)
            for item in found
        }

    def first_instances(self, orthanc_id: str) -> list[str]:
        """Return Orthanc's identifier of one instance of each series of a study."""
        series = self._json("GET", f"/studies/{orthanc_id}/series")
        return sorted(min(item["Instances"]) for item in series if item["Instances"])

    def main_tags(self, orthanc_id: str) -> list[tuple[dict[str, str], dict[str, str], str]]:
        """Return of each series of a study: what Orthanc knows of study and series, an instance."""
        study = self._json("GET", f"/studies/{orthanc_id}")
        tags = {**study.get("PatientMainDicomTags", {}), **study["MainDicomTags"]}
        return [
            (tags, series["MainDicomTags"], min(series["Instances"]))
            for series in self._json("GET", f"/studies/{orthanc_id}/series")
            if series["Instances"]
        ]

    def remote_aet(self, instance_id: str) -> str:
        """Return the application entity title that sent an instance; empty if none did."""
        return str(
            self._json("GET", f"/instances/{instance_id}/metadata?expand").get("RemoteAET", "")
        )

    def missing(self, study_instance_uid: str, sop_instance_uids: Set[str]) -> Set[str]:
        """Return those of the SOP Instance UIDs that are not held in a study."""
        # A search costs a third of a list, but tells no more than LimitFindInstances allows.
        missing = sop_instance_uids - self.find_instances(study_instance_uid)
        return missing and missing - self.sop_instance_uids(study_instance_uid)

    def find_instances(self, study_instance_uid: str) -> set[str]:
        """Return SOP Instance UIDs that are held of a study, or some of them, see `missing`."""
        found = self._search_instances(
            study_instance_uid,
            RequestedTags=["SOPInstanceUID"],
            ResponseContent=["RequestedTags"],
        )
        return {item.get("RequestedTags", {}).get("SOPInstanceUID", "") for item in found}

    def _search_instances(self, study_instance_uid: str, **told: list[str]) -> list[dict[str, Any]]:
        query = {"StudyInstanceUID": study_instance_uid}
        wanted = {"Level": "Instance", "Query": query, "Expand": True, **told}
        found: list[dict[str, Any]] = self._json("POST", "/tools/find", json.dumps(wanted).encode())
        return found

    def sop_instance_uids(self, study_instance_uid: str) -> set[str]:
        """Return the SOP Instance UIDs held of a study; none if the study is not there."""
        found: set[str] = set()
        for orthanc_id in self.find_studies(study_instance_uid):
            found |= {
                item["MainDicomTags"]["SOPInstanceUID"]
                for item in self._json("GET", f"/studies/{orthanc_id}/instances")
            }
        return found

    def find_studies(self, study_instance_uid: str) -> list[str]:
        """Return Orthanc's identifiers of the studies with this StudyInstanceUID."""
        found = self._json("POST", "/tools/lookup", content=study_instance_uid.encode())
        return [item["ID"] for item in found if item["Type"] == "Study"]

    def download(self, instance_id: str) -> bytes:
        """Return the DICOM file of an instance."""
        return self._request("GET", f"/instances/{instance_id}/file").content

    def upload(self, dicom: bytes) -> None:
        """Store one instance; raises `TransientError` unless it is there afterwards."""
        answer = self._json("POST", "/instances", content=dicom)
        # An instance that a filter of the target dropped is answered with 200 as well. Whoever
        # mends the filter does so there, and nobody has to think of the study then.
        status = answer.get("Status") if isinstance(answer, dict) else None
        if status not in {"Success", "AlreadyStored"}:
            raise TransientError(
                f"{self.name} did not store an instance: it answered "
                f"{'without a status' if status is None else status}; "
                "look at its log and its filters"
            )

    def delete_study(self, orthanc_id: str) -> None:
        """Delete a study; it may be gone already."""
        self._delete(f"/studies/{orthanc_id}")

    def delete_copy(self, orthanc_id: str) -> None:
        """Delete a de-identified study of the PHI Orthanc, which refuses that for any other."""
        self._delete(f"/deid/v1/copies/{orthanc_id}")

    def remove_from_disk(self, orthanc_id: str) -> list[str]:
        """Delete a study of the Disk Orthanc and its files in the tree.

        Returns what is left in the tree because people put it there, as paths below its root.
        """
        answer = self._json("POST", f"/disk/studies/{orthanc_id}/remove", content=b"{}")
        left = answer.get("left") if isinstance(answer, dict) else None
        if not isinstance(left, list):
            raise TransientError(f"{self.name} gave no account of what it removed; is it a Disk?")
        return [str(path) for path in left]

    def _delete(self, path: str) -> None:
        with suppress(GoneError):
            self._request("DELETE", path)

    def write_study(self, orthanc_id: str) -> dict[str, Any]:
        """Have the Disk Orthanc write a study into its tree; returns its answer."""
        answer = self._json("POST", f"/disk/studies/{orthanc_id}/write", content=b"{}")
        if not isinstance(answer, dict):
            raise TransientError(f"{self.name} gave no account of what it wrote; is it a Disk?")
        return answer

    def request_commitment(self, node: str, instances: Iterable[tuple[str, str]]) -> str:
        """Have Orthanc ask a DICOM node for Storage Commitment; returns the transaction.

        Args:
            node: as Orthanc calls it; `GoneError` if it does not know it.
            instances: SOP Class UID and SOP Instance UID of each.
        """
        wanted = [{"SOPClassUID": cls, "SOPInstanceUID": uid} for cls, uid in instances]
        content = json.dumps({"DicomInstances": wanted}).encode()
        return str(
            self._json("POST", f"/modalities/{quote(node)}/storage-commitment", content)["ID"]
        )

    def commitment(self, transaction: str) -> dict[str, Any]:
        """Return Orthanc's account of a Storage Commitment; its `Status` may be `Pending`."""
        found: dict[str, Any] = self._json("GET", f"/storage-commitment/{transaction}")
        return found

    def _json(self, method: str, path: str, content: bytes | None = None) -> Any:
        response = self._request(method, path, content)
        try:
            return response.json()
        except ValueError:
            raise TransientError(
                f"{self.name} did not answer with JSON; is it an Orthanc?"
            ) from None

    def _request(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        for pause in PAUSES:
            try:
                return self._send(method, path, content)
            except (TransientError, httpx.TransportError):
                time.sleep(pause)
        try:
            return self._send(method, path, content)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> httpx.Response:
        response = self._http.request(method, path, content=content, timeout=timeout)
        code = response.status_code
        if response.is_success:
            return response
        if code == 404:
            raise GoneError(f"{self.name} does not have what was asked for (HTTP 404)")
        if code in {400, 413, 415}:
            raise RefusedError(f"{self.name} refuses the request (HTTP {code})")
        raise TransientError(f"{self.name} answers HTTP {code}{_HINTS.get(code, '')}")

    def _unreachable(self, error: httpx.TransportError) -> TransientError:
        kind = (
            "does not answer in time"
            if isinstance(error, httpx.TimeoutException)
            else ("cannot be reached")
        )
        certificate = " (its certificate is not accepted)" if "CERTIFICATE" in str(error) else ""
        return TransientError(f"{self.name} {kind}{certificate}: {type(error).__name__}")


_HINTS = {
    401: "; check the account in the settings",
    403: "; check the account in the settings",
    503: "; its database does not answer",
    507: "; its disk is full",
}


def source_study(item: dict[str, Any]) -> SourceStudy:
    """Return what Orthanc says of a study at `/studies/{id}`."""
    return SourceStudy(
        orthanc_id=item["ID"],
        study_instance_uid=item["MainDicomTags"].get("StudyInstanceUID", ""),
        last_update=item.get("LastUpdate", ""),
        stable=bool(item.get("IsStable")),
    )
