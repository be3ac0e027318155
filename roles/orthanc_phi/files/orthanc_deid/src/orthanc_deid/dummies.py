# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that mean nothing and are valid for their VR (action D of Table E.1-1)."""

from typing import Final

from orthanc_deid.elements import Syntax

TEXT: Final = b"REMOVED"
_BY_VR: Final = {
    "AE": TEXT,
    "AS": b"000D",
    "CS": TEXT,
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "PN": TEXT,
    "TM": b"000000",
    "UI": b"2.25.0",
    "UR": b"urn:removed",
}
_SIZES: Final = {
    "AT": 4, "FD": 8, "FL": 4, "OB": 2, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2,
    "SL": 4, "SS": 2, "SV": 8, "UL": 4, "UN": 2, "US": 2, "UV": 8,
}  # fmt: skip

# Coded values have a defined set each; these are the members that say least.
_BY_TAG: Final = {0x04000565: b"CORRECT"}  # Reason for the Attribute Modification


def dummy_value(tag: int, vr: str) -> bytes:
    """Return a value for an attribute that must have one.

    Args:
        tag: the attribute.
        vr: its VR, not SQ.
    """
    if vr in _SIZES:
        return bytes(_SIZES[vr])
    return _BY_TAG.get(tag) or _BY_VR.get(vr, TEXT)


def dummy_code_item(syntax: Syntax) -> bytes:
    """Encode an item of a code sequence whose code says that there was one."""
    content = b"".join(
        (
            syntax.element(0x00080100, "SH", TEXT),
            syntax.element(0x00080102, "SH", b"99REMOVED"),
            syntax.element(0x00080104, "LO", b"Removed"),
        )
    )
    return syntax.tag_bytes(0xFFFEE000) + syntax.u32.pack(len(content)) + content
