"""Builders of small DICOM files and of what Orthanc's index says of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from disk_tree import DEFAULT_PSEUDONYM, DEFAULT_TEMPLATE, parse_template
from disk_writer import Instance, Series, Study, Tree

MakeStudy = Callable[..., Study]


class Files:
    """The files of the instances by Orthanc's identifiers."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self._numbers = itertools.count(1)

    def instance(self, study: str, series: str, number: int, *, marked: bool = True) -> Instance:
        uid = f"2.25.{next(self._numbers)}"
        dataset = Dataset()
        dataset.SOPInstanceUID = uid
        if marked:
            dataset.PatientIdentityRemoved = "YES"
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = series
        dataset.InstanceNumber = number
        dataset.EncapsulatedDocument = bytes(64)
        self.data[uid] = encode(dataset)
        tags = {"SOPInstanceUID": uid, "InstanceNumber": str(number)}
        return Instance(uid, len(self.data[uid]), tags)

    def series(
        self, study: str, uid: str, count: int = 2, *, marked: bool = True, **tags: str
    ) -> Series:
        known = {"SeriesInstanceUID": uid, "SeriesNumber": "3", "SeriesDescription": "Axial"}
        instances = tuple(self.instance(study, uid, n, marked=marked) for n in range(1, count + 1))
        return Series({**known, "Modality": "CT", **tags}, instances)

    def study(self, uid: str = "1.2.1", *series: Series, **tags: str) -> Study:
        known = {
            "PatientName": "DEMO^ID000007^^^",
            "StudyInstanceUID": uid,
            "StudyDate": "20240102",
            "StudyTime": "101112.5",
        }
        return Study(f"study-{uid}", {**known, **tags}, series or (self.series(uid, f"{uid}.3"),))


def encode(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "tree"
    root.mkdir()
    return Tree(root, parse_template(DEFAULT_TEMPLATE, DEFAULT_PSEUDONYM))
