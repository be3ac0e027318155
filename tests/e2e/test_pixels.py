"""Names that are burned into pictures, on their way through a deployed site."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

import deployed

SUCCESS = 0x0000
FRAMES, ROWS, COLUMNS, HEADER = 3, 240, 320, 40


def pictures() -> np.ndarray:
    """Frames of a moving pattern, with a name in the rows of the header."""
    frames = []
    y, x = np.mgrid[:ROWS, :COLUMNS]
    for number in range(FRAMES):
        image = Image.fromarray(
            (70 + 50 * np.sin(x / 40 + number) * np.cos(y / 30)).astype(np.uint8)
        )
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, COLUMNS, HEADER - 1), fill=0)
        draw.text((20, 8), "MUSTERFRAU ERIKA", fill=255, font=ImageFont.load_default(size=20))
        frames.append(np.asarray(image))
    return np.stack(frames)


def ultrasound() -> Dataset:
    """An ultrasound clip that says by its region where the image is."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.Modality = "US-4711", "Musterfrau^Erika", "US"
    made.Rows, made.Columns, made.NumberOfFrames = ROWS, COLUMNS, FRAMES
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, HEADER
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
    made.SequenceOfUltrasoundRegions = Sequence([region])
    made.PixelData = pictures().tobytes()
    return made


def test_a_name_in_an_ultrasound_clip_is_blanked_and_its_image_stays() -> None:
    sent = ultrasound()
    assert deployed.send([sent]) == [SUCCESS]
    (data,) = deployed.files_on_anon(deployed.delivered(sent.StudyInstanceUID, 1))
    arrived = dcmread(BytesIO(data))
    frames = arrived.pixel_array
    assert not frames[:, :HEADER].any()
    assert np.array_equal(frames[:, HEADER:], pictures()[:, HEADER:])
    assert arrived.BurnedInAnnotation == "NO"


def test_a_capture_of_a_screen_waits_for_a_person() -> None:
    sent = ultrasound()
    sent.SOPClassUID = sent.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    sent.Modality = "OT"
    del sent.SequenceOfUltrasoundRegions, sent.NumberOfFrames
    sent.PixelData = pictures()[0].tobytes()
    assert deployed.send([sent]) == [SUCCESS]
    told = deployed.wait_for(
        "it is quarantined",
        lambda: (
            (now := deployed.state(sent.StudyInstanceUID)).get("state") == "quarantined" and now
        ),
    )
    assert "add a pixel rule" in told["reason"]
    assert deployed.orthanc_id("phi", sent.StudyInstanceUID)
    assert not deployed.orthanc_id("anon", str(told["anonymous_study_uid"]))
