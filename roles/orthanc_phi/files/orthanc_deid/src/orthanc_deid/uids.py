# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement of UIDs: keyed, the same everywhere, and without a look-up."""

import hmac
import re

WELL_KNOWN_ROOT = "1.2.840.10008."
_VALID = re.compile(r"[0-9]+(?:\.[0-9]+)+")

# The attributes of VR UI that name a kind of thing and not a thing: changing them would break the
# object and protect nobody. All other UI attributes are remapped (PS3.15 E.1.1, note 4).
NAMES_A_CLASS = frozenset(
    {
        0x00041510,  # Referenced SOP Class UID in File
        0x00041512,  # Referenced Transfer Syntax UID in File
        0x0004151A,  # Referenced Related General SOP Class UID in File
        0x00080016,  # SOP Class UID
        0x0008001A,  # Related General SOP Class UID
        0x0008001B,  # Original Specialized SOP Class UID
        0x00080062,  # SOP Classes in Study
        0x0008010C,  # Coding Scheme UID
        0x00080117,  # Context UID
        0x00080118,  # Mapping Resource UID
        0x0008040E,  # Stored Instance Transfer Syntax UID
        0x00081150,  # Referenced SOP Class UID
        0x0008115A,  # SOP Classes Supported
        0x00083002,  # Available Transfer Syntax UID
        0x00340003,  # Flow Transfer Syntax UID
        0x04000010,  # MAC Calculation Transfer Syntax UID
        0x04000510,  # Encrypted Content Transfer Syntax UID
        0x30100052,  # Pertinent SOP Classes in Study
        0x30100053,  # Pertinent SOP Classes in Series
    }
)


def is_valid(uid: str) -> bool:
    """Tell whether `uid` has the form of a UID (PS3.5 section 9.1).

    Leading zeros in a component are let through, since scanners write them.
    """
    return len(uid) <= 64 and _VALID.fullmatch(uid) is not None


def map_uid(key: bytes, uid: str) -> str:
    """Return the new UID of `uid`: `2.25.` and 128 bits of its HMAC-SHA-256 as a decimal number.

    The standard's own UIDs stay. Anything else is mapped, valid or not, so that what is the same
    in the input is the same in the output.
    """
    if uid.startswith(WELL_KNOWN_ROOT):
        return uid
    digest = hmac.digest(key, uid.encode("utf-8", "surrogateescape"), "sha256")
    return f"2.25.{int.from_bytes(digest[:16])}"
