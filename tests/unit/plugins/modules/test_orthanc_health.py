# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PASSWORD = "Sunlight0nTheWater"


class StubOrthanc(ThreadingHTTPServer):
    """What an Orthanc answers, by path: a value, an HTTP status, or an event to wait for."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {
            "/system": {"DicomAet": "ANON", "Version": "1.12.7"},
            "/changes?last": {"Changes": [], "Done": True, "Last": 0},
            "/plugins": ["explorer.js", "python", "postgresql-index"],
            "/plugins/python": {"ID": "python", "Version": "5.0"},
            "/plugins/postgresql-index": {"ID": "postgresql-index", "Version": "7.0"},
        }
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
        account = base64.b64encode(f"service:{PASSWORD}".encode()).decode()
        answer = self.server.answers.get(self.path, 404)
        if self.headers["Authorization"] != f"Basic {account}":
            answer = 401
        if answer == "hang":
            self.server.ended.wait()
            return
        if isinstance(answer, list) and answer and isinstance(answer[0], int):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(answer if isinstance(answer, int) else 200)
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
def ask(
    run_module: Callable[..., dict[str, Any]], orthanc: StubOrthanc, certificate: Path
) -> Callable[..., dict[str, Any]]:
    def run(**changed: Any) -> dict[str, Any]:
        arguments = {
            "url": orthanc.url,
            "user": "service",
            "password": PASSWORD,
            "ca_path": str(certificate),
            "aet": "ANON",
            "plugins": ["python", "postgresql-index"],
            "timeout": 0,
            "request_timeout": 1,
        }
        return run_module("orthanc_health", {**arguments, **changed})

    return run


Ask = Callable[..., dict[str, Any]]


def only_finding(answer: dict[str, Any]) -> dict[str, str]:
    assert answer["failed"]
    (finding,) = answer["findings"]
    assert finding["cause"] in answer["msg"]
    assert finding["remedy"] in answer["msg"]
    found: dict[str, str] = finding
    return found


def test_a_healthy_orthanc_is_healthy_and_says_what_it_is(ask: Ask) -> None:
    answer = ask()

    assert answer["state"] == "healthy"
    assert answer["findings"] == []
    assert answer["version"] == "1.12.7"
    assert answer["plugins"] == {"python": "5.0", "postgresql-index": "7.0"}
    assert not answer["changed"]


def test_an_orthanc_that_is_starting_is_waited_for(ask: Ask, orthanc: StubOrthanc) -> None:
    orthanc.answers["/changes?last"] = [503, 200]

    answer = ask(timeout=30)

    assert answer["state"] == "healthy"
    assert answer["waited"] >= 1


def test_a_wrong_password_is_told_as_such_and_never_shown(ask: Ask) -> None:
    answer = ask(password="N0tTheRightPassword")

    finding = only_finding(answer)
    assert answer["state"] == "unhealthy"
    assert "HTTP 401" in finding["cause"]
    assert "password" in finding["remedy"]
    assert "N0tTheRightPassword" not in json.dumps(answer)


def test_a_database_that_hangs_is_found_behind_a_system_route_that_answers(
    ask: Ask, orthanc: StubOrthanc
) -> None:
    orthanc.answers["/changes?last"] = "hang"

    answer = ask()

    finding = only_finding(answer)
    assert answer["state"] == "unhealthy"
    assert finding["check"] == "database"
    assert "no answer within 1 s" in finding["cause"]
    assert "PostgreSQL hangs" in finding["remedy"]


def test_an_orthanc_that_hangs_altogether_does_not_hang_the_module(
    ask: Ask, orthanc: StubOrthanc
) -> None:
    orthanc.answers["/system"] = "hang"

    answer = ask()

    assert answer["state"] == "unhealthy"
    assert "no answer within 1 s" in only_finding(answer)["cause"]


def test_a_database_that_is_away_is_told_as_such(ask: Ask, orthanc: StubOrthanc) -> None:
    orthanc.answers["/changes?last"] = 503

    finding = only_finding(ask())

    assert finding["check"] == "database"
    assert "HTTP 503" in finding["cause"]
    assert "PostgreSQL is away" in finding["remedy"]


def test_each_plugin_that_is_missing_is_named(ask: Ask) -> None:
    answer = ask(plugins=["python", "dicom-web", "gdcm"])

    assert [finding["cause"] for finding in answer["findings"]] == [
        "The plugin dicom-web is not loaded.",
        "The plugin gdcm is not loaded.",
    ]
    assert answer["failed"]


def test_another_orthanc_at_the_address_is_noticed_by_its_title(ask: Ask) -> None:
    finding = only_finding(ask(aet="DISK"))

    assert finding["check"] == "aet"
    assert "ANON, not DISK" in finding["cause"]


def test_everything_that_is_wrong_is_told_at_once(ask: Ask, orthanc: StubOrthanc) -> None:
    orthanc.answers["/changes?last"] = 500

    answer = ask(aet="DISK", plugins=["gdcm"])

    assert [finding["check"] for finding in answer["findings"]] == ["database", "plugins", "aet"]


def test_nothing_at_the_address_is_unreachable(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = ask(url=f"https://127.0.0.1:{free.getsockname()[1]}")

    assert answer["state"] == "unreachable"
    assert "cannot be reached" in only_finding(answer)["cause"]


def test_a_port_that_takes_connections_and_says_nothing_does_not_hang_the_module(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = ask(url=f"https://127.0.0.1:{silent.getsockname()[1]}")

    assert answer["state"] in {"unhealthy", "unreachable"}
    assert "no answer within 1 s" in only_finding(answer)["cause"]


def test_a_certificate_of_another_authority_is_not_trusted(ask: Ask) -> None:
    answer = ask(ca_path="/etc/ssl/certs/ca-certificates.crt")

    assert answer["state"] == "unreachable"
    assert "certificate verify failed" in only_finding(answer)["cause"].lower()


def test_something_else_that_answers_is_no_orthanc(ask: Ask, orthanc: StubOrthanc) -> None:
    orthanc.answers["/system"] = b"<html>Welcome</html>"

    answer = ask()

    assert answer["state"] == "unhealthy"
    assert "other than JSON" in only_finding(answer)["cause"]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"success": "2020-01-31T12:17:00+00:00", "error": ""}, "hours old; 3 are allowed"),
        ({"success": "", "error": ""}, "No backup has succeeded yet"),
        (
            {"success": "2999-01-31T12:17:00+00:00", "error": "orthanc-phi-db is not running."},
            "The last backup failed: orthanc-phi-db is not running.",
        ),
        ("not what the program writes", "cannot be read"),
        (None, "is not there"),
    ],
)
def test_a_backup_that_failed_or_is_overdue_is_a_warning(
    ask: Ask, tmp_path: Path, state: object, told: str
) -> None:
    if state is not None:
        (tmp_path / "state.json").write_text(json.dumps(state))

    answer = ask(backup_state=str(tmp_path / "state.json"))

    (finding,) = answer["findings"]
    assert answer["state"] == "healthy"
    assert (finding["check"], finding["severity"]) == ("backup", "warning")
    assert told in finding["cause"]


def test_a_backup_as_it_should_be_is_no_finding(ask: Ask, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    (tmp_path / "state.json").write_text(json.dumps({"success": now, "error": ""}))

    assert ask(backup_state=str(tmp_path / "state.json"))["findings"] == []
