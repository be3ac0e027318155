# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a server take the certificate that lies in its place, and no other server do anything."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from orthanc_certificates import openssl
from orthanc_certificates.config import Certificate

LOADED = "SELECT floor(extract(epoch FROM pg_conf_load_time()))"


def follow(certificate: Certificate) -> str:
    """Restart or reload a server that serves an older certificate; say so, or return nothing."""
    if not _is_running(certificate) or _serves_it(certificate):
        return ""
    if certificate.follow == ("restart",):
        _docker(certificate, "restart", "-t", "60", certificate.container)
        return f"{certificate.container} was restarted with its new certificate."
    if certificate.follow == ("reload",):
        _docker(certificate, "kill", "--signal", "HUP", certificate.container)
        return f"{certificate.container} has read its new certificate."
    openssl.run(f"{certificate.name} cannot be reloaded", *certificate.follow)
    return f"{certificate.name} has read its new certificate."


def _is_running(certificate: Certificate) -> bool:
    if not certificate.container:
        return True
    form = "name=^{}$".format(certificate.container.replace(".", "[.]"))
    return bool(_docker(certificate, "ps", "--quiet", "--filter", form).strip())


def _serves_it(certificate: Certificate) -> bool:
    file = certificate.place / "server.pem"
    if certificate.served_at is None:
        psql = ("psql", "-XAtq", "-U", "postgres", "-c", LOADED)
        return int(_docker(certificate, "exec", certificate.container, *psql)) >= _written(file)
    try:
        return _served(*certificate.served_at) == ssl.PEM_cert_to_DER_cert(_first(file))
    except OSError:  # it does not answer, and nothing shows that it has the new one
        return False


def _served(address: str, port: int, name: str) -> bytes | None:
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, port), timeout=10) as connection,
        anyone.wrap_socket(connection, server_hostname=name) as tls,
    ):
        return tls.getpeercert(binary_form=True)


def _first(file: Path) -> str:
    end = ssl.PEM_FOOTER
    text = file.read_text(encoding="ascii")
    return text[text.index(ssl.PEM_HEADER) : text.index(end) + len(end)]


def _written(file: Path) -> int:
    return int(file.stat().st_mtime)


def _docker(certificate: Certificate, *arguments: str) -> str:
    return openssl.run(f"{certificate.container} cannot be asked", "docker", *arguments)
