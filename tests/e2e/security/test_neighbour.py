# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine in the same network tries, without any account."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import product

import httpx
import pytest
from network_neighbour import HOST, connects, neighbour

import deployed
from deployed import CONFIG, DICOM_PORT, FRONT, PORTS

NEIGHBOUR = "a neighbour in the network"
BRIDGE = "172.17.0.1"
# What Orthanc and its images once came with, and what people choose.
GUESSES = [
    ("orthanc", "orthanc"),
    ("administrator", "administrator"),
    ("administrator", ""),
    ("admin", "admin"),
    ("demo", "demo"),
    ("service", "service"),
]


@pytest.fixture(scope="module")
def start() -> Iterator[list[str]]:
    with neighbour() as command:
        yield command


def curl(start: list[str], *arguments: str) -> str:
    """Return the status of a request to Anon, or what went wrong."""
    done = subprocess.run(
        [*start, "curl", "--silent", "--show-error", "--max-time", "10", "--output", "/dev/null",
         "--write-out", "%{http_code}", "--cacert", str(CONFIG / "ca/ca.crt"), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.attack(
    NEIGHBOUR,
    "reaches the ports of PHI and of Apache",
    "they are bound to the addresses that the inventory names",
)
def test_ports_are_open_where_the_inventory_says(start: list[str]) -> None:
    # Anon is bound to this address for the workers, so that the way itself is there.
    assert connects(start, BRIDGE, PORTS["anon"])
    for address, port in product((HOST, BRIDGE), (PORTS["phi"], DICOM_PORT, FRONT)):
        assert not connects(start, address, port), (address, port)
    assert not connects(start, HOST, PORTS["anon"])


@pytest.mark.attack(
    NEIGHBOUR,
    "goes by a route to the own addresses of databases and workers",
    "Docker forwards to published ports only",
)
def test_a_route_to_a_database_leads_nowhere(start: list[str]) -> None:
    for container in deployed.CONTAINERS:
        (network,) = deployed.inspect(container)["NetworkSettings"]["Networks"].values()
        for port in (5432, 80):
            assert not connects(start, network["IPAddress"], port), (container, port)


@pytest.mark.attack(
    NEIGHBOUR,
    "asks Anon without a password, or with those that people choose",
    "passwords are random; 401 on every route",
)
def test_no_password_can_be_guessed(start: list[str]) -> None:
    url = f"https://{BRIDGE}:{PORTS['anon']}"
    paths = ("/", "/system", "/studies", "/app/explorer.html", "/dicom-web/studies", "/no/such")
    assert {curl(start, url + path) for path in paths} == {"401"}
    assert {curl(start, "--user", ":".join(one), url + "/system") for one in GUESSES} == {"401"}
    good = f"viewer:{deployed.secret('anon', 'viewer')}"
    assert curl(start, "--user", good, url + "/system") == "200"


@pytest.mark.attack(
    NEIGHBOUR, "speaks HTTP, or TLS 1.1, to listen later", "TLS 1.2 or newer on every port"
)
def test_every_port_speaks_modern_tls_only(start: list[str]) -> None:
    database = deployed.inspect("e2e-phi-db")["NetworkSettings"]["Networks"]["e2e-phi"]
    ports = [
        (BRIDGE, PORTS["anon"], start, []),
        (BRIDGE, PORTS["disk"], start, []),
        ("127.0.0.1", PORTS["phi"], [], []),
        ("127.0.0.1", FRONT, [], []),
        (database["IPAddress"], 5432, [], ["-starttls", "postgres"]),
    ]
    for address, port, command, options in ports:
        assert handshake(command, address, port, *options, "-tls1_2"), (address, port)
        for old in ("-tls1", "-tls1_1"):
            assert not handshake(command, address, port, *options, old), (address, port, old)
    for kind in ("anon", "disk"):
        assert curl(start, f"http://{BRIDGE}:{PORTS[kind]}/system") != "200"


def handshake(start: list[str], address: str, port: int, *options: str) -> bool:
    done = subprocess.run(
        [*start, "openssl", "s_client", "-connect", f"{address}:{port}",
         "-cipher", "ALL:@SECLEVEL=0", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return "BEGIN CERTIFICATE" in done.stdout


@pytest.mark.attack(
    NEIGHBOUR, "stands in for an Orthanc", "the site's own authority; certificates are verified"
)
def test_another_authoritys_word_counts_for_nothing() -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://localhost:{PORTS['anon']}/system")


@pytest.mark.attack(
    NEIGHBOUR,
    "calls the DICOM port with a title that nobody has, or calls another",
    "only known nodes may associate, and only by Orthanc's own title",
)
@pytest.mark.parametrize(
    ("calling", "called"), [("STRANGER", "PHI"), ("SCANNER", "OTHER"), ("", "PHI")]
)
def test_a_stranger_has_no_association(calling: str, called: str) -> None:
    def echo(calling: str, called: str) -> int:
        return subprocess.run(
            ["/usr/bin/echoscu", "-to", "5", "-aet", calling, "-aec", called,
             "127.0.0.1", str(DICOM_PORT)],
            capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert echo("SCANNER", "PHI") == 0
    assert echo(calling, called) != 0


@pytest.mark.attack(
    NEIGHBOUR,
    "queries and retrieves as the scanner does, which may only store",
    "what a node may ask is listed; all else is refused",
)
@pytest.mark.parametrize("program", ["findscu", "getscu", "movescu"])
def test_a_scanner_cannot_ask_for_patients(program: str) -> None:
    destination = ["-aem", "SCANNER"] if program == "movescu" else []
    done = subprocess.run(
        [f"/usr/bin/{program}", "-v", "-to", "5", "-S", *destination,
         "-aet", "SCANNER", "-aec", "PHI",
         "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*", "-k", "StudyInstanceUID=*",
         "127.0.0.1", str(DICOM_PORT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr

    assert "Pending" not in told, told
    assert "(Success)" not in told or "Failure" in told or done.returncode, told
