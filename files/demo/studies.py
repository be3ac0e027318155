# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of an invented patient, made from the DICOM files that come with pydicom."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid


@dataclass(frozen=True)
class Recipe:
    """How one study is made: the file of pydicom that it copies, and how often."""

    file: str
    instances: int
    description: str


RECIPES = (
    Recipe("CT_small.dcm", 24, "CT Thorax for John Q Public"),
    Recipe("MR_small.dcm", 16, "MR Brain, ordered by Dr. Amelia Harper"),
    Recipe("rtdose_1frame.dcm", 1, "Radiotherapy dose of MRN 77-4711"),
)

# Everybody here is invented. What these say must not be found in what leaves the PHI Orthanc.
PATIENT = {
    "PatientName": "Public^John^Quincy^^",
    "PatientID": "MRN774711",
    "IssuerOfPatientID": "EXAMPLEHOSP",
    "PatientBirthDate": "19610423",
    "PatientSex": "M",
    "OtherPatientNames": "Public^Johnny",
    "PatientAddress": "12 Elm Street, Springfield",
    "PatientTelephoneNumbers": "555-867-5309",
    "PatientMotherBirthName": "Littlefield",
}
STAFF = {
    "ReferringPhysicianName": "Harper^Amelia^^Dr",
    "PerformingPhysicianName": "Okonkwo^Chidi",
    "OperatorsName": "Vandermeer^Saskia",
    "InstitutionName": "Example Hospital",
    "InstitutionAddress": "1 Hospital Drive, Springfield",
    "StationName": "CTROOM3",
}
STUDY_DATES = ("20240115", "20240307", "20240618")


def uid(*names: object) -> str:
    """Return the same UID for the same names, so that a second demo sends the same studies."""
    return str(generate_uid(entropy_srcs=["imaging.orthanc demo", *map(str, names)]))


def demo_study(recipe: Recipe, date: str) -> Iterator[Dataset]:
    """Yield the instances of one study, with the invented patient's data put in."""
    template = dcmread(get_testdata_file(recipe.file))  # type: ignore[arg-type]
    for keyword, value in (PATIENT | STAFF).items():
        setattr(template, keyword, value)
    template.StudyInstanceUID = uid(recipe.file, "study")
    template.SeriesInstanceUID = uid(recipe.file, "series")
    template.FrameOfReferenceUID = uid(recipe.file, "frame of reference")
    template.StudyDescription = recipe.description
    template.AccessionNumber = f"ACC{date}"
    template.StudyDate = template.SeriesDate = template.ContentDate = date
    template.StudyTime = "101500"
    template.SeriesNumber = 3
    for number in range(1, recipe.instances + 1):
        instance = deepcopy(template)
        instance.InstanceNumber = number
        instance.SOPInstanceUID = uid(recipe.file, number)
        instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
        yield instance


def demo_studies() -> list[list[Dataset]]:
    """Return the demo's studies, each a list of instances of one patient."""
    return [list(demo_study(*made)) for made in zip(RECIPES, STUDY_DATES, strict=True)]
