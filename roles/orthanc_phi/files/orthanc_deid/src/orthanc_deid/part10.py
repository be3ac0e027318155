# SPDX-License-Identifier: GPL-3.0-or-later
"""The DICOM file around the data set (PS3.10): preamble, file meta information, deflation."""

import zlib
from dataclasses import dataclass
from typing import Final

from orthanc_deid import __version__
from orthanc_deid.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    VRS,
    Syntax,
)
from orthanc_deid.errors import Quarantine

IMPLICIT_LITTLE_UID: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_UID: Final = "1.2.840.10008.1.2.1"
DEFLATED_UID: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_UID: Final = "1.2.840.10008.1.2.2"
# JPIP Referenced Deflate, and JPIP HTJ2K Referenced Deflate.
_DEFLATED: Final = frozenset({DEFLATED_UID, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

IMPLEMENTATION_CLASS_UID: Final = "2.25.253817419047240683120866203126107418345"
IMPLEMENTATION_VERSION: Final = f"ORTHANCDEID{__version__}".replace(".", "")[:16]
MAX_INFLATED: Final = 4 << 30  # bytes; what is larger is taken for an attack

_BYTES_WITHOUT_META: Final = 8


@dataclass(frozen=True, slots=True)
class Instance:
    """A DICOM file taken apart.

    Attributes:
        data: the bytes that hold the data set, inflated if it was deflated.
        start: where the data set begins in them.
        syntax: how its elements are encoded.
        transfer_syntax: UID of the transfer syntax.
    """

    data: bytes
    start: int
    syntax: Syntax
    transfer_syntax: str


def open_instance(data: bytes) -> Instance:
    """Find the data set of a DICOM file, with or without preamble and file meta information.

    Raises:
        Quarantine: this is no DICOM file (code `unreadable`), or not one that holds an instance
            in a standard encoding (`unsupported`).
    """
    if not data:
        raise Quarantine("unreadable", "the file is empty; get it again from its source")
    start = 132 if data[128:132] == b"DICM" else 0
    start, transfer_syntax = _read_meta(data, start)
    if data[start : start + 2] == b"\x04\x00":
        raise Quarantine("unsupported", "a DICOMDIR is no image; send the files that it lists")
    if transfer_syntax is None:
        syntax, transfer_syntax = _guess(data, start)
        return Instance(data, start, syntax, transfer_syntax)
    if transfer_syntax in _DEFLATED:
        return Instance(_inflate(data, start), 0, EXPLICIT_LITTLE, transfer_syntax)
    syntax = {IMPLICIT_LITTLE_UID: IMPLICIT_LITTLE, EXPLICIT_BIG_UID: EXPLICIT_BIG}.get(
        transfer_syntax, EXPLICIT_LITTLE
    )
    return _believe_the_data(data, start, syntax, transfer_syntax)


def _read_meta(data: bytes, pos: int) -> tuple[int, str | None]:
    """Return where the file meta information ends, and the transfer syntax that it names."""
    transfer_syntax = None
    while data[pos : pos + 2] == b"\x02\x00":
        if pos + 8 > len(data):
            break
        vr = data[pos + 4 : pos + 6].decode("latin-1")
        if vr not in VRS:
            # Written in implicit VR against PS3.10: seen in old files without preamble.
            value, length = pos + 8, IMPLICIT_LITTLE.u32.unpack_from(data, pos + 4)[0]
        elif vr in LONG_VRS:
            if pos + 12 > len(data):
                break
            value, length = pos + 12, EXPLICIT_LITTLE.u32.unpack_from(data, pos + 8)[0]
        else:
            value, length = pos + 8, EXPLICIT_LITTLE.u16.unpack_from(data, pos + 6)[0]
        if value + length > len(data):
            raise Quarantine(
                "unreadable",
                f"the file meta information is cut off at byte {pos}; get the file again",
            )
        if data[pos + 2 : pos + 4] == b"\x10\x00":
            uid = data[value : value + length].rstrip(b"\0 ").decode("latin-1")
            transfer_syntax = uid if uid.startswith("1.2.840.10008.1.") else None
            if uid and transfer_syntax is None:
                raise Quarantine(
                    "unsupported",
                    "the transfer syntax is a private one; send the study again in a standard one",
                )
        pos = value + length
    return pos, transfer_syntax


def _guess(data: bytes, start: int) -> tuple[Syntax, str]:
    """Tell the encoding of a data set that comes without file meta information."""
    if len(data) - start < _BYTES_WITHOUT_META:
        raise Quarantine("unreadable", "this is not a DICOM file; take it out of the study")
    for syntax, uid in ((EXPLICIT_LITTLE, EXPLICIT_LITTLE_UID), (EXPLICIT_BIG, EXPLICIT_BIG_UID)):
        group = syntax.tag_at(data, start) >> 16
        if data[start + 4 : start + 6].decode("latin-1") in VRS and 0 < group < 0x0100:
            return syntax, uid
    tag = IMPLICIT_LITTLE.tag_at(data, start)
    (length,) = IMPLICIT_LITTLE.u32.unpack_from(data, start + 4)
    if not (0x00080000 <= tag < 0x00200000 and length <= len(data) - start - 8):
        raise Quarantine("unreadable", "this is not a DICOM file; take it out of the study")
    return IMPLICIT_LITTLE, IMPLICIT_LITTLE_UID


def _believe_the_data(data: bytes, start: int, syntax: Syntax, transfer_syntax: str) -> Instance:
    """Undo a transfer syntax that says the wrong thing about explicit VR."""
    vr = data[start + 4 : start + 6].decode("latin-1")
    if syntax is EXPLICIT_LITTLE and vr not in VRS and not vr.isalpha():
        if transfer_syntax == EXPLICIT_LITTLE_UID:
            transfer_syntax = IMPLICIT_LITTLE_UID
        return Instance(data, start, IMPLICIT_LITTLE, transfer_syntax)
    if syntax is IMPLICIT_LITTLE and vr in VRS and data[start : start + 4] < b"\x09":
        return Instance(data, start, EXPLICIT_LITTLE, EXPLICIT_LITTLE_UID)
    return Instance(data, start, syntax, transfer_syntax)


def _inflate(data: bytes, start: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(memoryview(data)[start:], MAX_INFLATED)
    except zlib.error as error:
        raise Quarantine(
            "unreadable", "the deflated data set is damaged; get the file again from its source"
        ) from error
    if not inflater.eof:
        reason = "is too large" if len(inflated) >= MAX_INFLATED else "ends too early"
        raise Quarantine(
            "unreadable", f"the deflated data set {reason}; get the file again from its source"
        )
    return inflated


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes:
    """Encode a preamble of zeros and file meta information that names only this package."""
    element = EXPLICIT_LITTLE.element
    meta = b"".join(
        (
            element(0x00020001, "OB", b"\x00\x01"),
            element(0x00020002, "UI", sop_class_uid.encode()),
            element(0x00020003, "UI", sop_instance_uid.encode()),
            element(0x00020010, "UI", transfer_syntax.encode()),
            element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
            element(0x00020013, "SH", IMPLEMENTATION_VERSION.encode()),
        )
    )
    length = element(0x00020000, "UL", EXPLICIT_LITTLE.u32.pack(len(meta)))
    return bytes(128) + b"DICM" + length + meta


def is_deflated(transfer_syntax: str) -> bool:
    """Tell whether data sets of a transfer syntax are deflated."""
    return transfer_syntax in _DEFLATED


def close_dataset(
    transfer_syntax: str, dataset: list[bytes | memoryview]
) -> list[bytes | memoryview]:
    """Deflate the data set where its transfer syntax wants that."""
    if not is_deflated(transfer_syntax):
        return dataset
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = b"".join([deflater.compress(part) for part in dataset] + [deflater.flush()])
    return [deflated + b"\0" if len(deflated) % 2 else deflated]
