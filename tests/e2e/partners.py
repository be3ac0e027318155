"""Servers of others that the tests' site delivers to: real Orthancs, and an authority of their own.

They stand on this machine, and the site's containers reach them by Docker's own bridge.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import deployed

ADDRESS = "172.17.0.1"
PASSWORD = "Partner0Secret"
SETTINGS: dict[str, Any] = {
    "StorageDirectory": "/var/lib/orthanc",
    "RemoteAccessAllowed": True,
    "AuthenticationEnabled": True,
    "RegisteredUsers": {"partner": PASSWORD},
    "SslEnabled": True,
    "SslCertificate": "/etc/orthanc/server.pem",
    "DicomAet": "PARTNER",
    "DicomCheckCalledAet": True,
    "OverwriteInstances": True,
}


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a directory, and what it signs there."""

    directory: Path

    @property
    def certificate(self) -> str:
        """The authority's own certificate as PEM."""
        return (self.directory / "ca.crt").read_text()

    def sign(self, name: str) -> tuple[str, str]:
        """Return certificate and key of a name, valid for this machine, as PEM."""
        made = self.directory / name
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{made}.key",
                 "-out", f"{made}.csr", "-subj", f"/CN={name}")  # fmt: skip
        (self.directory / "extensions").write_text(
            f"subjectAltName=IP:{ADDRESS},IP:127.0.0.1,DNS:localhost\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            # Without these two Python 3.13 refuses a certificate.
            "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        _openssl("x509", "-req", "-in", f"{made}.csr", "-CA", f"{self.directory}/ca.crt",
                 "-CAkey", f"{self.directory}/ca.key", "-CAcreateserial", "-days", "30",
                 "-out", f"{made}.crt", "-extfile", f"{self.directory}/extensions")  # fmt: skip
        return Path(f"{made}.crt").read_text(), Path(f"{made}.key").read_text()


def make_authority(directory: Path, name: str = "partner-ca") -> Authority:
    """Make a certificate authority."""
    directory.mkdir(parents=True, exist_ok=True)
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{directory}/ca.key",
             "-out", f"{directory}/ca.crt", "-days", "30", "-subj", f"/CN={name}",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    return Authority(directory)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Partner:
    """An Orthanc of somebody else; `http_port` and `dicom_port` are open on this machine."""

    name: str
    http_port: int
    dicom_port: int
    ca: Path
    client: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        """Its address for the site's containers."""
        return f"https://{ADDRESS}:{self.http_port}"

    def files(self) -> list[bytes]:
        """Return every file that it holds."""
        return [
            self.client.get(f"/instances/{one}/file").raise_for_status().content
            for one in self.client.get("/instances").raise_for_status().json()
        ]

    def clear(self) -> None:
        """Delete everything that it holds."""
        for study in self.client.get("/studies").raise_for_status().json():
            self.client.delete(f"/studies/{study}").raise_for_status()

    def stop(self) -> None:
        """Stop it as its operator would."""
        deployed.docker("stop", "--time", "5", self.name)

    def start(self) -> None:
        """Start it again."""
        deployed.docker("start", self.name)
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deployed.wait_for(f"{self.name} answers", lambda: self.client.get("/system").is_success, 60)


def image() -> str:
    """Return the image of Orthanc that the site's playbook has built."""
    listed = deployed.docker("images", "imaging-orthanc/orthanc", "--format", "{{.ID}}")
    return listed.splitlines()[0]


@contextmanager
def running(
    name: str,
    directory: Path,
    authority: Authority,
    ports: tuple[int, int],
    *,
    settings: dict[str, Any] | None = None,
    trusted: str = "",
) -> Iterator[Partner]:
    """Run an Orthanc with these settings beside the common ones; its container is removed.

    `authorities.crt` in its configuration holds its authority and the `trusted` ones.
    """
    certificate, key = authority.sign(name)
    directory.mkdir(parents=True)
    (directory / "server.pem").write_text(certificate + key)
    (directory / "ca.crt").write_text(authority.certificate)
    (directory / "authorities.crt").write_text(authority.certificate + trusted)
    merged = {"Name": name, **SETTINGS, **(settings or {})}
    (directory / "orthanc.json").write_text(json.dumps(merged))
    subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False, capture_output=True)
    deployed.docker(
        "run", "--detach", "--name", name, "--user", "0:0", "--entrypoint", "Orthanc",
        "--publish", f"{ADDRESS}:{ports[0]}:8042", "--publish", f"127.0.0.1:{ports[0]}:8042",
        "--publish", f"{ADDRESS}:{ports[1]}:4242", "--publish", f"127.0.0.1:{ports[1]}:4242",
        "--volume", "/var/lib/orthanc",
        "--volume", f"{directory}:/etc/orthanc:ro", image(), "/etc/orthanc/orthanc.json",
    )  # fmt: skip
    client = httpx.Client(
        base_url=f"https://localhost:{ports[0]}",
        auth=("partner", PASSWORD),
        verify=str(directory / "ca.crt"),
        timeout=30,
    )
    partner = Partner(name, *ports, directory / "ca.crt", client)
    try:
        partner.wait()
        yield partner
    finally:
        client.close()
        deployed.docker("rm", "--force", "--volumes", name)
