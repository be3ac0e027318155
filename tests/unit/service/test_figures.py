# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures that people and monitoring look at, from a real database and real servers."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.events import now
from orthanc_deid.figures import Figures, Server
from orthanc_deid.heartbeat import Heartbeat
from orthanc_deid.states import State

from .test_subjects import send_out


@pytest.fixture
def crosswalk(database: sa.URL) -> Iterator[Crosswalk]:
    opened = Crosswalk(database, base_name="DEMO")
    yield opened
    opened.close()


def execute(crosswalk: Crosswalk, statement: str) -> None:
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_studies_are_counted_by_state_and_by_what_they_wait_for(crosswalk: Crosswalk) -> None:
    send_out(crosswalk, "MRN-1")
    for number in range(3):
        crosswalk.studies.move(crosswalk.studies.add(orthanc_id=f"s-{number}").id, State.QUEUED)
    crosswalk.studies.move(3, State.WORKING)
    crosswalk.studies.set_delivery(2, "anon", error="Anon cannot be reached")
    execute(crosswalk, "UPDATE studies SET attempts = 2 WHERE id = 2")
    execute(crosswalk, "UPDATE studies SET updated_at = now() - interval '1 hour' WHERE id = 4")
    found = Figures(crosswalk.engine, "UTC").now()
    assert {name: count for name, count in found["studies"].items() if count} == {
        "delivered": 1,
        "queued": 2,
        "working": 1,
    }
    oldest = found["queue"].pop("oldest_seconds")
    assert 3600 <= oldest < 3700
    assert found["queue"] == {"length": 3, "running": 1, "tried_again": 1}
    (waiting,) = found["destinations"]
    assert (waiting["destination"], waiting["waiting"], waiting["error"]) == (
        "anon",
        1,
        "Anon cannot be reached",
    )


def test_an_empty_crosswalk_has_figures_too(crosswalk: Crosswalk, tmp_path: Path) -> None:
    figures = Figures(crosswalk.engine, "UTC", backup_state=tmp_path / "none", storage=tmp_path)
    found = figures.now()
    assert found["queue"]["oldest_seconds"] is None
    assert found["workers"] == found["certificates"] == found["destinations"] == []
    assert found["backup"] == {"attempt": "", "success": "", "error": "", "known": False}
    assert figures.history() == {"zone": "UTC", "days": [], "hours": [], "ages": []}


def test_a_day_is_one_of_the_sites_zone(crosswalk: Crosswalk) -> None:
    send_out(crosswalk, "MRN-1")
    crosswalk.studies.set_delivery(1, "anon", instances=3)
    late = (now() - dt.timedelta(days=2)).replace(hour=3, minute=30)
    moment = late.isoformat()
    execute(crosswalk, f"UPDATE deliveries SET delivered_at = '{moment}'")
    execute(
        crosswalk,
        f"UPDATE studies SET delivered_at = '{moment}',"
        f" created_at = '{(late - dt.timedelta(minutes=10)).isoformat()}'",
    )
    there, here = (
        Figures(crosswalk.engine, zone).history() for zone in ("America/New_York", "UTC")
    )
    day = late.date()
    before = (day - dt.timedelta(days=1)).isoformat()
    assert there["days"] == [{"day": before, "destination": "anon", "studies": 1}]
    assert here["days"] == [{"day": day.isoformat(), "destination": "anon", "studies": 1}]
    assert here["ages"] == [{"day": day.isoformat(), "median": 600.0, "most": 600.0}]
    execute(crosswalk, "UPDATE studies SET delivered_at = now()")
    (hour,) = Figures(crosswalk.engine, "UTC").history()["hours"]
    assert hour["studies"] == 1


def test_workers_are_alive_as_long_as_they_say_so(crosswalk: Crosswalk, tmp_path: Path) -> None:
    figures = Figures(crosswalk.engine, "UTC", storage=tmp_path / "none")
    heartbeats = [Heartbeat(crosswalk.engine, tmp_path, name) for name in ("w1", "w2", "w3")]
    for heartbeat in heartbeats:
        heartbeat.beat()
    heartbeats[0].beat()
    execute(
        crosswalk, "UPDATE workers SET beat_at = now() - interval '2 minutes' WHERE name = 'w2'"
    )
    heartbeats[2].end()
    found = figures.now()
    assert [(row["name"], row["alive"]) for row in found["workers"]] == [
        ("w1", True),
        ("w2", False),
    ]
    assert [disk["name"] for disk in found["disks"]] == ["spool of w1", "spool of w2"]
    assert 0 < found["disks"][0]["free"] <= found["disks"][0]["total"]
    execute(crosswalk, "UPDATE workers SET beat_at = now() - interval '8 days' WHERE name = 'w2'")
    heartbeats[0].beat()
    assert [row["name"] for row in figures.now()["workers"]] == ["w1"]


def test_the_backup_is_told_as_its_program_tells_it(crosswalk: Crosswalk, tmp_path: Path) -> None:
    told = {"attempt": "2026-01-02T00:00:00+00:00", "success": "2026-01-01T00:00:00+00:00"}
    state = tmp_path / "backup.json"
    state.write_text(json.dumps({**told, "error": "the disk is full", "backup": "x"}))
    found = Figures(crosswalk.engine, "UTC", backup_state=state).now()["backup"]
    assert found == {**told, "error": "the disk is full", "known": True}
    state.write_text("{")
    assert not Figures(crosswalk.engine, "UTC", backup_state=state).now()["backup"]["known"]


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Server]:
    """A server whose certificate is good for ten more days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - dt.timedelta(days=1))
        .not_valid_after(now() + dt.timedelta(days=10, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, private = tmp_path / "ca.crt", tmp_path / "key.pem"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, private)
    with socket.create_server(("localhost", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with connection, context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield Server("anon", f"https://localhost:{listening.getsockname()[1]}", ca)
        listening.shutdown(socket.SHUT_RDWR)


def test_certificates_tell_how_many_days_they_are_good(
    tls_server: Server, crosswalk: Crosswalk
) -> None:
    nobody = Server("disk", "https://localhost:9", tls_server.ca)
    found = Figures(crosswalk.engine, "UTC", [tls_server, nobody]).now()["certificates"]
    assert found[0] == {"name": "anon", "days": 10, "problem": ""}
    assert (found[1]["days"], "cannot be reached" in found[1]["problem"]) == (None, True)


def test_a_certificate_of_somebody_else_is_a_problem(
    tls_server: Server, crosswalk: Crosswalk
) -> None:
    stranger = Server("anon", tls_server.url, Path(ssl.get_default_verify_paths().openssl_cafile))
    (found,) = Figures(crosswalk.engine, "UTC", [stranger]).now()["certificates"]
    assert found["days"] is None
    assert found["problem"]
