# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse new instances while the disk of the PHI Orthanc is nearly full, in each sender's language.

C-STORE is answered with A700 (out of resources), uploads with HTTP 507. STOW-RS is refused by the
filter of all requests, which knows 403 only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from orthanc_deid.disk_room import INSUFFICIENT_STORAGE, OUT_OF_RESOURCES, DiskRoom

BODY = json.dumps({"error": "the disk is nearly full; send again when there is room"})


class BackPressure:
    """Stands before all ways into an Orthanc; tells the log when it begins and when it ends."""

    def __init__(self, orthanc: Any, room: DiskRoom) -> None:
        self._orthanc = orthanc
        self._room = room
        self._told = False

    def refusing(self) -> bool:
        """Whether new instances are refused now; also where the disk cannot be looked at."""
        try:
            room = self._room.look()
        except OSError:
            return True
        if room.refusing != self._told:
            self._told = room.refusing
            what = "are refused from now on" if room.refusing else "are taken again"
            self._orthanc.LogWarning(
                f"The disk is {room.used_percent} % full, {room.free_bytes >> 20} MiB are free: "
                f"new instances {what}"
            )
        return room.refusing

    def c_store(self, _instance: Any) -> int:
        """Return the DICOM status with which an instance is refused; 0 if it is not."""
        return OUT_OF_RESOURCES if self.refusing() else 0

    def held(self, method: str, path: str) -> str:
        """Return why STOW-RS is denied now; empty if it is not, or for any other request."""
        stores = method == "POST" and path.startswith("/dicom-web/studies")
        return "the disk is nearly full" if stores and self.refusing() else ""

    def instances(self, output: Any, _uri: str, **request: Any) -> None:
        """Answer for /instances: as Orthanc does, but for uploads while the disk is full."""
        method = request["method"]
        if method == "GET":
            query = urlencode(request.get("get", {}))
            self._pass_on(output, lambda: self._orthanc.RestApiGet(f"/instances?{query}"))
        elif method != "POST":
            output.SendMethodNotAllowed("GET,POST")
        elif self.refusing():
            output.SetHttpHeader("Content-Type", "application/json")
            output.SetHttpHeader("Retry-After", "60")
            output.SendHttpStatus(INSUFFICIENT_STORAGE, BODY.encode())
        else:
            body = request.get("body", b"")
            self._pass_on(output, lambda: self._orthanc.RestApiPost("/instances", body))

    def _pass_on(self, output: Any, act: Callable[[], bytes]) -> None:
        try:
            output.AnswerBuffer(act(), "application/json")
        except self._orthanc.OrthancException as error:
            status = self._status(error.args[0] if error.args else None)
            output.SetHttpHeader("Content-Type", "application/json")
            output.SendHttpStatus(status, json.dumps({"error": f"Orthanc: {error}"}).encode())

    def _status(self, code: object) -> int:
        """Return the HTTP status that Orthanc itself gives for one of its errors."""
        codes = self._orthanc.ErrorCode
        if code in {int(codes.BAD_FILE_FORMAT), int(codes.BAD_REQUEST)}:
            return 400
        if code == int(codes.FULL_STORAGE):
            return INSUFFICIENT_STORAGE
        return 503 if code == int(codes.DATABASE_UNAVAILABLE) else 500


def register(orthanc: Any, room: DiskRoom) -> BackPressure:
    """Put it before all ways into this Orthanc."""
    pressure = BackPressure(orthanc, room)
    orthanc.RegisterIncomingCStoreInstanceFilter(pressure.c_store)
    orthanc.RegisterRestCallback("/instances", pressure.instances)
    return pressure
