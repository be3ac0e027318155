# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse what is not marked as de-identified: the gate that the Anon and Disk Orthancs share.

(0012,0062) Patient Identity Removed must be YES (PS3.3 C.7.1.1). The header is read by a small
strict reader, because a gate fails closed: whatever it cannot read for certain is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection
from typing import Any, NoReturn

PATIENT_IDENTITY_REMOVED = 0x00120062

# PS3.4 section B.2.3: Cxxx is a failure that every sender knows, unlike 0124 "not authorized",
# which dcmtk's storescu takes for no failure; and unlike A7xx it does not ask to be tried again.
REFUSED = 0xC124

_IMPLICIT = "1.2.840.10008.1.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"

# PS3.5 section 7.1.2: these have two reserved bytes and a length of 32 bits, all others 16 bits.
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 64
_MAX_INFLATED = 64 << 20


class UnreadableHeaderError(ValueError):
    """The bytes are no DICOM file that can be read with certainty; the text says where it ends."""


class _Reader:
    """A position in a data set of one encoding (PS3.5 section 7)."""

    def __init__(self, data: bytes, position: int, *, explicit: bool, big: bool = False) -> None:
        self.data = data
        self.position = position
        self.explicit = explicit
        order = ">" if big else "<"
        self._tag = struct.Struct(order + "HH")
        self._u16 = struct.Struct(order + "H")
        self._u32 = struct.Struct(order + "I")

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.data)

    def fail(self, what: str) -> NoReturn:
        raise UnreadableHeaderError(f"{what} at byte {self.position} of the data set")

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            self.fail("the file is cut off")
        value = self.data[self.position : end]
        self.position = end
        return value

    def skip(self, length: int) -> None:
        if self.position + length > len(self.data):
            self.fail("the file is cut off")
        self.position += length

    def peek(self) -> int:
        """The next tag, without moving."""
        if self.position + 4 > len(self.data):
            self.fail("the file is cut off")
        group, element = self._tag.unpack_from(self.data, self.position)
        return int(group) << 16 | int(element)

    def header(self) -> tuple[int, bytes, int]:
        """Tag, VR (empty where it is implicit) and length of the next element."""
        tag = self.peek()
        self.position += 4
        if not self.explicit or tag >> 16 == 0xFFFE:
            return tag, b"", int(self._u32.unpack(self.take(4))[0])
        vr = self.take(2)
        if vr in _SHORT:
            return tag, vr, int(self._u16.unpack(self.take(2))[0])
        if vr not in _LONG:
            self.fail("an unknown VR")
        self.skip(2)
        return tag, vr, int(self._u32.unpack(self.take(4))[0])

    def skip_value(self, vr: bytes, length: int, depth: int = 0) -> None:
        if length != _UNDEFINED:
            self.skip(length)
        elif vr in {b"", b"SQ"}:
            self.skip_sequence(depth)
        elif vr == b"UN":
            # PS3.5 section 6.2.2, note 2: its items are encoded in implicit VR little endian.
            inner = _Reader(self.data, self.position, explicit=False)
            inner.skip_sequence(depth)
            self.position = inner.position
        else:
            self.fail("an undefined length where none is allowed")

    def skip_sequence(self, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self.fail("sequences nested too deeply")
        while True:
            tag, _, length = self.header()
            if tag == _SEQUENCE_END and length == 0:
                return
            if tag != _ITEM:
                self.fail("no item where one must be")
            if length == _UNDEFINED:
                self.skip_item(depth)
            else:
                self.skip(length)

    def skip_item(self, depth: int) -> None:
        while True:
            tag, vr, length = self.header()
            if tag == _ITEM_END and length == 0:
                return
            self.skip_value(vr, length, depth + 1)


def _transfer_syntax(data: bytes) -> tuple[str, int]:
    """The transfer syntax, and where the data set begins (PS3.10 section 7.1)."""
    if data[128:132] != b"DICM":
        raise UnreadableHeaderError("no DICM after the preamble")
    meta = _Reader(data, 132, explicit=True)
    syntax = ""
    while not meta.at_end and meta.peek() >> 16 == 0x0002:
        tag, vr, length = meta.header()
        if length == _UNDEFINED:
            meta.fail("an undefined length where none is allowed")
        value = meta.take(length)
        if tag == 0x00020010 and vr == b"UI":
            syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
    if not syntax:
        raise UnreadableHeaderError("no Transfer Syntax UID (0002,0010)")
    return syntax, meta.position


def _dataset(data: bytes) -> _Reader:
    syntax, start = _transfer_syntax(data)
    if syntax == _DEFLATED:
        try:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], _MAX_INFLATED)
        except zlib.error as error:
            raise UnreadableHeaderError("the deflated data set cannot be inflated") from error
        return _Reader(inflated, 0, explicit=True)
    return _Reader(data, start, explicit=syntax != _IMPLICIT, big=syntax == _BIG_ENDIAN)


