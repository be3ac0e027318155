# SPDX-License-Identifier: GPL-3.0-or-later
"""Blank rectangles in the pixels of a DICOM file.

Native pixels are overwritten where they lie; every other byte of the file stays. Compressed ones
are decoded, blanked and encoded frame by frame, so that one decoded frame is in memory at a time.
They are encoded without loss, whatever they were before, so that no image is compressed with loss
twice:

| before | after |
| --- | --- |
| RLE Lossless | RLE Lossless |
| JPEG 2000 with and without loss, High-Throughput JPEG 2000 | JPEG 2000 Lossless, images of less
than 32 rows or columns RLE Lossless |
| JPEG Baseline, Extended, Lossless, JPEG-LS with and without loss | RLE Lossless |

An object that was compressed with loss keeps saying so in (0028,2110). Colours are not converted:
what was decoded as YCbCr is kept as YBR_FULL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from orthanc_deid.errors import Quarantine
from orthanc_deid.pixel_frames import Frame, PixelForm, blank_frame, blank_native, unpack_bits
from orthanc_deid.pixel_risks import ULTRASOUND
from orthanc_deid.rectangles import Rectangle, clip_all

_PIXEL_DATA: Final = 0x7FE00010
_EXTENDED_OFFSETS: Final = (0x7FE00001, 0x7FE00002, 0x7FE00003)
_LONGEST: Final = 2**32 - 2
# Its encoder wants five halvings of the image.
_LEAST_FOR_JPEG_2000: Final = 32

_ENCODED_AS: Final[dict[str, UID]] = {
    **dict.fromkeys(
        (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), JPEG2000Lossless
    ),
    **dict.fromkeys(
        (
            RLELossless,
            JPEGBaseline8Bit,
            JPEGExtended12Bit,
            JPEGLossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
            JPEGLSNearLossless,
        ),
        RLELossless,
    ),
}
_LOSSY: Final = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless))


@dataclass(frozen=True, slots=True)
class Blanked:
    """A file whose pixels were blanked.

    Attributes:
        data: the file.
        frames: how many frames were changed; 0 if nothing lay inside the image, and then the
            file is the same byte for byte.
        transfer_syntax: UID of its transfer syntax, which may be another one.
    """

    data: bytes
    frames: int
    transfer_syntax: str


def blank(
    data: bytes, rectangles: Sequence[Rectangle], overlay_bits: Sequence[int] = ()
) -> Blanked:
    """Blank rectangles in every frame of a DICOM file, and clear bits that hold an overlay.

    Args:
        data: a complete DICOM file with file meta information.
        rectangles: what is blanked; parts outside the image do no harm.
        overlay_bits: bits above the stored ones, by their number, cleared in every pixel.

    Raises:
        Quarantine: (code `pixels`) these pixels cannot be blanked.
    """
    dataset = dcmread(BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    form = _form(dataset)
    inside = clip_all(rectangles, form.columns, form.rows)
    if not inside and not overlay_bits:
        return Blanked(data, 0, syntax)
    if syntax in _ENCODED_AS:
        return _blank_encoded(dataset, form, inside, overlay_bits)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        raise Quarantine(
            "pixels",
            f"pixels in the transfer syntax {syntax.name} cannot be blanked; "
            "send the study again uncompressed",
        )
    return _blank_native(data, dataset, form, inside, overlay_bits)


def iter_frames(data: bytes) -> Iterator[tuple[Frame, PixelForm]]:
    """Decode the frames of a DICOM file one after the other, their colours as stored.

    Raises:
        Quarantine: (code `pixels`) they cannot be decoded.
    """
    dataset = dcmread(BytesIO(data))
    form = _form(dataset)
    yield from _decode(dataset, form)


def _form(dataset: Dataset) -> PixelForm:
    if "PixelData" not in dataset:
        raise Quarantine(
            "pixels",
            "the object has no Pixel Data (7FE0,0010) of whole numbers to blank; "
            "look at it and take it out of the study",
        )
    try:
        return PixelForm.of(dataset)
    except (AttributeError, TypeError, ValueError) as error:
        raise Quarantine(
            "pixels",
            "the attributes of group 0028 do not describe the pixels; "
            "have the object corrected at its source",
        ) from error


def _blank_native(
    data: bytes,
    dataset: Dataset,
    form: PixelForm,
    rectangles: Sequence[Rectangle],
    overlay_bits: Sequence[int],
) -> Blanked:
    syntax = dataset.file_meta.TransferSyntaxUID
    element = _raw_element(dataset)
    swapped = _has_swapped_bytes(element, form, syntax)

    def blank_value(value: bytearray | memoryview) -> None:
        big_endian = syntax == ExplicitVRBigEndian
        if swapped:
            np.frombuffer(value, np.uint16).byteswap(inplace=True)
        blank_native(value, form, rectangles, overlay_bits, big_endian=big_endian)
        if swapped:
            np.frombuffer(value, np.uint16).byteswap(inplace=True)

    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = bytearray(element.value or b"")
        blank_value(inflated)
        dataset.PixelData = bytes(inflated)
        return Blanked(_write(dataset), form.frames, syntax)
    start, stop = element.value_tell, element.value_tell + len(element.value or b"")
    del element, dataset[_PIXEL_DATA]  # it may be large, and the file holds it as well
    changed = bytearray(data)
    blank_value(memoryview(changed)[start:stop])
    return Blanked(bytes(changed), form.frames, syntax)


def _raw_element(dataset: Dataset) -> RawDataElement:
    element = dataset.get_item(_PIXEL_DATA)
    if not isinstance(element, RawDataElement):
        raise Quarantine(
            "pixels",
            "the Pixel Data (7FE0,0010) are encapsulated against their transfer syntax; "
            "have the object corrected at its source",
        )
    return element


def _has_swapped_bytes(element: RawDataElement, form: PixelForm, syntax: UID) -> bool:
    """Tell whether samples of up to 8 bits stand in pairs in words of the other byte order."""
    return syntax == ExplicitVRBigEndian and element.VR != "OB" and form.bits_allocated <= 8


def _blank_encoded(
    dataset: Dataset,
    form: PixelForm,
    rectangles: Sequence[Rectangle],
    overlay_bits: Sequence[int],
) -> Blanked:
    before = dataset.file_meta.TransferSyntaxUID
    after = _ENCODED_AS[before]
    if min(form.rows, form.columns) < _LEAST_FOR_JPEG_2000:
        after = RLELossless
    encoded: list[bytes] = []
    seen = form
    for frame, seen in _decode(dataset, form):
        blank_frame(frame, seen, rectangles, overlay_bits)
        encoded.append(_encode(frame, seen, after))
    if len(encoded) != form.frames:
        raise Quarantine(
            "pixels",
            f"{len(encoded)} frames were found where (0028,0008) tells of {form.frames}; "
            "send the study again",
        )
    for tag in _EXTENDED_OFFSETS:
        if tag in dataset:
            del dataset[tag]
    if sum(map(len, encoded)) + 8 * len(encoded) > _LONGEST:
        pixels, offsets, lengths = encapsulate_extended(encoded)
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    else:
        pixels = encapsulate(encoded)
    encoded.clear()
    dataset.PixelData = pixels
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = after
    dataset.PhotometricInterpretation = seen.photometric
    if form.samples > 1:
        # Ultrasound tells by plane where the encoding is (PS3.3 C.8.5.6), others do not.
        by_plane = after == RLELossless and dataset.get("SOPClassUID") in ULTRASOUND
        dataset.PlanarConfiguration = int(by_plane)
    if before in _LOSSY and dataset.get("LossyImageCompression") != "01":
        dataset.LossyImageCompression = "01"
    return Blanked(_write(dataset), form.frames, after)


def _decode(dataset: Dataset, form: PixelForm) -> Iterator[tuple[Frame, PixelForm]]:
    """Yield every frame, to be written to, and its form as decoded."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if form.bits_allocated == 1 and syntax not in _ENCODED_AS:
        # Frames that do not begin at a byte are beyond the decoder.
        element = _raw_element(dataset)
        swapped = _has_swapped_bytes(element, form, syntax)
        yield from ((frame, form) for frame in unpack_bits(element.value or b"", form, swapped))
        return
    decoder = get_decoder(syntax)
    try:
        for array, found in decoder.iter_array(dataset, raw=True):
            photometric = str(found["photometric_interpretation"])
            # The decoder has undone the subsampling of colour.
            full = "YBR_FULL" if photometric == "YBR_FULL_422" else photometric
            frame = array.astype(form.dtype, copy=not array.flags.writeable)
            yield frame, replace(form, photometric=full, planar=0)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise Quarantine(
            "pixels",
            f"the pixels cannot be decoded with {syntax.name}; send the study again uncompressed",
        ) from error


def _encode(frame: Frame, form: PixelForm, syntax: UID) -> bytes:
    options: dict[str, Any] = {
        "rows": form.rows,
        "columns": form.columns,
        "number_of_frames": 1,
        "samples_per_pixel": form.samples,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits_stored,
        "pixel_representation": int(form.signed),
        "photometric_interpretation": form.photometric,
        "planar_configuration": 0,
    }
    try:
        return get_encoder(syntax).encode(frame, **options)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise Quarantine(
            "pixels",
            f"the blanked pixels cannot be encoded as {syntax.name}; "
            "send the study again uncompressed",
        ) from error


def _write(dataset: Dataset) -> bytes:
    written = BytesIO()
    try:
        dataset.save_as(written)
    except (AttributeError, TypeError, ValueError) as error:
        raise Quarantine(
            "pixels",
            "the data set is not encoded as its transfer syntax says, so it cannot be written "
            "with blanked pixels; send the study again",
        ) from error
    return written.getvalue()
