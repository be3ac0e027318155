# SPDX-License-Identifier: GPL-3.0-or-later
"""What another user of the host tries, who is neither root nor in the group docker.

tests/network has how the firewall keeps this user from the ports.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import deployed
from deployed import CONFIG, PORTS

LOCAL = "another user of the host"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NOBODY, "env", "HOME=/nonexistent", *command],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def secrets() -> list[str]:
    found = [path.read_text().strip() for path in CONFIG.glob("*/secrets/**/*") if path.is_file()]
    return [secret for secret in found if len(secret) < 200]


@pytest.mark.attack(
    LOCAL,
    "reads configuration, secrets, keys, images, databases, the tree and backups",
    "owners and modes",
)
@pytest.mark.parametrize(
    "top", [CONFIG, Path("/srv/orthanc-e2e"), Path("/var/backups/orthanc-e2e")]
)
def test_no_file_of_the_site_tells_anything(top: Path) -> None:
    known = secrets()
    assert len(known) > 20
    found = as_nobody("find", str(top), "-type", "f", "-readable").stdout.splitlines()
    public = [path for path in found if Path(path).suffix not in {".crt", ".asis"}]
    told = as_nobody("cat", *public).stdout if public else ""

    assert not [secret for secret in known if secret in told]
    assert not [path for path in found if "/srv/" in path or "/var/backups/" in path]
    assert not [path for path in found if path.endswith((".key", ".pem", "orthanc.json"))]


def processes(container: str) -> list[str]:
    """Return a container's first process, and where that is an init the one that it runs."""
    told = deployed.inspect(container)
    first = str(told["State"]["Pid"])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *(children[:1] if told["HostConfig"].get("Init") else [])]


@pytest.mark.attack(
    LOCAL,
    "reads the processes: arguments, environment, open files, memory",
    "no secret is an argument or in an environment; the kernel keeps the rest",
)
def test_no_process_tells_a_secret() -> None:
    known = secrets()
    for pid in [pid for name in deployed.CONTAINERS for pid in processes(name)]:
        arguments = as_nobody("cat", f"/proc/{pid}/cmdline").stdout
        assert arguments
        assert not [secret for secret in known if secret in arguments]
        for name in ("environ", "mem", "maps", "root/etc/orthanc/orthanc.json", "fd/0", "cwd/"):
            assert as_nobody("head", "-c1", f"/proc/{pid}/{name}").returncode, (pid, name)
        # Nor would the environment help.
        environment = Path(f"/proc/{pid}/environ").read_text()
        assert not [secret for secret in known if secret in environment]


@pytest.mark.attack(
    LOCAL, "tells Docker to run something as root", "the socket is root's and its group's"
)
def test_docker_does_not_listen_to_others() -> None:
    done = as_nobody("docker", "ps")

    assert done.returncode
    assert "permission denied" in done.stderr.lower()


@pytest.mark.attack(
    LOCAL, "stops, traces or signals the containers' processes", "they are other users'"
)
def test_nobody_else_ends_a_process() -> None:
    pid = str(deployed.inspect("e2e-phi")["State"]["Pid"])

    assert as_nobody("kill", "-TERM", pid).returncode
    assert deployed.inspect("e2e-phi")["State"]["Pid"] == int(pid)


@pytest.mark.attack(
    LOCAL,
    "asks the HTTPS ports without a password, or with headers that name a user",
    "401; with the firewall the port is closed to this user",
)
@pytest.mark.parametrize("port", PORTS.values())
def test_a_port_without_a_password_tells_nothing(port: int) -> None:
    for header in ("X-Remote-User: adam", "Authorization: Basic", "X-Forwarded-For: 127.0.0.1"):
        done = as_nobody(
            "curl", "--silent", "--cacert", str(CONFIG / "apache/tls/ca.crt"), "--insecure",
            "--header", header, "--output", "/dev/null", "--write-out", "%{http_code}",
            f"https://localhost:{port}/studies",
        )  # fmt: skip
        assert done.stdout == "401", header


@pytest.mark.attack(
    LOCAL,
    "connects to the databases by the bridge's address",
    "TLS and SCRAM passwords only; no account without one",
)
@pytest.mark.parametrize("user", ["postgres", "orthanc", "philookup", "philookup_owner"])
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_no_database_lets_anybody_in_without_a_password(user: str, mode: str) -> None:
    (network,) = deployed.inspect("e2e-phi-db")["NetworkSettings"]["Networks"].values()
    done = as_nobody(
        "psql", "-XAtw", "-c", "select 1",
        f"host={network['IPAddress']} user={user} dbname=philookup sslmode={mode}"
        " connect_timeout=5",
    )  # fmt: skip

    assert done.returncode
    assert "no password supplied" in done.stderr or "no pg_hba.conf entry" in done.stderr


@pytest.mark.attack(
    LOCAL, "reads what Apache knows, or makes itself a user there", "owners and modes"
)
def test_apaches_files_are_closed() -> None:
    for path in ("users", "current/secrets.inc", "secrets/session", "tls/apache.key"):
        assert as_nobody("cat", str(CONFIG / "apache" / path)).returncode, path
    assert as_nobody("sh", "-c", f"echo x >>{CONFIG}/apache/users").returncode
