# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client needs to speak TLS: whom it trusts, and what it shows of itself."""

from __future__ import annotations

import ssl
import tempfile

PEM = "-----BEGIN "


def client_context(ca: str, identity: str = "", *, check_host: bool = True) -> ssl.SSLContext:
    """Return the context of a client, for TLS 1.2 and later; the peer is always verified.

    Args:
        ca: the authorities to trust, as PEM or as the path of a file of PEM.
        identity: certificate and key of this side as PEM; empty shows none.
        check_host: whether the peer's certificate must be one of the name that is called.

    Raises:
        OSError: a file cannot be read, or the text is no certificate, no key, or no pair
            (`ssl.SSLError` is one).
    """
    context = (
        ssl.create_default_context(cadata=ca)
        if PEM in ca
        else ssl.create_default_context(cafile=ca)
    )
    context.check_hostname = check_host
    if identity:
        # Python's ssl reads a key from files only; this one has mode 0600 and is gone at once.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(identity)
            file.flush()
            context.load_cert_chain(file.name)
    return context
