# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances to de-identify: small ones made here, and all that come with pydicom."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from orthanc_deid.engine import Engine, Output
from orthanc_deid.identity import read_identity
from orthanc_deid.keys import Keys
from orthanc_deid.pixel_rules import PixelRule, PixelRules
from orthanc_deid.pixel_signatures import All
from orthanc_deid.profile import load_profile
from orthanc_deid.subject import Subject
from quality.corpus import IDENTITY, with_identity

SUBJECT = Subject(7, "DEMO_ID000007", "DEMO^ID000007^^^", -100)
KEYS = Keys.derive(b"a secret of the tests, 32 bytes.")


# For tests of attributes: otherwise most of pydicom's own files would wait for a person's eyes.
PIXELS_PASS = PixelRules((PixelRule("every image", All(()), "clean", site=True),))


@cache
def basic_engine() -> Engine:
    return Engine(replace(load_profile("basic"), pixel_rules=PIXELS_PASS), KEYS)


def data_set(**attributes: Any) -> Dataset:
    """A data set that says who and what it is, with further attributes."""
    made = Dataset()
    known = IDENTITY | {"PatientName": "Quillfeather^Ottoline"}
    for keyword, value in (known | attributes).items():
        setattr(made, keyword, value)
    return made


def encode(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def instance(**attributes: Any) -> bytes:
    return encode(data_set(**attributes))


def deidentify(data: bytes, engine: Engine | None = None) -> Output:
    """What the service does with one instance."""
    identifiers = read_identity(data).identifiers
    return (engine or basic_engine()).deidentify(data, SUBJECT, identifiers)


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def output_of(**attributes: Any) -> Dataset:
    return read(deidentify(instance(**attributes)).data)


@cache
def real_instances() -> dict[str, bytes]:
    """All instances that come with pydicom, each given the identity that it lacks."""
    found = {}
    for path in sorted({Path(name) for name in get_testdata_files()}):
        data = with_identity(path) if path.is_file() and "DICOMDIR" not in path.name else None
        if data is not None:
            found[str(path)] = data
    return found
