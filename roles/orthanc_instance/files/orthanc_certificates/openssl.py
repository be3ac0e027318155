# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the programs openssl and docker."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path
from shutil import which

from orthanc_certificates.errors import CertificateError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the role's own signing adds, so that it finds nothing to change.
EXTENSIONS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"


def run(what: str, *command: str, given: str = "") -> str:
    """Run a program and return what it prints.

    Raises:
        CertificateError: It is not there or fails.
    """
    found = which(command[0], path=PATH)
    if not found:
        raise CertificateError(f"{what}: this host has no program {command[0]}.")
    done = subprocess.run(
        [found, *command[1:]], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise CertificateError(f"{what}: {last}")
    return done.stdout


def end_of(certificate: Path) -> datetime:
    """Return when a certificate ends."""
    told = run(
        f"{certificate} cannot be read", "openssl", "x509", "-noout", "-enddate", "-in",
        str(certificate),
    )  # fmt: skip
    text = told.strip().partition("=")[2]
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)


def sign(request: Path, authority: Path, days: int) -> str:
    """Return a certificate for a request, with the names that it asks for."""
    extensions = authority / ".extensions"
    extensions.write_text(EXTENSIONS, encoding="ascii")
    try:
        return run(
            f"{request} cannot be signed", "openssl", "x509", "-req", "-in", str(request),
            "-CA", str(authority / "ca.crt"), "-CAkey", str(authority / "ca.key"),
            "-days", str(days), "-sha256", "-copy_extensions", "copyall",
            "-extfile", str(extensions),
        )  # fmt: skip
    finally:
        extensions.unlink()


def verify(certificate: str, authority: Path) -> None:
    """See that the site's authority signed a certificate.

    Raises:
        CertificateError: It did not.
    """
    run(
        "The new certificate is not the authority's", "openssl", "verify", "-CAfile",
        str(authority / "ca.crt"), given=certificate,
    )  # fmt: skip
