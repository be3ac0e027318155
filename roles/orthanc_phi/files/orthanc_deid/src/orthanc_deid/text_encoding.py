# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of a data set by its Specific Character Set (0008,0005)."""

import warnings
from functools import lru_cache
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

DEFAULT: Final = b""
NUMBER_VRS: Final = frozenset({"DS", "IS"})
TEXT_VRS: Final = frozenset(["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])


@lru_cache(maxsize=256)
def encodings_of(charset: bytes) -> list[str]:
    """Return the Python codecs of a value of Specific Character Set."""
    names = [name.strip(" \0") for name in charset.decode("latin-1").split("\\")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return convert_encodings(names)
        except LookupError:
            return ["iso8859"]


@lru_cache(maxsize=16384)
def decode(value: bytes, charset: bytes, *, is_name: bool = False) -> str:
    """Decode a text value as well as its character set allows.

    Args:
        value: the bytes of the value.
        charset: the value of Specific Character Set that holds where it stands.
        is_name: whether it is a person's name, whose delimiters reset escape sequences.
    """
    if b"\0" in value:
        # No text has them, and between the letters of a name they would hide it.
        value = value.replace(b"\0", b"")
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        delimiters = PN_DELIMS if is_name else TEXT_VR_DELIMS
        return decode_bytes(value, encodings_of(charset), delimiters)
