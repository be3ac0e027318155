# SPDX-License-Identifier: GPL-3.0-or-later
"""The second look: text in pixels is found, tissue is not taken for it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from orthanc_deid.errors import ProfileError, Quarantine
from orthanc_deid.ocr import TextReader
from orthanc_deid.rectangles import Rectangle


@pytest.fixture(scope="module")
def reader():
    return TextReader()


def drawn(text, *, ground=0, ink=255, size=18, at=(60, 70)):
    image = Image.new("L", (320, 160), ground)
    ImageDraw.Draw(image).text(at, text, fill=ink, font=ImageFont.load_default(size=size))
    return np.asarray(image)


def file_of(*frames, stored=8, **attributes):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"
    dataset.Rows, dataset.Columns = frames[0].shape[:2]
    dataset.SamplesPerPixel = frames[0].shape[2] if frames[0].ndim > 2 else 1
    dataset.PhotometricInterpretation = "RGB" if frames[0].ndim > 2 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = frames[0].dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, 0
    dataset.NumberOfFrames = len(frames)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = b"".join(frame.tobytes() for frame in frames)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize(("ground", "ink"), [(0, 255), (255, 0), (90, 220), (200, 60)], ids=str)
def test_bright_and_dark_text_is_found_where_it_stands(reader, ground, ink):
    found = list(reader.find(file_of(drawn("SCHMIDT 1961", ground=ground, ink=ink))))
    assert found
    for text in found:
        assert text.frame == 1
        assert text.box.clip(320, 160) == text.box
        assert text.box.left >= 55
        assert text.box.top >= 65
        assert text.box.bottom <= 95


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 255), (255, 255, 0)], ids=str)
def test_coloured_text_is_found(reader, colour):
    mask = drawn("SCHMIDT 1961")[..., None] / 255
    frame = (mask * np.array(colour)).astype(np.uint8)
    assert list(reader.find(file_of(frame)))


def test_text_as_bright_as_its_coloured_ground_is_found(reader):
    mask = drawn("SCHMIDT 1961")[..., None] / 255
    frame = mask * np.array((255, 255, 0)) + (1 - mask) * np.array((0, 0, 255))
    assert list(reader.find(file_of(frame.astype(np.uint8))))


def test_text_outside_the_window_that_the_image_names_is_found(reader):
    tissue = np.random.default_rng(0).integers(900, 1100, (160, 320)).astype(np.uint16)
    text = np.where(drawn("SCHMIDT 1961") > 127, 4095, tissue).astype(np.uint16)
    data = file_of(text, stored=12, WindowCenter=40, WindowWidth=20, RescaleIntercept=0)
    assert list(reader.find(data))


def test_faint_text_inside_the_window_that_the_image_names_is_found(reader):
    text = (1000 + drawn("SCHMIDT 1961").astype(np.uint16) // 16).astype(np.uint16)
    text[0, 0] = 60000
    data = file_of(text, stored=16, WindowCenter=1008, WindowWidth=20)
    assert list(reader.find(data))


def test_text_in_one_frame_of_several_is_found_there(reader):
    empty = np.zeros((160, 320), np.uint8)
    found = list(reader.find(file_of(empty, empty, drawn("SCHMIDT 1961"))))
    assert {text.frame for text in found} == {3}


def test_the_reason_names_the_place_and_never_the_text(reader):
    with pytest.raises(Quarantine) as refused:
        reader.check(file_of(drawn("SCHMIDT 1961")))
    assert refused.value.code == "text-in-pixels"
    assert "frame 1 at left" in refused.value.message
    assert "SCHMIDT" not in refused.value.message
    assert "1961" not in refused.value.message


@pytest.mark.parametrize("size", [12, 18, 28, 36, 48])
@pytest.mark.parametrize("box", [True, False], ids=["on a box", "on the tissue"])
def test_text_in_tissue_is_found_however_large_it_is(reader, size, box):
    rows, columns = np.ogrid[:480, :640]
    tissue = np.zeros((480, 640), np.uint8)
    fan = (rows > 90) & (np.abs(columns - 320) < (rows - 60) * 0.7)
    tissue[fan] = ((rows * 7 + columns * 3) % 120 + 40).astype(np.uint8)[fan]
    image = Image.fromarray(tissue)
    drawing, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    if box:
        left, top, right, bottom = drawing.textbbox((130, 385), "LINDQVIST MAJA", font=font)
        drawing.rectangle((left - 9, top - 5, right + 90, bottom + 20), fill=0)
    drawing.text((130, 385), "LINDQVIST MAJA", fill=255, font=font)
    found = list(reader.find(file_of(np.asarray(image))))
    assert any(380 <= text.box.top <= 480 for text in found)


@pytest.mark.parametrize("marker", ["R", "L", "cm"])
def test_markers_and_units_do_not_count(reader, marker):
    reader.check(file_of(drawn(marker, size=24)))


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "693_J2KR.dcm", "MR2_J2KR.dcm", "RG3_J2KR.dcm", "liver.dcm"],
)
def test_tissue_is_not_taken_for_text(reader, name):
    reader.check(Path(get_testdata_file(name, download=False)).read_bytes())


def test_text_of_a_real_ultrasound_header_is_found(reader):
    data = Path(get_testdata_file("examples_palette.dcm", download=False)).read_bytes()
    assert any(text.box.top < 60 for text in reader.find(data))


def test_the_profile_is_refused_where_tesseract_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProfileError, match="install the package tesseract-ocr"):
        TextReader()


def test_the_profile_is_refused_where_the_language_is_missing(monkeypatch, tmp_path):
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\necho osd\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProfileError, match="tesseract-ocr-eng"):
        TextReader()


def test_an_image_that_tesseract_cannot_read_waits_for_a_person(monkeypatch, tmp_path):
    program = tmp_path / "tesseract"
    program.write_text('#!/bin/sh\n[ "$1" = --list-langs ] && echo eng && exit 0\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Quarantine, match="could not read"):
        TextReader().check(file_of(drawn("SCHMIDT 1961")))


def test_a_box_reads_as_a_place():
    assert str(Rectangle(3, 4, 50, 12)) == "left 3, top 4, 50 x 12 pixels"
