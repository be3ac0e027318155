# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are made while they are sent: the plugin asks for one piece after the other.

So neither this process nor Orthanc's ever holds a whole file.
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
from orthanc_deid.api import ApiError

AT_ONCE: Final = 4
FORGOTTEN_SECONDS: Final = 120.0


@dataclass(slots=True)
class _Download:
    pieces: Iterator[bytes]
    asked_at: float


class Downloads:
    """The files that are being sent; may be used by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Download] = {}

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
        if piece is None:
            self._end(number)
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
