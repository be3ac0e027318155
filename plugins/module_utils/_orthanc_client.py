# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one client of Orthanc's REST interface that the modules of this collection share."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "ca_path": {"type": "path"},
    "request_timeout": {"type": "int", "default": 5},
}
"""The options of the documentation fragment `connection`."""

ONE_PASSWORD: dict[str, Any] = {
    "required_one_of": [("password", "password_file")],
    "mutually_exclusive": [("password", "password_file")],
}
"""What a module demands of these options."""

ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
CHUNK = 1 << 20


class OrthancError(Exception):
    """Orthanc did not answer as it should; the message says what was seen."""


class UnreachableError(OrthancError):
    """Nothing answers at the address, or TLS cannot be agreed on."""


class ClosedError(UnreachableError):
    """Something took the connection and closed it, as the engine does while a container starts."""


class RefusedError(OrthancError):
    """Orthanc answered with an HTTP error status; `reason` is what it said of it."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class TimedOutError(OrthancError):
    """Orthanc took the request and gave no answer in time, as it does while its database hangs."""


@dataclass(frozen=True)
class OrthancClient:
    """A connection to one Orthanc.

    ``url`` is the base address, for example ``https://127.0.0.1:8042``; ``timeout`` is in seconds
    and holds for each request. Where there is a ``password_file``, it has the password.
    """

    url: str
    user: str
    password: str = ""
    password_file: str | None = None
    ca_path: str | None = None
    timeout: float = 5.0

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> OrthancClient:
        """Return the client that options with the names of `ARGUMENTS` describe."""
        return cls(
            url=params["url"],
            user=params["user"],
            password=params["password"] or "",
            password_file=params.get("password_file"),
            ca_path=params.get("ca_path"),
            timeout=params.get("request_timeout") or 5,
        )

    @property
    def host(self) -> str:
        """The host of the address."""
        return urlsplit(self.url).hostname or ""

    def get(self, path: str) -> Any:
        """Return the decoded JSON answer of a GET request."""
        return self._json("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Return the decoded JSON answer of a POST request with a JSON body."""
        return self._json("POST", path, json.dumps(body))

    def post_text(self, path: str, body: str) -> Any:
        """Return the decoded JSON answer of a POST request with plain text."""
        return self._json("POST", path, body)

    def delete(self, path: str) -> None:
        """Delete something; that it is gone already is no error."""
        try:
            self.request("DELETE", path)
        except RefusedError as error:
            if error.status != 404:
                raise

    def upload(self, dicom: bytes) -> dict[str, Any]:
        """Send one DICOM file and return Orthanc's account of it."""
        answer = self._json("POST", "/instances", dicom)
        if not isinstance(answer, dict):
            raise OrthancError("POST /instances was answered with no account of the instance")
        return answer

    def download(self, path: str) -> bytes:
        """Return the answer of a GET request as it is."""
        return self.request("GET", path)

    def lookup_study(self, study_instance_uid: str) -> str | None:
        """Return Orthanc's identifier of the study with a StudyInstanceUID, or None."""
        found = self.post_text("/tools/lookup", study_instance_uid)
        return next((str(item["ID"]) for item in found if item["Type"] == "Study"), None)

    def certificate_end(self) -> datetime | None:
        """Return when the certificate ends that the Orthanc shows; None where it uses no TLS."""
        parts = urlsplit(self.url)
        if parts.scheme != "https":
            return None
        context = ssl.create_default_context(cafile=self.ca_path)
        address = (self.host, parts.port or 443)
        try:
            with (
                socket.create_connection(address, self.timeout) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as connection,
            ):
                shown = connection.getpeercert() or {}
        except OSError as error:
            raise _unreachable(self.url, error, "TLS", self.timeout) from None
        return datetime.fromtimestamp(
            ssl.cert_time_to_seconds(str(shown["notAfter"])), timezone.utc
        )

    def request(self, method: str, path: str, data: str | bytes | None = None) -> bytes:
        """Return the body of an answer."""
        request, deadline = f"{method} {path.partition('?')[0]}", time.monotonic() + self.timeout
        password = self._read_password()
        try:
            with open_url(
                self.url.rstrip("/") + path,
                method=method,
                data=data,
                url_username=self.user,
                url_password=password,
                force_basic_auth=True,
                ca_path=self.ca_path,
                timeout=self.timeout,
                use_proxy=False,
            ) as answer:
                return _read(answer, deadline, request, self.timeout)
        except HTTPError as error:
            message = f"{request} was answered with HTTP {error.code}"
            raise RefusedError(error.code, message, _reason(error)) from None
        except TimeoutError:
            raise TimedOutError(f"{request} got no answer within {self.timeout:g} s") from None
        except URLError as error:
            raise _unreachable(self.url, error.reason, request, self.timeout) from None
        except OSError as error:
            raise _unreachable(self.url, error, request, self.timeout) from None

    def _read_password(self) -> str:
        if self.password_file is None:
            return self.password
        try:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise OrthancError(
                f"the password of {self.user} cannot be read from {self.password_file}: "
                f"{error.strerror}; deploy the site, or give the password itself"
            ) from None

    def _json(self, method: str, path: str, data: str | bytes | None = None) -> Any:
        text = self.request(method, path, data)
        try:
            return json.loads(text)
        except ValueError:
            message = f"{method} {path} was answered with something other than JSON"
            raise OrthancError(message) from None


def _read(answer: Any, deadline: float, request: str, timeout: float) -> bytes:
    """Read an answer that may not take longer as a whole than the request may."""
    parts = []
    while part := answer.read(CHUNK):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimedOutError(f"{request} got no whole answer within {timeout:g} s")
    return b"".join(parts)


def _reason(error: HTTPError) -> str:
    """Return what the service says about a refusal; Orthanc itself says nothing of use."""
    try:
        told = json.loads(error.read())
    except (OSError, ValueError):
        return ""
    return str(told.get("error", "")) if isinstance(told, dict) else ""


def _unreachable(url: str, reason: object, request: str, timeout: float) -> OrthancError:
    if isinstance(reason, (TimeoutError, socket.timeout)):
        return TimedOutError(f"{request} got no answer within {timeout:g} s")
    if isinstance(reason, (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)):
        return ClosedError(f"{url} takes connections and closes them at once")
    return UnreachableError(f"{url} cannot be reached: {reason}")


def poll(deadline: float, pause: float = 1.0) -> Iterator[None]:
    """Yield until the deadline (seconds of ``time.monotonic``) has passed, at least once."""
    while True:
        yield
        if time.monotonic() + pause > deadline:
            return
        time.sleep(pause)
