# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says about the certificates of one part of the site. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthanc_certificates.errors import CertificateError


@dataclass(frozen=True)
class Certificate:
    """One certificate, and who serves it.

    Attributes:
        name: the name of its files in the directory ``tls``: key, request and certificate.
        place: the directory in which the server finds ``server.pem``, certificate and key in one.
        follow: how the server comes to serve it: ``restart`` and ``reload`` are of the container
            (of an Orthanc and of a PostgreSQL), otherwise it is the command to run.
        served_at: address, port and name of its server; none for PostgreSQL.
    """

    name: str
    place: Path
    container: str
    follow: tuple[str, ...]
    served_at: tuple[str, int, str] | None


@dataclass(frozen=True)
class Config:
    """The certificates of one part of the site.

    Attributes:
        tls: the directory of keys, requests and certificates.
        authority: the directory of the site's authority, where it is on this host.
        days: how long a new certificate is valid.
    """

    name: str
    tls: Path
    authority: Path | None
    days: int
    certificates: tuple[Certificate, ...]

    @property
    def renew_before(self) -> int:
        """The seconds before its end in which a certificate is renewed: 30 days, or a third."""
        return min(30 * 86400, self.days * 86400 // 3)


def read_config(path: Path) -> Config:
    """Read the settings that the role wrote.

    Raises:
        CertificateError: The file is missing or is not what the role writes.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            name=told["name"],
            tls=Path(told["tls"]),
            authority=Path(told["authority"]) if told["authority"] else None,
            days=int(told["days"]),
            certificates=tuple(_certificate(item) for item in told["certificates"]),
        )
    except OSError as error:
        raise CertificateError(f"{path} cannot be read ({error.strerror}): run site.yml.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CertificateError(
            f"{path} is not what the role writes ({type(error).__name__}): run site.yml."
        ) from None


def _certificate(told: dict[str, Any]) -> Certificate:
    address, port, name = told["served_at"] or ("", 0, "")
    return Certificate(
        name=told["name"],
        place=Path(told["place"]),
        container=told["container"],
        follow=tuple(told["follow"]),
        served_at=(address, int(port), name) if address else None,
    )
