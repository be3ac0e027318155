# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are made while they are sent: the plugin asks for one piece after the other.

So neither this process nor Orthanc's ever holds a whole file. Orthanc tells no length beforehand,
and ends a file that broke off like any other: who gets one asks afterwards how long it should be.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route

AT_ONCE: Final = 4
FORGOTTEN_SECONDS: Final = 120.0
REMEMBERED: Final = 100


@dataclass(slots=True)
class _Download:
    pieces: Iterator[bytes]
    asked_at: float
    size: int = 0


class Downloads:
    """The files that are being sent; may be used by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Download] = {}
        self._whole: dict[str, int] = {}

    def routes(self) -> list[Route]:
        """Return the route by which a file's length is asked for."""
        return [Route("GET", "/downloads/{download}", self.size)]

    def size(self, _request: Request, download: str) -> Answer:
        """Tell how many bytes a file has, once all of it was sent."""
        with self._lock:
            size = self._whole.get(download)
        if size is None:
            raise ApiError(404, "this file was not sent as a whole; ask for it again")
        return 200, {"bytes": size}

    def begin(self, name: str, media_type: str, pieces: Iterator[bytes]) -> Answer:
        """Return the answer that has the plugin send a file: its name, type and first piece.

        Raises:
            ApiError: so many are being sent that this one has to wait.
        """
        number = secrets.token_hex(16)
        with self._lock:
            self._forget()
            if len(self._open) >= AT_ONCE:
                raise ApiError(503, f"{AT_ONCE} files are being made already; try again later")
            self._open[number] = _Download(pieces, self._clock())
        status, piece = self.more(number)
        return status, {"download": {"name": name, "type": media_type, **piece}}

    def more(self, number: str) -> Answer:
        """Return the next piece, in Base64, and whether it is the last."""
        with self._lock:
            download = self._open.get(number)
        if download is None:
            return 410, {"error": "the file was not asked for in time; ask for it again"}
        try:
            piece = next(download.pieces, None)
        except BaseException:
            self._end(number)
            raise
        download.asked_at = self._clock()
        download.size += len(piece or b"")
        if piece is None:
            self._end(number)
            with self._lock:
                self._whole[number] = download.size
                while len(self._whole) > REMEMBERED:
                    del self._whole[next(iter(self._whole))]
        data = base64.b64encode(piece or b"").decode()
        return 200, {"number": number, "data": data, "last": piece is None}

    def _end(self, number: str) -> None:
        with self._lock:
            self._open.pop(number, None)

    def _forget(self) -> None:
        """Close what a browser has given up, with all that belongs to it."""
        now = self._clock()
        for number, download in list(self._open.items()):
            if now - download.asked_at > FORGOTTEN_SECONDS:
                del self._open[number]
                close: Any = getattr(download.pieces, "close", None)
                if close is not None:
                    close()
