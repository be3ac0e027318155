# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew a certificate in time, with the key and the names that it has."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from orthanc_certificates import openssl
from orthanc_certificates.config import Certificate, Config
from orthanc_certificates.errors import CertificateError


def needs_renewal(config: Config, certificate: Certificate) -> bool:
    """Tell whether a certificate ends so soon that it is renewed."""
    left = openssl.end_of(_file(config, certificate, "crt")) - datetime.now(timezone.utc)
    return left < timedelta(seconds=config.renew_before)


def renew(config: Config, certificate: Certificate) -> None:
    """Put a new certificate where the server looks for it.

    Raises:
        CertificateError: The authority is on another host, or something is missing.
    """
    end = openssl.end_of(_file(config, certificate, "crt"))
    if config.authority is None:
        raise CertificateError(
            f"The certificate {certificate.name} of {config.name} ends at {end:%Y-%m-%d %H:%M} UTC,"
            " and the site's authority is on another host: run playbooks/renew_certificates.yml."
        )
    request, key = _file(config, certificate, "csr"), _file(config, certificate, "key")
    signed = openssl.sign(request, config.authority, config.days)
    openssl.verify(signed, config.authority)
    _replace(_file(config, certificate, "crt"), signed, 0o444, like=None)
    # The order in which the role joins them.
    both = signed + key.read_text(encoding="ascii")
    server = certificate.place / "server.pem"
    _replace(server, both, 0o400, like=server)


def authority_complaint(config: Config) -> str:
    """Return what is wrong with the authority's own certificate, or nothing.

    It must outlive what it signs, so it is renewed a year and more before its end.
    """
    if config.authority is None:
        return ""
    end = openssl.end_of(config.authority / "ca.crt")
    if end - datetime.now(timezone.utc) > timedelta(days=config.days + 30):
        return ""
    return (
        f"The certificate of the site's authority ends at {end:%Y-%m-%d} and would soon end before "
        "those that it signs: run playbooks/renew_certificates.yml -e renew_authority=true."
    )


def _file(config: Config, certificate: Certificate, suffix: str) -> Path:
    return config.tls / f"{certificate.name}.{suffix}"


def _replace(path: Path, text: str, mode: int, like: Path | None) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if like is not None:
        owner = like.stat()
        shutil.chown(temporary, owner.st_uid, owner.st_gid)
    temporary.chmod(mode)
    temporary.replace(path)
