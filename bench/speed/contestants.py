# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: the engine, its peers, and what bounds them from below."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from io import BytesIO
from typing import Final

import pydicom

from orthanc_deid.engine import Engine
from orthanc_deid.identity import read_identity
from orthanc_deid.keys import Keys
from orthanc_deid.profile import load_profile
from orthanc_deid.subject import Subject
from quality.anonymizers import dicognito, dicom_anonymizer

_SUBJECT: Final = Subject(7, "BENCH_ID000007", "BENCH^ID000007^^^", -100)
OWN: Final = "orthanc_deid"
PEERS: Final = ("dicognito", "dicom-anonymizer")
READ_AND_WRITE: Final = "pydicom"
COPY: Final = "copy"
NAMES: Final = (OWN, *PEERS, READ_AND_WRITE, COPY)


def label(name: str) -> str:
    """Return what the table calls a contestant."""
    if name == COPY:
        return "copy of the bytes"
    if name == READ_AND_WRITE:
        return f"pydicom {version('pydicom')}, read all and write"
    if name == OWN:
        return f"orthanc_deid {version('orthanc_deid')}, research"
    return f"{name} {version(name.replace('-', '_'))}"


@cache
def contestant(name: str) -> Callable[[bytes], bytes]:
    """Return what takes and gives the bytes of a DICOM file, made once in each process."""
    if name == OWN:
        return _engine()
    if name == COPY:
        return lambda data: bytes(bytearray(data))
    if name == READ_AND_WRITE:
        return _read_and_write
    return (dicognito if name == "dicognito" else dicom_anonymizer)().run


def _engine() -> Callable[[bytes], bytes]:
    """Return what the service does with an instance, the leak check included."""
    engine = Engine(load_profile("research"), Keys.derive(b"a secret of the bench, 32 bytes."))

    def run(data: bytes) -> bytes:
        identity = read_identity(data)
        return engine.deidentify(data, _SUBJECT, identity.identifiers, identity.known).data

    return run


def _read_and_write(data: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        for _ in dataset.iterall():
            pass  # each element is decoded
        buffer = BytesIO()
        dataset.save_as(buffer)
    return buffer.getvalue()