def read_elements(data: bytes, tags: Collection[int]) -> dict[int, bytes]:
    """Read top-level elements of a DICOM file, and nothing behind the last of them.

    Args:
        data: The file, or as much of its beginning as holds the elements.
        tags: The elements that are wanted, each as ``group << 16 | element``.

    Returns:
        The raw values of those that are there.

    Raises:
        UnreadableHeaderError: The file is damaged before the last wanted element, or elements are
            not in ascending order (PS3.5 section 7.1), so that another value may follow.
    """
    reader = _dataset(data)
    found: dict[int, bytes] = {}
    last, previous = max(tags), -1
    while not reader.at_end and reader.peek() <= last:
        tag, vr, length = reader.header()
        if tag <= previous:
            reader.fail("elements that are not in ascending order")
        previous = tag
        if tag not in tags:
            reader.skip_value(vr, length)
        elif length == _UNDEFINED:
            reader.fail("an undefined length where none is allowed")
        else:
            found[tag] = reader.take(length)
    return found


def is_deidentified(data: bytes) -> bool:
    """Tell whether a DICOM file says for certain that the patient's identity was removed."""
    try:
        value = read_elements(data, {PATIENT_IDENTITY_REMOVED}).get(PATIENT_IDENTITY_REMOVED)
    except UnreadableHeaderError:
        return False
    return value is not None and value.rstrip(b" ") == b"YES"


def received_instance(orthanc: Any) -> Callable[[bytes, Any], tuple[Any, None]]:
    """Make the callback that discards what arrives by any other way than C-STORE.

    A C-STORE passes here, because its sender would be told of success; `incoming_c_store`, which
    Orthanc asks next, refuses it with a failure.
    """
    discard = (orthanc.ReceivedInstanceAction.DISCARD, None)
    keep = (orthanc.ReceivedInstanceAction.KEEP_AS_IS, None)

    def decide(data: bytes, origin: Any) -> tuple[Any, None]:
        # Orthanc stores the instance if this raises, hence every exception means "discard".
        try:
            if origin == orthanc.InstanceOrigin.DICOM_PROTOCOL or is_deidentified(bytes(data)):
                return keep
            orthanc.LogWarning("Refused an instance: (0012,0062) is not YES")
        except BaseException:
            return discard
        return discard

    return decide


def incoming_c_store(orthanc: Any) -> Callable[[Any], int]:
    """Make the filter that refuses a C-STORE with a failure status that its sender sees."""

    def decide(instance: Any) -> int:
        try:
            if is_deidentified(bytes(instance.GetInstanceData())):
                return 0
            orthanc.LogWarning("Refused an instance over C-STORE: (0012,0062) is not YES")
        except BaseException:
            return REFUSED
        return REFUSED

    return decide


def register(orthanc: Any) -> None:
    """Put the gate before all ways into this Orthanc."""
    orthanc.RegisterReceivedInstanceCallback(received_instance(orthanc))
    orthanc.RegisterIncomingCStoreInstanceFilter(incoming_c_store(orthanc))
