"""Real DICOM files with unique text planted in them."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

# Several vendors and kinds of object, as scanners sent them.
FILES = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_implicit.dcm", "examples_overlay.dcm", "693_J2KI.dcm",
    "emri_small_jpeg_ls_lossless.dcm", "rtdose_1frame.dcm", "rtplan.dcm",
)  # fmt: skip
_counter = itertools.count(1)

PLANTED_TEXT = (
    "PatientName", "OtherPatientNames", "PatientMotherBirthName", "PatientAddress",
    "PatientTelephoneNumbers",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "InstitutionName",
    "InstitutionAddress", "StationName", "StudyDescription", "SeriesDescription", "ProtocolName",
    "PatientComments", "ImageComments", "AccessionNumber", "StudyID", "DeviceSerialNumber",
    "PatientID", "IssuerOfPatientID", "AdmissionID", "RequestingService",
)  # fmt: skip


def token() -> str:
    """Return text that stands nowhere else."""
    return f"ZQ{next(_counter):06d}XJ"


def planted_study(
    name: str, instances: int, *, patient: str | None = None
) -> tuple[list[Dataset], list[str]]:
    """Return a study made from one of pydicom's files, and everything that was planted in it.

    The text stands in standard, nested and private attributes, in dates and in UIDs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        template: Dataset = dcmread(Path(str(get_testdata_file(name))))
        # Some of pydicom's files say that they were anonymized; such a study is not done again.
        if "PatientIdentityRemoved" in template:
            del template.PatientIdentityRemoved
        planted = list(_plant(template, patient))
        study, series = generate_uid(), generate_uid()
        template.StudyInstanceUID, template.SeriesInstanceUID = study, series
        made = []
        for number in range(1, instances + 1):
            instance = copy.deepcopy(template)
            instance.InstanceNumber = number
            instance.SOPInstanceUID = generate_uid()
            instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
            planted.append(str(instance.SOPInstanceUID))
            made.append(instance)
    return made, [*planted, str(study), str(series)]


def _plant(dataset: Dataset, patient: str | None) -> Iterator[str]:
    # A patient is known by both.
    own = {"PatientID": patient, "IssuerOfPatientID": f"HOSPITAL-OF-{patient}"} if patient else {}
    for keyword in PLANTED_TEXT:
        text = own.get(keyword) or token()
        setattr(dataset, keyword, f"{text}^JOHN" if dictionary_VR(keyword) == "PN" else text)
        yield text
    dataset.PatientBirthDate = "19330217"
    dataset.StudyDate = dataset.SeriesDate = "20190827"
    dataset.StudyTime = "101112"
    yield from ("19330217", "20190827")
    nested = Dataset()
    nested.ReferencedSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    nested.ReferencedSOPInstanceUID = generate_uid()
    nested.PersonName = f"{token()}^NESTED"
    nested.InstitutionName = token()
    deeper = Dataset()
    deeper.TextValue = token()
    nested.ContentSequence = Sequence([deeper])
    dataset.ReferencedImageSequence = Sequence([nested])
    yield from (
        str(nested.ReferencedSOPInstanceUID), str(nested.PersonName).partition("^")[0],
        nested.InstitutionName, deeper.TextValue,
    )  # fmt: skip
    block = dataset.private_block(0x0099, f"ACME {token()}", create=True)
    yield block.private_creator.split()[1]
    text = token()
    block.add_new(0x01, "LO", text)
    inside = Dataset()
    inside.PatientName = f"{token()}^PRIVATE"
    block.add_new(0x02, "SQ", Sequence([inside]))
    yield from (text, str(inside.PatientName).partition("^")[0])
