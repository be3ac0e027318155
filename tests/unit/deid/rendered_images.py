# SPDX-License-Identifier: GPL-3.0-or-later
"""Images with a name burned in at a known place, in each transfer syntax."""

from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from orthanc_deid.pixels import iter_frames
from orthanc_deid.rectangles import Rectangle

ROWS, COLUMNS = 160, 320
HEADER = Rectangle(0, 0, COLUMNS, 40)
NAME = "MUSTERFRAU ERIKA"


def rendered(top=8, number=0):
    image = Image.new("L", (COLUMNS, ROWS), 0)
    draw = ImageDraw.Draw(image)
    draw.text((20, top), NAME, fill=255, font=ImageFont.load_default(size=20))
    grey = np.asarray(image).copy()
    y, x = np.mgrid[44:ROWS, :COLUMNS]
    grey[44:] = 70 + 50 * np.sin(x / 40 + number) * np.cos(y / 30)
    return grey


def deep(bits, *, signed=False):
    values = rendered().astype(np.int32) << (bits - 8)
    return (values - (1 << (bits - 1))).astype(np.int16) if signed else values.astype(np.uint16)


def coloured():
    grey = rendered()
    return np.stack((grey, grey // 2 + 20, 255 - grey // 2), axis=2)


def in_ybr(rgb):
    red, green, blue = np.moveaxis(rgb.astype(float), 2, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    both = ((blue - luminance) / 1.772 + 128, (red - luminance) / 1.402 + 128)
    return np.clip(np.rint(np.stack((luminance, *both), axis=2)), 0, 255).astype(np.uint8)


def saved(syntax, value, frame, *, frames=1, stored=None, photometric=None, **attributes):
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.Rows, dataset.Columns = frame.shape[:2]
    dataset.SamplesPerPixel = frame.shape[2] if frame.ndim > 2 else 1
    dataset.PhotometricInterpretation = photometric or ("RGB" if frame.ndim > 2 else "MONOCHROME2")
    dataset.BitsAllocated = frame.dtype.itemsize * 8
    dataset.BitsStored = stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(frame.dtype.kind == "i")
    if frame.ndim > 2:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    for keyword, content in attributes.items():
        setattr(dataset, keyword, content)
    dataset.PixelData = value
    wide = dataset.BitsAllocated > 8 and not syntax.is_encapsulated
    dataset["PixelData"].VR = "OW" if wide or syntax == uid.ImplicitVRLittleEndian else "OB"
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(
        file,
        enforce_file_format=True,
        implicit_vr=syntax == uid.ImplicitVRLittleEndian,
        little_endian=syntax != uid.ExplicitVRBigEndian,
    )
    return file.getvalue()


def native(syntax, frame, **options):
    big = syntax == uid.ExplicitVRBigEndian
    return saved(
        syntax,
        frame.astype(frame.dtype.newbyteorder(">" if big else "<")).tobytes(),
        frame,
        **options,
    )


def encoded(syntax, frame, encode, **options):
    return saved(syntax, encapsulate([encode(frame)]), frame, **options)


def in_rle(data, **options):
    dataset = dcmread(BytesIO(data))
    dataset.compress(uid.RLELossless, generate_instance_uid=False, **options)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def j2k(**options):
    return lambda frame: imagecodecs.jpeg2k_encode(frame, codecformat="j2k", **options)


LOSSLESS = {
    "implicit little endian": lambda: native(uid.ImplicitVRLittleEndian, rendered()),
    "explicit little endian, 12 bits": lambda: native(
        uid.ExplicitVRLittleEndian, deep(12), stored=12
    ),
    "explicit big endian, 16 bits": lambda: native(uid.ExplicitVRBigEndian, deep(16)),
    "explicit big endian, signed": lambda: native(
        uid.ExplicitVRBigEndian, deep(12, signed=True), stored=12
    ),
    "deflated": lambda: native(uid.DeflatedExplicitVRLittleEndian, rendered()),
    "RGB": lambda: native(uid.ExplicitVRLittleEndian, coloured()),
    "MONOCHROME1": lambda: native(
        uid.ExplicitVRLittleEndian, 255 - rendered(), photometric="MONOCHROME1"
    ),
    "YBR_FULL": lambda: native(
        uid.ExplicitVRLittleEndian, in_ybr(coloured()), photometric="YBR_FULL"
    ),
    "RLE": lambda: in_rle(native(uid.ExplicitVRLittleEndian, deep(12), stored=12)),
    "RLE in colour": lambda: in_rle(native(uid.ExplicitVRLittleEndian, coloured())),
    "JPEG Lossless": lambda: encoded(
        uid.JPEGLosslessSV1,
        deep(12),
        lambda f: imagecodecs.ljpeg_encode(f, bitspersample=12),
        stored=12,
    ),
    "JPEG-LS": lambda: encoded(uid.JPEGLSLossless, rendered(), imagecodecs.jpegls_encode),
    "JPEG 2000 Lossless": lambda: encoded(
        uid.JPEG2000Lossless,
        deep(12),
        j2k(reversible=True, bitspersample=12),
        stored=12,
    ),
    "JPEG 2000 Lossless in colour": lambda: encoded(
        uid.JPEG2000Lossless, coloured(), j2k(reversible=True, mct=True), photometric="YBR_RCT"
    ),
    "HTJ2K Lossless": lambda: encoded(
        uid.HTJ2KLossless, rendered(), lambda f: imagecodecs.htj2k_encode(f, reversible=True)
    ),
}
LOSSY = {
    "JPEG Baseline": lambda: encoded(
        uid.JPEGBaseline8Bit, rendered(), lambda f: imagecodecs.jpeg8_encode(f, level=90)
    ),
    "JPEG Baseline in colour": lambda: encoded(
        uid.JPEGBaseline8Bit,
        coloured(),
        lambda f: imagecodecs.jpeg8_encode(f, level=90, subsampling="422"),
        photometric="YBR_FULL_422",
    ),
    "JPEG Extended, 12 bits": lambda: encoded(
        uid.JPEGExtended12Bit,
        deep(12),
        lambda f: imagecodecs.jpeg8_encode(f, level=90, bitspersample=12),
        stored=12,
    ),
    "JPEG-LS Near-Lossless": lambda: encoded(
        uid.JPEGLSNearLossless, rendered(), lambda f: imagecodecs.jpegls_encode(f, level=3)
    ),
    "JPEG 2000": lambda: encoded(
        uid.JPEG2000,
        coloured(),
        j2k(level=40, reversible=False, mct=True),
        photometric="YBR_ICT",
    ),
    "HTJ2K": lambda: encoded(
        uid.HTJ2K, rendered(), lambda f: imagecodecs.htj2k_encode(f, reversible=False)
    ),
}
KINDS = {**LOSSLESS, **LOSSY}


def frames_of(data):
    return [frame.copy() for frame, _ in iter_frames(data)]


def outside_of(rectangles, shape):
    mask = np.ones(shape[:2], bool)
    for r in rectangles:
        mask[max(r.top, 0) : max(r.bottom, 0), max(r.left, 0) : max(r.right, 0)] = False
    return mask
