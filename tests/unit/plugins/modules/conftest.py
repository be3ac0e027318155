# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc that answers what a test wants, over TLS: for what a real one will not do."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PASSWORD = "Sunlight0nTheWater"


class StubOrthanc(ThreadingHTTPServer):
    """What an Orthanc answers, by path.

    That is a value, an HTTP status, both, "hang", statuses in turn, or a function that tells it.

    A path is that of a GET request, or stands after another method, as in "POST /tools/lookup".
    `asked` keeps the requests that change something, with their bodies.
    """

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {
            "/system": {"DicomAet": "ANON", "Version": "1.12.7"},
            "/changes?last": {"Changes": [], "Done": True, "Last": 0},
            "/plugins": ["explorer.js", "python", "postgresql-index"],
            "/plugins/python": {"ID": "python", "Version": "5.0"},
            "/plugins/postgresql-index": {"ID": "postgresql-index", "Version": "7.0"},
            "/jobs?expand": [],
            "/deployment": {"kind": "anon", "version": "1.0.0", "accounts": {"viewer": ["look"]}},
        }
        self.asked: list[tuple[str, bytes]] = []
        self.ended = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: StubOrthanc

    def do_GET(self) -> None:
        self._answer(self.path)

    def do_POST(self) -> None:
        name = f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((name, body))
        self._answer(name)

    def do_DELETE(self) -> None:
        self.do_POST()

    def _answer(self, name: str) -> None:
        account = base64.b64encode(f"service:{PASSWORD}".encode()).decode()
        answer = self.server.answers.get(name, 404)
        if self.headers["Authorization"] != f"Basic {account}":
            answer = 401
        if answer == "hang":
            self.server.ended.wait()
            return
        if isinstance(answer, list) and answer and isinstance(answer[0], int):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer()
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(answer if isinstance(answer, int) else status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stub")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def orthanc(certificate: Path) -> Iterator[StubOrthanc]:
    server = StubOrthanc(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connection(orthanc: StubOrthanc, certificate: Path) -> dict[str, Any]:
    """The options of a module that say how the stub is reached."""
    return {
        "url": orthanc.url,
        "user": "service",
        "password": PASSWORD,
        "ca_path": str(certificate),
        "request_timeout": 1,
    }
