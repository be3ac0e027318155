# SPDX-License-Identifier: GPL-3.0-or-later
"""A DICOMweb server as a destination: STOW-RS, verified by its answer and by QIDO-RS.

PS3.18 sections 10.5 (store) and 10.6 (search). Files are streamed from the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from orthanc_deid.destination_config import DicomWeb
from orthanc_deid.orthanc_client import LIMITS, CannotWithdrawError, RefusedError, TransientError
from orthanc_deid.store_status import Verdict, judge
from orthanc_deid.tls import client_context

TIMEOUT: Final = httpx.Timeout(120.0, connect=5.0)
BATCH_BYTES: Final = 64 << 20
BATCH_FILES: Final = 100
PIECE: Final = 1 << 20
PAGE: Final = 1000
JSON: Final = "application/dicom+json"

FAILED, REFERENCED = "00081198", "00081199"
FAILURE_REASON, REFERENCED_UID = "00081197", "00081155"
SOP_INSTANCE_UID = "00080018"
# 409 is the answer where nothing was stored, 202 where something was not.
_JUDGED: Final = frozenset({200, 202, 409})
_REFUSALS: Final = frozenset({400, 413, 415})
_NO_QIDO: Final = frozenset({400, 403, 404, 405, 501})


class DicomWebDestination:
    """A server that takes STOW-RS."""

    def __init__(
        self, name: str, web: DicomWeb, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name = name
        self._web = web
        self._http = httpx.Client(
            auth=(web.user, web.password) if web.user else None,
            headers={"Authorization": f"Bearer {web.token}"} if web.token else {},
            transport=transport
            or httpx.HTTPTransport(verify=client_context(web.ca), limits=LIMITS),
            timeout=TIMEOUT,
        )

    def check(self) -> None:
        """Raise `TransientError` if the server does not answer, or not to this account."""
        response = self._request("GET", "/studies?limit=1", headers={"Accept": JSON})
        if response.status_code not in _NO_QIDO | {200, 204}:
            raise TransientError(f"{self.name} {_told(response.status_code)}")

    def withdraw(self, study_instance_uid: str) -> None:
        """Say who must be told: PS3.18 knows no deletion of stored studies."""
        raise CannotWithdrawError(
            f"{self.name} cannot be asked to delete: tell those who run it to delete study "
            f"{study_instance_uid}"
        )

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Send every file, judge each by the answer, then ask for them where that is possible."""
        for batch in _batches(files):
            self._store(batch, going_on)
        if self._web.verify == "answer":
            return
        found = self._search(study_instance_uid)
        if found is None:
            if self._web.verify == "query":
                raise TransientError(
                    f"{self.name} does not answer QIDO-RS; allow it there, or set verify to answer"
                )
            return  # each instance was answered with success
        if missing := files.keys() - found:
            raise TransientError(
                f"{self.name} answered with success to {len(files)} instances, "
                f"but {len(missing)} are not there"
            )

    def _store(self, batch: Mapping[str, Path], going_on: Callable[[], None]) -> None:
        boundary = uuid.uuid4().hex
        response = self._request(
            "POST",
            "/studies",
            headers={
                "Accept": JSON,
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Content-Length": str(_body_length(batch.values(), boundary)),
            },
            content=_body(batch.values(), boundary, going_on),
        )
        code = response.status_code
        if code in _REFUSALS:
            raise RefusedError(f"{self.name} {_told(code)}")
        if code not in _JUDGED:
            raise TransientError(f"{self.name} {_told(code)}")
        self._judge(response, batch)

    def _judge(self, response: httpx.Response, batch: Mapping[str, Path]) -> None:
        """Raise unless the answer says of each instance that it was stored."""
        try:
            answer = response.json()
            reasons = {
                _value(item, REFERENCED_UID): int(_value(item, FAILURE_REASON) or 0x0110)
                for item in _items(answer, FAILED)
            }
            stored = {_value(item, REFERENCED_UID) for item in _items(answer, REFERENCED)}
        except (ValueError, TypeError, AttributeError):
            raise TransientError(
                f"{self.name} gives no account of what it stored; is it a DICOMweb server?"
            ) from None
        verdicts = [judge(reasons[uid]) for uid in batch if uid in reasons]
        for wanted, error in ((Verdict.REFUSED, RefusedError), (Verdict.LATER, TransientError)):
            words = [words for verdict, words in verdicts if verdict is wanted]
            if words:
                raise error(f"{self.name} did not store {len(words)} instances: {words[0]}")
        if untold := batch.keys() - stored - reasons.keys():
            raise TransientError(f"{self.name} says nothing of {len(untold)} instances")

    def _search(self, study_instance_uid: str) -> set[str] | None:
        """Return the SOP Instance UIDs held of a study; None where search is not offered."""
        found: set[str] = set()
        while True:
            query = f"?limit={PAGE}&offset={len(found)}"
            response = self._request(
                "GET", f"/studies/{study_instance_uid}/instances{query}", headers={"Accept": JSON}
            )
            if response.status_code == 204:
                return found
            if response.status_code in _NO_QIDO:
                # 404 is also the answer where the study is not there.
                return None if self._is_without_search() else found
            if response.status_code != 200:
                raise TransientError(f"{self.name} {_told(response.status_code)}")
            try:
                page = {_value(item, SOP_INSTANCE_UID) for item in response.json()}
            except (ValueError, TypeError, AttributeError):
                raise TransientError(f"{self.name} did not answer with DICOM JSON") from None
            if page <= found:
                return found
            found |= page

    def _is_without_search(self) -> bool:
        response = self._request("GET", "/studies?limit=1", headers={"Accept": JSON})
        return response.status_code in _NO_QIDO

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        content: Iterator[bytes] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(
                method, self._web.url + path, headers=headers, content=content
            )
        except httpx.TimeoutException:
            raise TransientError(f"{self.name} does not answer in time") from None
        except httpx.TransportError as error:
            trusted = "CERTIFICATE" not in str(error)
            reason = "cannot be reached" if trusted else "cannot be trusted: check its ca"
            raise TransientError(f"{self.name} {reason} ({type(error).__name__})") from None


def _told(code: int) -> str:
    hint = "; check its account or token" if code in {401, 403} else ""
    return f"answers HTTP {code}{hint}"


def _items(answer: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return list(answer.get(tag, {}).get("Value", []))


def _value(item: dict[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value", [])
    return values[0] if values else ""


def _batches(files: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    batch: dict[str, Path] = {}
    size = 0
    for uid, path in files.items():
        length = path.stat().st_size
        if batch and (size + length > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = {}, 0
        batch[uid] = path
        size += length
    if batch:
        yield batch


def _head(boundary: str) -> bytes:
    return f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


def _tail(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()


def _body_length(paths: Iterable[Path], boundary: str) -> int:
    parts = sum(len(_head(boundary)) + path.stat().st_size + len(b"\r\n") for path in paths)
    return parts + len(_tail(boundary))


def _body(paths: Iterable[Path], boundary: str, going_on: Callable[[], None]) -> Iterator[bytes]:
    for path in paths:
        going_on()
        yield _head(boundary)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
        yield b"\r\n"
    yield _tail(boundary)
