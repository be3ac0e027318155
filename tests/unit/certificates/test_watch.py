# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily watch: what ends soon is renewed with openssl, and a real TLS server is compared."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orthanc_certificates import openssl
from orthanc_certificates.cli import main


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


class Site:
    """An authority, one certificate of it, and a server that serves what it read at its start."""

    def __init__(self, home: Path) -> None:
        self.home, self.reloads = home, home / "reloads"
        self.authority, self.tls, self.place = home / "ca", home / "tls", home / "place"
        for directory in (self.authority, self.tls, self.place):
            directory.mkdir()
        self.make_authority(7300)
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout",
            self.tls / "apache.key", "-out", self.tls / "apache.csr", "-subj", "/CN=gateway",
            "-addext", "subjectAltName=DNS:gateway,IP:192.0.2.1")  # fmt: skip
        self.sign(days=397)
        self.port = self.serve()

    def make_authority(self, days: int) -> None:
        key = self.authority / "ca.key"
        if not key.exists():
            run("openssl", "ecparam", "-genkey", "-name", "secp384r1", "-noout", "-out", key)
        run("openssl", "req", "-x509", "-new", "-key", key, "-days", str(days), "-subj",
            "/O=Example/CN=CA", "-out", self.authority / "ca.crt")  # fmt: skip

    def sign(self, days: int) -> None:
        text = openssl.sign(self.tls / "apache.csr", self.authority, days)
        (self.tls / "apache.crt").write_text(text)
        (self.place / "server.pem").write_text(text + (self.tls / "apache.key").read_text())

    def serve(self) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.place / "server.pem")
        self.listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                try:
                    connection, _ = self.listener.accept()
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)
                except OSError:
                    if self.listener.fileno() < 0:
                        return

        threading.Thread(target=answer, daemon=True).start()
        return int(self.listener.getsockname()[1])

    def watch(self, *, here: bool = True, days: int = 397, command: str = "watch") -> int:
        config = self.home / "config.json"
        config.write_text(json.dumps({
            "name": "orthanc", "tls": str(self.tls), "days": days,
            "authority": str(self.authority) if here else "",
            "certificates": [{
                "name": "apache", "place": str(self.place), "container": "",
                "follow": ["tee", "-a", str(self.reloads)],
                "served_at": ["127.0.0.1", self.port, "gateway"],
            }],
        }))  # fmt: skip
        return main(["--config", str(config), command])

    def ends_in(self) -> timedelta:
        return openssl.end_of(self.tls / "apache.crt") - datetime.now(UTC)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.listener.close()


def test_a_certificate_that_is_young_stays_and_its_server_is_left_alone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (site.tls / "apache.crt").read_text()

    assert site.watch() == 0
    assert (site.tls / "apache.crt").read_text() == before
    assert not site.reloads.exists()
    assert capsys.readouterr().out == ""


def test_a_certificate_that_ends_soon_is_renewed_with_key_and_names_and_followed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.sign(days=29)

    assert site.watch() == 0
    assert site.ends_in() > timedelta(days=396)
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", str(site.tls / "apache.crt")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:gateway, IP Address:192.0.2.1" in told
    run("openssl", "verify", "-CAfile", site.authority / "ca.crt", site.tls / "apache.crt")
    pem = (site.place / "server.pem").read_text()
    assert pem.startswith((site.tls / "apache.crt").read_text())
    assert pem.endswith((site.tls / "apache.key").read_text())
    assert (site.place / "server.pem").stat().st_mode & 0o777 == 0o400
    assert site.reloads.exists()
    assert "was renewed" in capsys.readouterr().out


def test_a_short_lived_one_is_renewed_in_its_last_third(site: Site) -> None:
    site.sign(days=2)
    assert site.watch(days=3) == 0
    assert site.ends_in() < timedelta(days=2)  # two of three days are left: not yet

    assert site.watch(days=9) == 0  # of nine, these are the last
    assert site.ends_in() > timedelta(days=8)


def test_where_the_authority_is_elsewhere_a_person_is_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.sign(days=3)

    assert site.watch(here=False) == 1
    assert "run playbooks/renew_certificates.yml" in capsys.readouterr().err
    assert site.ends_in() < timedelta(days=3)


def test_a_server_that_missed_the_renewal_is_made_to_follow(site: Site) -> None:
    site.sign(days=300)  # in its place, and nobody told the server

    assert site.watch(command="follow") == 0
    assert site.reloads.exists()


def test_an_authority_that_would_end_before_what_it_signs_is_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.make_authority(days=400)

    assert site.watch() == 1
    assert "-e renew_authority=true" in capsys.readouterr().err


def test_a_file_that_is_gone_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.tls / "apache.crt").unlink()

    assert site.watch() == 1
    assert str(site.tls / "apache.crt") in capsys.readouterr().err
