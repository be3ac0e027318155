# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys for the pseudonyms, derived from the site's secret for one project.

PS3.15 E.1.1 warns of hashes without a key, which a dictionary of likely values undoes. Every
replacement here is an HMAC under a key that nobody without the site's secret can make.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

MINIMUM_SECRET_BYTES = 16


def _expand(secret: bytes, info: bytes) -> bytes:
    """One 32 byte block of HKDF-SHA256 (RFC 5869)."""
    extracted = hmac.digest(b"orthanc_deid", secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one project; two projects of one site cannot be joined."""

    uid: bytes = field(repr=False)
    number: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes, project: str = "default") -> "Keys":
        """Derive the project's keys from the site's secret.

        Raises:
            ValueError: the secret has fewer than 16 bytes.
        """
        if len(secret) < MINIMUM_SECRET_BYTES:
            raise ValueError(
                f"the site's secret has {len(secret)} bytes and needs at least "
                f"{MINIMUM_SECRET_BYTES}; make one with 'openssl rand -hex 32'"
            )
        scope = hashlib.sha256(project.encode()).digest()
        return cls(uid=_expand(secret, b"uid" + scope), number=_expand(secret, b"number" + scope))
