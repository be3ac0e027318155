# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of pixels (PS3.3 section C.7.6.3), and black in each form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from orthanc_deid.errors import Quarantine
from orthanc_deid.rectangles import Rectangle

Frame = npt.NDArray[Any]

_MONOCHROME: Final = ("MONOCHROME1", "MONOCHROME2")
_YBR: Final = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT")
_SAMPLES: Final = {
    **dict.fromkeys((*_MONOCHROME, "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", *_YBR), 3),
}


@dataclass(frozen=True, slots=True)
class PixelForm:
    """How pixels are laid out.

    Attributes:
        samples: samples per pixel, 1 or 3.
        bits_allocated: 1, 8, 16 or 32.
        signed: whether samples are signed.
        photometric: Photometric Interpretation (0028,0004).
        planar: 1 where each colour has a plane of its own.
        darkest: the index of the darkest colour of a palette.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int
    darkest: int = 0

    @classmethod
    def of(cls, dataset: Dataset) -> "PixelForm":
        """Read the form of a data set's pixels.

        Raises:
            AttributeError, TypeError, ValueError: attributes are missing or contradict each other.
        """
        form = cls(
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            frames=int(dataset.get("NumberOfFrames") or 1),
            samples=int(dataset.SamplesPerPixel),
            bits_allocated=int(dataset.BitsAllocated),
            bits_stored=int(dataset.BitsStored),
            signed=bool(dataset.get("PixelRepresentation", 0)),
            photometric=str(dataset.PhotometricInterpretation),
            planar=int(dataset.get("PlanarConfiguration") or 0),
            darkest=_darkest(dataset),
        )
        if _SAMPLES.get(form.photometric) != form.samples:
            raise ValueError(f"{form.samples} samples do not make {form.photometric}")
        if form.bits_allocated not in (1, 8, 16, 32) or form.bits_stored > form.bits_allocated:
            raise ValueError(f"{form.bits_stored} of {form.bits_allocated} bits")
        if min(form.rows, form.columns, form.frames, form.bits_stored) < 1:
            raise ValueError("an empty image")
        return form

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a decoded sample."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.bits_allocated // 8, 1)}")

    @property
    def subsampled(self) -> bool:
        """Whether two pixels share their colour, as native pixels in YBR_FULL_422 do."""
        return self.photometric.endswith("_422")

    @property
    def frame_bits(self) -> int:
        """The size of a native frame."""
        samples = 2 if self.subsampled else self.samples
        return self.rows * self.columns * samples * self.bits_allocated

    def black(self, frame: Frame) -> tuple[int, ...]:
        """Return the samples of a black pixel."""
        if self.photometric in _YBR:
            grey = 1 << (self.bits_stored - 1)
            return (16 if "PARTIAL" in self.photometric else 0, grey, grey)
        if self.photometric == "PALETTE COLOR":
            return (self.darkest,)
        if self.photometric == "RGB":
            return (0, 0, 0)
        inverted = self.photometric == "MONOCHROME1"
        if self.signed:
            # Signed values have no natural black; one outside the range that is in use would
            # change how viewers set their window.
            return (int(frame.max() if inverted else frame.min()),)
        return ((1 << self.bits_stored) - 1 if inverted else 0,)


def _darkest(dataset: Dataset) -> int:
    """Return the first index of a palette's darkest colour, its first index where it is packed."""
    tables = []
    for colour in ("Red", "Green", "Blue"):
        descriptor = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
        table = dataset.get(f"{colour}PaletteColorLookupTableData")
        if not descriptor or not table or isinstance(table, int | list):
            return int(descriptor[1]) if descriptor else 0
        entries = int(descriptor[0]) or 1 << 16
        wide = len(table) >= 2 * entries
        order = "<" if dataset.original_encoding[1] is not False else ">"
        tables.append(np.frombuffer(table, f"{order}u2" if wide else "u1")[:entries])
    if len({len(table) for table in tables}) != 1:
        return int(descriptor[1])
    return int(np.argmin(np.sum(tables, axis=0, dtype=np.int64))) + max(int(descriptor[1]), 0)


def blank_frame(
    frame: Frame, form: PixelForm, rectangles: Sequence[Rectangle], overlay_bits: Sequence[int]
) -> None:
    """Blank a decoded frame, its shape (rows, columns) or (rows, columns, samples), in place."""
    _clear_bits(frame, form, overlay_bits)
    black = form.black(frame)
    for rectangle in rectangles:
        frame[_area(rectangle)] = black if form.samples > 1 else black[0]


