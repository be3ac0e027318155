# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one client of Orthanc's REST interface that the modules of this collection share."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url


class OrthancError(Exception):
    """Orthanc did not answer as it should; the message says what was seen."""


class UnreachableError(OrthancError):
    """Nothing answers at the address, or TLS cannot be agreed on."""


class RefusedError(OrthancError):
    """Orthanc answered with an HTTP error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TimedOutError(OrthancError):
    """Orthanc took the request and gave no answer in time, as it does while its database hangs."""


@dataclass(frozen=True)
class OrthancClient:
    """A connection to one Orthanc.

    ``url`` is the base address, for example ``https://127.0.0.1:8042``; ``timeout`` is in seconds
    and holds for each request.
    """

    url: str
    user: str
    password: str
    ca_path: str | None = None
    timeout: float = 5.0

    def get(self, path: str) -> Any:
        """Return the decoded JSON answer of a GET request."""
        return self._request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Return the decoded JSON answer of a POST request with a JSON body."""
        return self._request("POST", path, json.dumps(body))

    def _request(self, method: str, path: str, data: str | None = None) -> Any:
        try:
            with open_url(
                self.url.rstrip("/") + path,
                method=method,
                data=data,
                url_username=self.user,
                url_password=self.password,
                force_basic_auth=True,
                ca_path=self.ca_path,
                timeout=self.timeout,
                use_proxy=False,
            ) as answer:
                text = answer.read()
        except HTTPError as error:
            message = f"{method} {path} was answered with HTTP {error.code}"
            raise RefusedError(error.code, message) from None
        except TimeoutError:
            raise TimedOutError(
                f"{method} {path} got no answer within {self.timeout:g} s"
            ) from None
        except URLError as error:
            raise _unreachable(self.url, error.reason, f"{method} {path}", self.timeout) from None
        except (OSError, ssl.SSLError) as error:
            raise _unreachable(self.url, error, f"{method} {path}", self.timeout) from None
        try:
            return json.loads(text)
        except ValueError:
            message = f"{method} {path} was answered with something other than JSON"
            raise OrthancError(message) from None


def _unreachable(url: str, reason: object, request: str, timeout: float) -> OrthancError:
    if isinstance(reason, (TimeoutError, socket.timeout)):
        return TimedOutError(f"{request} got no answer within {timeout:g} s")
    return UnreachableError(f"{url} cannot be reached: {reason}")


def poll(deadline: float, pause: float = 1.0) -> Iterator[None]:
    """Yield until the deadline (seconds of ``time.monotonic``) has passed, at least once."""
    while True:
        yield
        if time.monotonic() + pause > deadline:
            return
        time.sleep(pause)
