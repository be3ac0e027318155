# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are judged: those that come with pydicom, and one made for each kind of object."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import pydicom
from pydicom.data import get_charset_files, get_testdata_files
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from .expectation import Types, sop_classes, types_of

# Given to files that lack them, since every instance of a study has them.
IDENTITY: Final = {
    "SOPClassUID": CTImageStorage,
    "SOPInstanceUID": "1.2.826.0.1.3",
    "StudyInstanceUID": "1.2.826.0.1.1",
    "SeriesInstanceUID": "1.2.826.0.1.2",
    "PatientID": "PID-84213",
}
_ENCODINGS: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_CHARSETS: Final = ("ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "GB18030")
_MAX_DEPTH: Final = 4


class Sample(NamedTuple):
    """A DICOM file: its name for people, its bytes, and whether to plant with VR UN as well."""

    name: str
    data: bytes
    unknown_vr: bool = False


def real_samples() -> Iterator[Sample]:
    """Yield pydicom's files, those of the package pydicom-data too where that is installed."""
    for path in sorted({Path(name) for name in [*get_testdata_files(), *get_charset_files()]}):
        if path.is_file() and "DICOMDIR" not in path.name:
            data = with_identity(path)
            if data is not None:
                yield Sample(path.name, data)


def with_identity(path: Path) -> bytes | None:
    """Read a file and give it the identity that it lacks; None if it is no instance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
        except Exception:  # pydicom raises what it likes on files that are made to break it
            return None
        if "PatientName" not in dataset and "SOPClassUID" not in dataset:
            return None
        missing = {word: value for word, value in IDENTITY.items() if not dataset.get(word)}
        if not missing:
            return path.read_bytes()
        for keyword, value in missing.items():
            dataset.add_new(keyword, dictionary_VR(keyword), value)
        buffer = BytesIO()
        try:
            dataset.save_as(buffer)
        except Exception:
            return None
    return buffer.getvalue()


def made_samples(iods: Container[str] | None = None) -> Iterator[Sample]:
    """Yield an object of each IOD whose Types are known, with every sequence that it may hold.

    Encodings and character sets take turns.

    Args:
        iods: the names of those that are wanted; all if None.
    """
    first_of = {iod: uid for uid, iod in reversed(sop_classes().items())}
    for number, (iod, uid) in enumerate(sorted(first_of.items())):
        types = types_of(uid) if iods is None or iod in iods else None
        if types is not None:
            encoding = _ENCODINGS[number % len(_ENCODINGS)]
            charset = _CHARSETS[number % len(_CHARSETS)]
            name = f"{iod} ({encoding.name}, {charset})"
            yield Sample(name, _made(uid, types, encoding, charset), unknown_vr=number % 3 == 0)


def _made(uid: str, types: Types, encoding: UID, charset: str) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset.split("\\")
    for keyword, value in IDENTITY.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID = uid
    dataset.PatientName = "Yamada^Tarou=山田^太郎" if "87" in charset else "Quillfeather^Ottoline"
    _grow(dataset, types, 0)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = encoding
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _grow(dataset: Dataset, types: Types, depth: int) -> None:
    """Add an item to each sequence that the IOD has; the planting fills it."""
    for tag, inner in types.items.items():
        if depth < _MAX_DEPTH and dictionary_VR(tag) == "SQ":
            item = Dataset()
            _grow(item, inner, depth + 1)
            dataset.add_new(tag, "SQ", Sequence([item]))