def blank_native(
    value: bytearray | memoryview,
    form: PixelForm,
    rectangles: Sequence[Rectangle],
    overlay_bits: Sequence[int],
    *,
    big_endian: bool,
) -> None:
    """Blank native pixels where they lie.

    Args:
        value: the value of (7FE0,0010), samples of 8 bits in their order.
        form: their form.
        rectangles: what is blanked, inside the image.
        overlay_bits: bits cleared in every pixel.
        big_endian: the order of bytes of wider samples.

    Raises:
        Quarantine: (code `pixels`) there are more or fewer bytes than the form tells of.
    """
    size = (form.frame_bits * form.frames + 7) // 8
    # A byte pads to an even length; what is more may be frames that nobody has counted.
    fits = size <= len(value) < size + max(form.frame_bits // 8, 2)
    if not fits or (form.subsampled and form.columns % 2):
        raise Quarantine(
            "pixels",
            "the length of Pixel Data (7FE0,0010) does not fit Rows, Columns and Number of "
            "Frames; have the object corrected at its source",
        )
    value[size:] = bytes(len(value) - size)
    for number in range(form.frames):
        if form.bits_allocated == 1:
            _blank_bits(value, form, rectangles, number)
        else:
            samples = _native_frame(value, form, number, big_endian=big_endian)
            _blank_samples(samples, form, rectangles, overlay_bits)


def unpack_bits(value: bytes, form: PixelForm, swapped: bool) -> Iterator[Frame]:
    """Yield the frames of native pixels of one bit each, a byte per pixel."""
    packed = np.frombuffer(value, np.uint16).byteswap().tobytes() if swapped else value
    for number in range(form.frames):
        first = number * form.frame_bits
        start, stop = first // 8, (first + form.frame_bits + 7) // 8
        if stop > len(packed):
            raise Quarantine(
                "pixels", "Pixel Data (7FE0,0010) end before the last frame; send the study again"
            )
        bits = np.unpackbits(
            np.frombuffer(packed, np.uint8, stop - start, start), bitorder="little"
        )
        yield bits[first - 8 * start :][: form.frame_bits].reshape(form.rows, form.columns)


def _native_frame(
    value: bytearray | memoryview, form: PixelForm, number: int, *, big_endian: bool
) -> Frame:
    count = form.frame_bits // form.bits_allocated
    dtype = form.dtype.newbyteorder(">" if big_endian else "<")
    return np.frombuffer(value, dtype, count, number * form.frame_bits // 8)


def _blank_samples(
    samples: Frame, form: PixelForm, rectangles: Sequence[Rectangle], overlay_bits: Sequence[int]
) -> None:
    if form.subsampled:
        _blank_subsampled(samples.reshape(form.rows, form.columns // 2, 4), form, rectangles)
    elif form.samples == 1:
        blank_frame(samples.reshape(form.rows, form.columns), form, rectangles, overlay_bits)
    elif form.planar:
        planes = samples.reshape(form.samples, form.rows, form.columns)
        blank_frame(np.moveaxis(planes, 0, 2), form, rectangles, overlay_bits)
    else:
        shape = (form.rows, form.columns, form.samples)
        blank_frame(samples.reshape(shape), form, rectangles, overlay_bits)


def _blank_subsampled(pairs: Frame, form: PixelForm, rectangles: Sequence[Rectangle]) -> None:
    """Blank pairs of pixels, each two luminances and the colour of both."""
    luminance, *colour = form.black(pairs)
    for rectangle in rectangles:
        rows = slice(rectangle.top, rectangle.bottom)
        for first in (0, 1):
            start, stop = (edge + 1 - first for edge in (rectangle.left, rectangle.right))
            pairs[rows, start // 2 : stop // 2, first] = luminance
        # A pair that is only half inside keeps its colour, which the other pixel needs.
        pairs[rows, (rectangle.left + 1) // 2 : rectangle.right // 2, 2:] = colour


def _blank_bits(
    value: bytearray | memoryview, form: PixelForm, rectangles: Sequence[Rectangle], number: int
) -> None:
    """Blank a frame of one bit per pixel; frames and rows need not begin at a byte."""
    first = number * form.frame_bits
    start, stop = first // 8, (first + form.frame_bits + 7) // 8
    packed = np.frombuffer(value, np.uint8, stop - start, start)
    bits = np.unpackbits(packed, bitorder="little")
    inside = bits[first - 8 * start :][: form.frame_bits]
    blank_frame(inside.reshape(form.rows, form.columns), form, rectangles, ())
    packed[:] = np.packbits(bits, bitorder="little")


def _clear_bits(frame: Frame, form: PixelForm, overlay_bits: Sequence[int]) -> None:
    if not overlay_bits:
        return
    unsigned = frame.view(np.dtype(f"u{frame.dtype.itemsize}").newbyteorder(frame.dtype.byteorder))
    mask = sum(1 << bit for bit in overlay_bits if form.bits_stored <= bit < form.bits_allocated)
    unsigned &= unsigned.dtype.type(((1 << form.bits_allocated) - 1) ^ mask)


def _area(rectangle: Rectangle) -> tuple[slice, slice]:
    return slice(rectangle.top, rectangle.bottom), slice(rectangle.left, rectangle.right)
