# SPDX-License-Identifier: GPL-3.0-or-later
"""A walker over the bytes of a DICOM data set, and the encoding of what replaces parts of them.

Most elements of an instance stay as they are. The walk therefore makes no object for those: one
look-up of the element's first bytes (tag and VR) says whether anything must happen to it. Only
then it is noted where the element lies. What is not noted is never decoded and is copied as part
of the run of bytes between two noted elements.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from struct import Struct
from typing import Final, NamedTuple, cast

from orthanc_deid.errors import Quarantine

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
MAX_DEPTH: Final = 64

# PS3.5 section 7.1.2: these are followed by two reserved bytes and a length of 32 bits.
LONG_VRS: Final = frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
SHORT_VRS: Final = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
VRS: Final = LONG_VRS | SHORT_VRS
# Values that need no text decoding and may be large.
BINARY_VRS: Final = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])


def padded(vr: str, value: bytes) -> bytes:
    """Return a value with even length, padded as its VR wants (PS3.5 section 6.2)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in BINARY_VRS or vr == "UI" else b" ")


@dataclass(frozen=True, slots=True, eq=False)
class Syntax:
    """How elements are encoded: with or without their VR, and in which byte order."""

    explicit: bool
    little: bool
    u16: Struct = field(init=False, repr=False)
    u32: Struct = field(init=False, repr=False)
    pair: Struct = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = "<" if self.little else ">"
        for name, form in (("u16", "H"), ("u32", "L"), ("pair", "HH")):
            object.__setattr__(self, name, Struct(order + form))

    @property
    def key_size(self) -> int:
        """The number of bytes that say what an element is: its tag, and its VR if explicit."""
        return 6 if self.explicit else 4

    def tag_at(self, data: bytes, offset: int) -> int:
        """Read the tag at `offset` as one number."""
        group, element = self.pair.unpack_from(data, offset)
        return int(group << 16 | element)

    def tag_bytes(self, tag: int) -> bytes:
        """Encode a tag."""
        return self.pair.pack(tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Encode an element, its value padded to even length.

        Raises:
            ValueError: the value is too long for its VR.
        """
        value = padded(vr, value)
        if not self.explicit:
            return self.tag_bytes(tag) + self.u32.pack(len(value)) + value
        head = self.tag_bytes(tag) + vr.encode()
        if vr in LONG_VRS:
            return head + b"\0\0" + self.u32.pack(len(value)) + value
        if len(value) > 0xFFFF:
            raise ValueError(f"a value of {len(value)} bytes is too long for VR {vr}")
        return head + self.u16.pack(len(value)) + value


IMPLICIT_LITTLE: Final = Syntax(explicit=False, little=True)
EXPLICIT_LITTLE: Final = Syntax(explicit=True, little=True)
EXPLICIT_BIG: Final = Syntax(explicit=True, little=False)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What the walk must know about the elements of one tag and VR.

    Attributes:
        tag: the tag.
        vr: the VR by which the value is understood: as written, or the dictionary's one where
            it is not written or is UN.
        written_vr: the VR as written; the dictionary's one in implicit VR.
        long: whether the length has 32 bits.
        sequence: whether the value is walked as a sequence of items.
        noted: whether the element is noted even if nothing inside it is.
        rule: what the caller keeps with the entry.
        plain: whether it has neither items nor reserved bytes before its length, as most have.
        creator: whether it names the creator of a block of private elements.
    """

    tag: int
    vr: str
    written_vr: str
    long: bool
    sequence: bool
    noted: bool
    rule: object = None
    plain: bool = False
    creator: bool = field(init=False)

    def __post_init__(self) -> None:
        is_creator = bool(self.tag >> 16 & 1) and 0x10 <= self.tag & 0xFFFF <= 0xFF
        object.__setattr__(self, "creator", is_creator)


ITEM_END_ENTRY: Final = Entry(ITEM_END, "", "", long=True, sequence=False, noted=False)

# From the first bytes of an element to its entry; None if it has a short length and is of no
# interest, which is the most frequent case and must be the cheapest one.
Table = Mapping[bytes, Entry | None]


class Element(NamedTuple):
    """Where a noted element lies: header, value from `value` to `stop`, and delimiter to `end`."""

    entry: Entry
    start: int
    value: int
    stop: int
    end: int
    items: "list[Item] | None"
    syntax: Syntax  # of the items


def by_tag(elements: Iterable[Element]) -> dict[int, Element]:
    """Return elements of one data set by their tags."""
    return {element.entry.tag: element for element in elements}


class Item(NamedTuple):
    """Where an item of a sequence lies, and its noted elements."""

    start: int
    value: int
    stop: int
    end: int
    elements: list[Element]


# An element from a tuple of its fields, in half the time that Element() takes.
_element_of: Final = cast(
    "Callable[[tuple[object, ...]], Element]", partial(tuple.__new__, Element)
)


class _MalformedError(Exception):
    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason
        self.path: list[int] = []

    def quarantine(self) -> Quarantine:
        where = f" in {' > '.join(map(format_tag, self.path))}" if self.path else ""
        return Quarantine(
            "unreadable",
            f"the file cannot be read at byte {self.offset}{where}: {self.reason}; "
            "get it again from its source",
        )


def format_tag(tag: int) -> str:
    """Write a tag as people know it: `(0010,0020)`."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


class Walker:
    """Walks one data set.

    Args:
        data: the bytes that hold the data set.
        tables: for each syntax, what is known of its elements. Unknown VR (UN) is implicit VR
            inside (PS3.5 section 6.2.2), so a walk may need the table of that too.
    """

    def __init__(self, data: bytes, tables: Mapping[Syntax, Table]) -> None:
        self._data = data
        self._tables = tables
        self._depth = 0

    def walk(self, start: int, end: int, syntax: Syntax) -> list[Element]:
        """Return the noted elements between two offsets.

        Raises:
            Quarantine: (code `unreadable`) a length or an item does not fit.
        """
        try:
            return self._elements(start, end, syntax, in_item=False)[0]
        except _MalformedError as error:
            raise error.quarantine() from None

    def walk_until(self, tag: int, start: int, end: int, syntax: Syntax) -> list[Element]:
        """Return the noted elements up to a tag, of data that may be cut off behind them.

        Raises:
            Quarantine: (code `unreadable`) they are cut off before it, or do not fit.
        """
        try:
            stop = self.first_after(tag, start, end, syntax)
            return self._elements(start, stop, syntax, in_item=False)[0]
        except _MalformedError as error:
            raise error.quarantine() from None
        except struct.error:
            raise self._truncated(end, end, syntax).quarantine() from None

    def items_of(self, sequence: Element) -> list[Item] | None:
        """Walk the items of a sequence that another walker found.

        Raises:
            Quarantine: (code `unreadable`) a length or an item does not fit.
        """
        tag, value, stop = sequence.entry.tag, sequence.value, sequence.stop
        try:
            return self._items(tag, value, stop, sequence.syntax, delimited=False)[0]
        except _MalformedError as error:
            raise error.quarantine() from None

    def first_after(self, tag: int, start: int, end: int, syntax: Syntax) -> int:
        """Return the offset of the first element with a greater tag, or `end`.

        The elements between the two offsets must have been walked before.
        """
        while start < end:
            if syntax.tag_at(self._data, start) > tag:
                return start
            entry = self._tables[syntax][self._data[start : start + syntax.key_size]]
            if entry is not None:
                start = self._element(entry, start, end, syntax).end
            elif syntax.explicit:
                start += 8 + syntax.u16.unpack_from(self._data, start + 6)[0]
            else:
                start += 8 + syntax.u32.unpack_from(self._data, start + 4)[0]
        return start

    def _elements(
        self, pos: int, end: int, syntax: Syntax, *, in_item: bool
    ) -> tuple[list[Element], int]:
        data = self._data
        table = self._tables[syntax]
        key_size = syntax.key_size
        u32 = syntax.u32.unpack_from
        short, short_at = (syntax.u16.unpack_from, 6) if syntax.explicit else (u32, 4)
        last = end - 8
        previous = pos
        noted: list[Element] = []
        while pos <= last:
            previous = pos
            entry = table[data[pos : pos + key_size]]
            if entry is None:
                pos += 8 + short(data, pos + short_at)[0]
                continue
            if entry.plain:
                (length,) = short(data, pos + short_at)
                stop = pos + 8 + length
                if stop <= end and length != UNDEFINED:
                    if entry.noted:
                        noted.append(_element_of((entry, pos, pos + 8, stop, stop, None, syntax)))
                    pos = stop
                    continue
            elif entry is ITEM_END_ENTRY:
                if in_item:
                    return noted, pos
                raise _MalformedError(pos, "an item ends here that did not begin")
            element = self._element(entry, pos, end, syntax)
            if entry.noted or element.items:
                noted.append(element)
            pos = element.end
        if in_item or pos != end:
            raise self._cut_off(previous, pos, end, syntax, in_item=in_item)
        return noted, pos

    def _cut_off(
        self, previous: int, pos: int, end: int, syntax: Syntax, *, in_item: bool
    ) -> _MalformedError:
        if in_item:
            return _MalformedError(previous, "an item does not end inside its sequence")
        return self._truncated(previous if pos > end else pos, end, syntax)

    def _truncated(self, pos: int, end: int, syntax: Syntax) -> _MalformedError:
        if end - pos < 8:
            return _MalformedError(pos, f"{end - pos} bytes are left, too few for an element")
        error = _MalformedError(pos, "the element's value is longer than the data")
        error.path.append(syntax.tag_at(self._data, pos))
        return error

    def _element(self, entry: Entry, pos: int, end: int, syntax: Syntax) -> Element:
        if not syntax.explicit:
            (length,) = syntax.u32.unpack_from(self._data, pos + 4)
            value = pos + 8
        elif entry.long:
            if pos + 12 > end:
                raise self._truncated(pos, pos, syntax)
            (length,) = syntax.u32.unpack_from(self._data, pos + 8)
            value = pos + 12
        else:
            (length,) = syntax.u16.unpack_from(self._data, pos + 6)
            value = pos + 8
        if length == UNDEFINED and (entry.long or not syntax.explicit):
            return self._undefined(entry, pos, value, end, syntax)
        stop = value + length
        if stop > end:
            raise self._truncated(pos, end, syntax)
        if not entry.sequence:
            return Element(entry, pos, value, stop, stop, None, syntax)
        inner = IMPLICIT_LITTLE if entry.written_vr == "UN" else syntax
        items, _ = self._items(entry.tag, value, stop, inner, delimited=False)
        return Element(entry, pos, value, stop, stop, items, inner)

    def _undefined(self, entry: Entry, pos: int, value: int, end: int, syntax: Syntax) -> Element:
        if entry.written_vr in BINARY_VRS and entry.written_vr != "UN":
            stop = self._fragments(entry.tag, value, end, syntax)
            return Element(entry, pos, value, stop, stop + 8, None, syntax)
        # CP-246: a value of unknown VR and undefined length is a sequence in implicit VR.
        inner = IMPLICIT_LITTLE if entry.written_vr == "UN" else syntax
        items, stop = self._items(entry.tag, value, end, inner, delimited=True)
        return Element(entry, pos, value, stop, stop + 8, items, inner)

    def _fragments(self, tag: int, pos: int, end: int, syntax: Syntax) -> int:
        """Return the offset of the delimiter that ends encapsulated data."""
        while pos + 8 <= end:
            found = syntax.tag_at(self._data, pos)
            if found == SEQUENCE_END:
                return pos
            (length,) = syntax.u32.unpack_from(self._data, pos + 4)
            if found != ITEM or length == UNDEFINED:
                break
            pos += 8 + length
        error = _MalformedError(min(pos, end), "the encapsulated data do not end as they should")
        error.path.append(tag)
        raise error

    def _items(
        self, tag: int, pos: int, end: int, syntax: Syntax, *, delimited: bool
    ) -> tuple[list[Item] | None, int]:
        """Return the items, or None if nothing in them is noted, and the offset of their end."""
        self._depth += 1
        try:
            items, stop = self._items_within(pos, end, syntax, delimited=delimited)
        except _MalformedError as error:
            error.path.insert(0, tag)
            raise
        finally:
            self._depth -= 1
        return (items if any(item.elements for item in items) else None), stop

    def _items_within(
        self, pos: int, end: int, syntax: Syntax, *, delimited: bool
    ) -> tuple[list[Item], int]:
        if self._depth > MAX_DEPTH:
            raise _MalformedError(pos, f"sequences are nested more than {MAX_DEPTH} deep")
        items: list[Item] = []
        while pos < end:
            found = self._item_tag(pos, end, syntax)
            if found == SEQUENCE_END and delimited:
                return items, pos
            if found != ITEM:
                raise _MalformedError(pos, f"{format_tag(found)} stands where an item should")
            item = self._item(pos, end, syntax)
            items.append(item)
            pos = item.end
        if delimited:
            raise _MalformedError(pos, "the sequence does not end")
        return items, pos

    def _item_tag(self, pos: int, end: int, syntax: Syntax) -> int:
        if pos + 8 > end:
            raise _MalformedError(pos, f"{end - pos} bytes are left, too few for an item")
        return syntax.tag_at(self._data, pos)

    def _item(self, pos: int, end: int, syntax: Syntax) -> Item:
        (length,) = syntax.u32.unpack_from(self._data, pos + 4)
        value = pos + 8
        if length == UNDEFINED:
            elements, stop = self._elements(value, end, syntax, in_item=True)
            return Item(pos, value, stop, stop + 8, elements)
        stop = value + length
        if stop > end:
            raise _MalformedError(pos, "an item is longer than its sequence")
        elements, _ = self._elements(value, stop, syntax, in_item=False)
        return Item(pos, value, stop, stop, elements)
