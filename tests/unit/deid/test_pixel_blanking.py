# SPDX-License-Identifier: GPL-3.0-or-later
"""Blanking: no text is left, and nothing outside the rectangles changes, whatever the encoding."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate

from orthanc_deid.errors import Quarantine
from orthanc_deid.ocr import TextReader
from orthanc_deid.pixels import blank
from orthanc_deid.rectangles import Rectangle

from .rendered_images import (
    COLUMNS,
    HEADER,
    KINDS,
    LOSSLESS,
    LOSSY,
    ROWS,
    coloured,
    deep,
    encoded,
    frames_of,
    in_rle,
    j2k,
    native,
    outside_of,
    rendered,
    saved,
)


@pytest.fixture(scope="module")
def reader():
    return TextReader()


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_gone_and_all_else_is_unchanged(kind, reader):
    data = KINDS[kind]()
    assert any(HEADER.top <= text.box.top < HEADER.bottom for text in reader.find(data))

    result = blank(data, [HEADER])

    assert result.frames == 1
    assert list(reader.find(result.data)) == []
    before, after = frames_of(data)[0], frames_of(result.data)[0]
    rest = outside_of([HEADER], before.shape)
    np.testing.assert_array_equal(after[rest], before[rest])
    blanked = after[~rest].reshape(HEADER.width * HEADER.height, -1)
    assert (blanked == blanked[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_metadata_fit_the_blanked_pixels(kind):
    data = KINDS[kind]()
    before = dcmread(BytesIO(data))
    result = blank(data, [HEADER])
    after = dcmread(BytesIO(result.data))
    assert after.file_meta.TransferSyntaxUID == result.transfer_syntax
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel"):
        assert after[keyword].value == before[keyword].value
    expected = before.PhotometricInterpretation
    if expected in ("YBR_RCT", "YBR_ICT"):
        expected = "RGB"
    assert after.PhotometricInterpretation == expected.removesuffix("_422")
    assert after.pixel_array.shape == before.pixel_array.shape


@pytest.mark.parametrize(
    ("sop_class", "planar"),
    [(uid.UltrasoundMultiFrameImageStorage, 1), (uid.SecondaryCaptureImageStorage, 0)],
)
def test_only_ultrasound_calls_run_length_encoded_colours_planes(sop_class, planar):
    before = dcmread(BytesIO(KINDS["JPEG Baseline in colour"]()))
    before.SOPClassUID = before.file_meta.MediaStorageSOPClassUID = sop_class
    data = BytesIO()
    before.save_as(data)
    result = blank(data.getvalue(), [HEADER])
    assert result.transfer_syntax == uid.RLELossless
    assert dcmread(BytesIO(result.data)).PlanarConfiguration == planar


@pytest.mark.parametrize("kind", LOSSY)
def test_no_image_is_compressed_with_loss_again(kind):
    result = blank(LOSSY[kind](), [HEADER])
    assert result.transfer_syntax in (uid.RLELossless, uid.JPEG2000Lossless)


@pytest.mark.parametrize("kind", ["JPEG Baseline", "JPEG Extended, 12 bits"])
def test_an_image_that_had_loss_says_so(kind):
    result = blank(LOSSY[kind](), [HEADER])
    assert dcmread(BytesIO(result.data)).LossyImageCompression == "01"


@pytest.mark.parametrize("kind", list(LOSSLESS)[:8])
def test_native_files_change_in_the_pixels_only(kind):
    data = LOSSLESS[kind]()
    result = blank(data, [HEADER])
    before, after = dcmread(BytesIO(data)), dcmread(BytesIO(result.data))
    assert result.transfer_syntax == before.file_meta.TransferSyntaxUID
    del before.PixelData, after.PixelData
    assert before == after
    if kind != "deflated":
        assert len(result.data) == len(data)
        start = max(data.find(b"\xe0\x7f\x10\x00"), data.find(b"\x7f\xe0\x00\x10"))
        assert result.data[:start] == data[:start]
        assert result.data[start:] != data[start:]


BLACK = {
    "explicit big endian, signed": [-2048],
    "MONOCHROME1": [255],
    "RGB": [0, 0, 0],
    "YBR_FULL": [0, 128, 128],
    "JPEG Baseline in colour": [0, 128, 128],
    "JPEG 2000 Lossless in colour": [0, 0, 0],
}


@pytest.mark.parametrize("kind", BLACK)
def test_what_is_blanked_is_black(kind):
    after = frames_of(blank(KINDS[kind](), [HEADER]).data)[0]
    assert after[5, 5].reshape(-1).tolist() == BLACK[kind]


def test_a_palette_is_blanked_with_its_darkest_colour():
    frame = rendered() // 2
    ramp = np.arange(128, dtype=np.uint16)[::-1] * 500
    tables = {
        f"{colour}PaletteColorLookupTable{part}": content
        for colour in ("Red", "Green", "Blue")
        for part, content in (("Descriptor", [128, 0, 16]), ("Data", ramp.tobytes()))
    }
    data = native(uid.ExplicitVRLittleEndian, frame, photometric="PALETTE COLOR", **tables)
    assert (frames_of(blank(data, [HEADER]).data)[0][:40] == 127).all()


def test_each_frame_is_blanked_and_the_order_stays():
    frames = [rendered(number=n) for n in range(5)]
    value = np.stack(frames).tobytes()
    data = saved(uid.ExplicitVRLittleEndian, value, frames[0], frames=5)
    data = in_rle(data, encapsulate_ext=True)
    assert "ExtendedOffsetTable" in dcmread(BytesIO(data))
    result = blank(data, [HEADER])
    assert result.frames == 5
    assert "ExtendedOffsetTable" not in dcmread(BytesIO(result.data))
    for before, after in zip(frames, frames_of(result.data), strict=True):
        np.testing.assert_array_equal(after[40:], before[40:])
        assert not after[:40].any()


def test_planes_of_colour_are_blanked_in_each():
    frame = coloured()
    planes = np.ascontiguousarray(np.moveaxis(frame, 2, 0))
    data = saved(uid.ExplicitVRLittleEndian, planes.tobytes(), frame, PlanarConfiguration=1)
    after = frames_of(blank(data, [Rectangle(10, 5, 30, 20)]).data)[0]
    rest = outside_of([Rectangle(10, 5, 30, 20)], frame.shape)
    np.testing.assert_array_equal(after[rest], frame[rest])
    assert not after[~rest].any()


@pytest.mark.parametrize("left", [10, 11])
@pytest.mark.parametrize("width", [20, 21])
def test_pixels_that_share_their_colour_keep_it_if_one_of_them_stays(left, width):
    pairs = np.random.default_rng(1).integers(0, 256, (ROWS, COLUMNS // 2, 4), np.uint8)
    shape = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    data = saved(uid.ExplicitVRLittleEndian, pairs.tobytes(), shape, photometric="YBR_FULL_422")
    rectangle = Rectangle(left, 5, width, 20)
    before, after = frames_of(data)[0], frames_of(blank(data, [rectangle]).data)[0]
    rest = outside_of([rectangle], before.shape)
    np.testing.assert_array_equal(after[rest], before[rest])
    assert not after[~rest][:, 0].any()


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_single_bits_are_blanked_across_bytes_and_frames(syntax):
    frames = np.random.default_rng(2).integers(0, 2, (3, 7, 13), np.uint8)
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    data = saved(
        syntax,
        packed + bytes(len(packed) % 2),
        frames[0],
        frames=3,
        stored=1,
        BitsAllocated=1,
    )
    rectangle = Rectangle(3, 2, 6, 4)
    after = np.stack(frames_of(blank(data, [rectangle]).data))
    rest = outside_of([rectangle], frames[0].shape)
    np.testing.assert_array_equal(after[:, rest], frames[:, rest])
    assert not after[:, ~rest].any()


def test_bits_that_hold_an_overlay_are_cleared_and_no_other():
    frame = deep(12) | np.uint16(1 << 12) | np.uint16(1 << 14)
    result = blank(native(uid.ExplicitVRLittleEndian, frame, stored=12), [], [12])
    value = np.frombuffer(dcmread(BytesIO(result.data)).PixelData, "<u2").reshape(frame.shape)
    np.testing.assert_array_equal(value, frame & ~np.uint16(1 << 12))


def test_a_rectangle_outside_the_image_leaves_the_file_as_it_is():
    data = native(uid.ExplicitVRLittleEndian, rendered())
    result = blank(data, [Rectangle(COLUMNS, 0, 10, 10), Rectangle(-10, 5, 10, 9)])
    assert result.data is data
    assert result.frames == 0


def test_an_image_that_fits_no_length_is_refused():
    frame = rendered()
    for value in (frame.tobytes()[:-500], frame.tobytes() * 2):
        with pytest.raises(Quarantine, match="does not fit"):
            blank(saved(uid.ExplicitVRLittleEndian, value, frame), [HEADER])


def test_video_is_refused_with_what_to_do():
    data = saved(uid.MPEG4HP41, encapsulate([b"\0" * 100]), coloured(), photometric="YBR_FULL")
    with pytest.raises(Quarantine, match="send the study again uncompressed") as refused:
        blank(data, [HEADER])
    assert refused.value.code == "pixels"


def test_damaged_pixels_are_refused():
    data = saved(uid.RLELossless, encapsulate([b"\1" * 100]), rendered())
    with pytest.raises(Quarantine, match="cannot be decoded"):
        blank(data, [HEADER])


def test_missing_frames_are_refused():
    one = encapsulate([imagecodecs.jpegls_encode(rendered())])
    with pytest.raises(Quarantine, match="1 frames were found"):
        blank(saved(uid.JPEGLSLossless, one, rendered(), frames=2), [HEADER])


edge = st.integers(-12, 30)
rectangles = st.lists(
    st.builds(Rectangle, edge, edge, st.integers(0, 30), st.integers(0, 30)), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(chosen=rectangles, kind=st.sampled_from(["native", "rle", "j2k"]))
def test_any_rectangles_blank_their_own_pixels_and_no_others(chosen, kind):
    frame = np.random.default_rng(3).integers(1, 256, (17, 23), np.uint8)
    data = {
        "native": lambda: native(uid.ExplicitVRLittleEndian, np.ascontiguousarray(frame)),
        "rle": lambda: in_rle(native(uid.ExplicitVRLittleEndian, frame)),
        "j2k": lambda: encoded(uid.JPEG2000Lossless, frame, j2k(reversible=True)),
    }[kind]()
    after = frames_of(blank(data, chosen).data)[0]
    rest = outside_of(chosen, frame.shape)
    np.testing.assert_array_equal(after, np.where(rest, frame, 0))
