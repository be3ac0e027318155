# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of Pixel Data that are no pixels: comments in compressed frames, and what follows the last.

Pixel data pass byte for byte. But JPEG and JPEG 2000 have room for comments and application data
in which some devices write who the patient is, and bytes behind the last pixel are seen by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final

from orthanc_deid.elements import ITEM, Element, Syntax

PIXEL_DATA: Final = 0x7FE00010
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
SIZES: Final = frozenset({_SAMPLES, _ROWS, _COLUMNS, _BITS})
"""The attributes that tell how many bytes the pixels take, of VR US."""

_U16: Final = Struct(">H").unpack_from
_JPEG: Final = b"\xff\xd8"
_JPEG_2000: Final = b"\xff\x4f"
_JP2_BOX: Final = b"\x00\x00\x00\x0cjP  "
_END: Final = b"\xff\xd9"
_LAST_OF_HEADER: Final = frozenset({0xDA, 0x93})  # Start of Scan, Start of Data
_COMMENTS: Final = {_JPEG: frozenset({0xFE, *range(0xE0, 0xF0)}), _JPEG_2000: frozenset({0x64})}
_MOST: Final = 1 << 16  # bytes that are looked at behind the pixels or before a code stream


def hidden_bytes(data: bytes, top: Mapping[int, Element], syntax: Syntax) -> Iterator[bytes]:
    """Yield what in the Pixel Data of an instance is no pixels, each in one piece.

    Args:
        data: the bytes that hold its data set.
        top: the elements of its top level.
        syntax: how they are encoded.
    """
    pixels = top.get(PIXEL_DATA)
    if pixels is None:
        return
    if pixels.end == pixels.stop:
        expected = _native_size(data, top, syntax)
        if expected is not None and pixels.stop - pixels.value - expected > 1:
            start = pixels.value + expected
            yield data[start : min(start + _MOST, pixels.stop)].strip(b"\0")
        return
    for start, stop in list(_fragments(data, pixels, syntax))[1:]:  # the first is a table
        yield from _of_fragment(data, start, stop)


def _native_size(data: bytes, top: Mapping[int, Element], syntax: Syntax) -> int | None:
    """Return how many bytes the pixels take, None if that is not told."""
    numbers = []
    for tag in (_ROWS, _COLUMNS, _SAMPLES, _BITS):
        found = top.get(tag)
        if found is None or found.stop - found.value != 2:
            return None
        numbers.append(int(syntax.u16.unpack_from(data, found.value)[0]))
    frames = top.get(_FRAMES)
    told = b"1" if frames is None else data[frames.value : frames.stop].strip(b" \0") or b"1"
    if not told.isdigit():
        return None
    rows, columns, samples, bits = numbers
    return (rows * columns * samples * bits * int(told) + 7) // 8


def _fragments(data: bytes, pixels: Element, syntax: Syntax) -> Iterator[tuple[int, int]]:
    at = pixels.value
    while at + 8 <= pixels.stop and syntax.tag_at(data, at) == ITEM:
        (length,) = syntax.u32.unpack_from(data, at + 4)
        yield at + 8, at + 8 + length
        at += 8 + length


def _of_fragment(data: bytes, start: int, stop: int) -> Iterator[bytes]:
    if data[start : start + 8] == _JP2_BOX:
        stream = data.find(_JPEG_2000 + b"\xff\x51", start, stop)
        yield data[start : min(stream if stream >= 0 else stop, start + _MOST)]
        start = stream if stream >= 0 else stop
    wanted = _COMMENTS.get(data[start : start + 2])
    if wanted is None:
        return
    at = start + 2
    while at + 4 <= stop and data[at] == 0xFF and data[at + 1] not in _LAST_OF_HEADER:
        if data[at + 1] == 0xFF:  # a byte that fills
            at += 1
            continue
        (length,) = _U16(data, at + 2)
        if data[at + 1] in wanted:
            yield data[at + 4 : min(at + 2 + length, stop)]
        at += 2 + length
    end = data.rfind(_END, at, stop)
    if end >= 0 and stop - end > 3:
        yield data[end + 2 : min(stop, end + _MOST)].strip(b"\0")
