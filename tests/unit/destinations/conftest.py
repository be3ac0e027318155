# SPDX-License-Identifier: GPL-3.0-or-later
"""A study on its way, and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from partners import Authority, make_authority


class Files(NamedTuple):
    """A study in a spool: its Study Instance UID, and files by SOP Instance UID."""

    study: str
    paths: dict[str, Path]

    def contents(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.paths.values())


def make_files(directory: Path, names: tuple[str, ...], each: int = 2) -> Files:
    """Write copies of pydicom's files as one study with a series for each of them."""
    directory.mkdir(parents=True, exist_ok=True)
    study = generate_uid()
    paths = {}
    for name in names:
        dataset = dcmread(str(get_testdata_file(name)))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid()
        dataset.PatientName, dataset.PatientID = "DEMO^ID000007^^^", "DEMO_ID000007"
        dataset.StudyDate, dataset.StudyTime = "20190827", "101112"
        for number in range(1, each + 1):
            dataset.SOPInstanceUID = generate_uid()
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = number
            path = directory / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path)
            paths[str(dataset.SOPInstanceUID)] = path
    return Files(study, paths)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A study of two CT images, and two MR images in JPEG 2000."""
    return make_files(tmp_path / "spool", ("CT_small.dcm", "MR_small_jp2klossless.dcm"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of a partner."""
    return make_authority(tmp_path_factory.mktemp("authority"))
