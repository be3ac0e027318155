# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory tree with studies of several patients."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

STUDIES, INSTANCES = 12, 3


def make_tree(folder: Path) -> None:
    """Write the studies, whose files are not in the order of their UIDs."""
    for study in range(STUDIES):
        for number in range(INSTANCES):
            path = folder / f"{number}/{STUDIES - study:03d}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(instance(study + 1, number + 1, patient=study // 2))


def instance(study: int, number: int, patient: int) -> bytes:
    """Return the bytes of a CT instance without pixels."""
    made = Dataset()
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = f"1.2.{study}.{number}"
    made.StudyDate = "20240312"
    made.StudyDescription = "CT chest, seen 12.03.2024"
    made.PatientName = f"Quillfeather^Number{patient}"
    made.PatientID = f"PID-{patient:05d}"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.0"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a tree."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
