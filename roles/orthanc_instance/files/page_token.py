# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens by which a page of ours proves that it sent a request, and no other site.

A page asks for its token, which no other site can read, and sends it back with each request that
changes something. A token is a keyed hash of the user and the hour: nothing is kept, and a restart
of Orthanc makes all of them invalid, whereupon a page asks for a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

SECONDS = 3600


class PageTokens:
    """Makes and checks the tokens of one Orthanc; they hold for one to two hours."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def issue(self, user: str) -> str:
        """Return the token of a user for this hour."""
        return self._token(user, self._hour())

    def valid(self, token: str, user: str) -> bool:
        """Tell whether a token is this user's, of this hour or the one before."""
        hour = self._hour()
        return any(
            hmac.compare_digest(token.encode(), self._token(user, one).encode())
            for one in (hour, hour - 1)
        )

    def _hour(self) -> int:
        return int(self._clock() // SECONDS)

    def _token(self, user: str, hour: int) -> str:
        return hmac.new(self._key, f"{hour}\0{user}".encode(), hashlib.sha256).hexdigest()
