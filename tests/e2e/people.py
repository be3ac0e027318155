# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of invented patients whose data would break a page that took text for anything else."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid


@dataclass(frozen=True)
class Person:
    """What one study says of its patient, and of itself."""

    name: str
    patient_id: str
    accession: str
    description: str
    date: str = "20260114"
    file: str = "CT_small.dcm"
    instances: int = 3


SCRIPT = Person(
    "<script>alert(1)</script>^Eve",
    "MRN-<b>1</b>",
    "ACC<i>1</i>",
    "CT <img src=x onerror=alert(1)>",
)
QUOTES = Person('O\'Brien "Jo"^Sean', "MRN'2\"", "A'2\"", "MR 'HEAD' \"T1\"", file="MR_small.dcm")
KANJI = Person("Yamada^Tarou=山田^太郎=やまだ^たろう", "MRN山3", "受付3", "胸部CT検査")
RIGHT_TO_LEFT = Person("كريم^أحمد", "MRN-ع4", "ACC-ع4", "أشعة الصدر")
PLAIN = Person("Public^John^Quincy", "MRN774711", "ACC20260115", "CT THORAX", "20260115")
ULTRASOUND = Person("Lindqvist^Astrid", "MRN118822", "ACC20260116", "US ABDOMEN", "20260116", "us")
EVERYBODY = (SCRIPT, QUOTES, KANJI, RIGHT_TO_LEFT, PLAIN, ULTRASOUND)


def study_of(person: Person) -> list[Dataset]:
    """Return the instances of a new study of a person."""
    template = _ultrasound() if person.file == "us" else dcmread(_path(person.file))
    template.SpecificCharacterSet = "ISO_IR 192"
    template.PatientName = person.name
    template.PatientID = person.patient_id
    template.PatientBirthDate = "19610423"
    template.AccessionNumber = person.accession
    template.StudyDescription = person.description
    template.SeriesDescription = person.description
    template.StudyDate = template.SeriesDate = template.ContentDate = person.date
    template.StudyTime = "101500"
    template.ReferringPhysicianName = person.name
    template.StudyInstanceUID = generate_uid()
    template.SeriesInstanceUID = generate_uid()
    return list(_instances(template, person.instances))


def _path(name: str) -> str:
    return str(get_testdata_file(name))


def _instances(template: Dataset, count: int) -> Iterator[Dataset]:
    for number in range(1, count + 1):
        instance = deepcopy(template)
        instance.InstanceNumber = number
        instance.SOPInstanceUID = generate_uid()
        instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
        yield instance


def _ultrasound() -> Dataset:
    """Return an image whose scan lies in a known region, with writing above it."""
    dataset = dcmread(_path("CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    dataset.Modality, dataset.Manufacturer = "US", "GE Healthcare"
    dataset.ManufacturerModelName = "LOGIQE9"
    dataset.Rows, dataset.Columns = 480, 640
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    for keyword in ("RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth"):
        dataset.pop(keyword, None)
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
        dataset.pop(keyword, None)
    pixels = np.zeros((480, 640), np.uint8)
    row, column = np.ogrid[:480, :640]
    fan = (row > 90) & (np.abs(column - 320) < (row - 60) * 0.7)
    pixels[fan] = ((row * 7 + column * 3) % 120 + 40).astype(np.uint8)[fan]
    pixels[12:26, 20:300:3] = 255
    pixels[34:46, 20:220:2] = 230
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 80
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 620, 470
    dataset.SequenceOfUltrasoundRegions = [region]
    return dataset
