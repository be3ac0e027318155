# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine and its peers behind one face: DICOM bytes in, DICOM bytes out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from typing import Any, Final

import httpx
import pydicom
from pydicom import config

from orthanc_deid.engine import Engine
from orthanc_deid.identity import read_identity
from orthanc_deid.keys import Keys
from orthanc_deid.profile import load_profile
from orthanc_deid.subject import Subject

from . import expectation

_SUBJECT: Final = Subject(7, "BENCH_ID000007", "BENCH^ID000007^^^", -100)
_SECRET: Final = b"a secret of the bench, 32 bytes."


@dataclass(frozen=True)
class Anonymizer:
    """A de-identifier, and what it claims.

    Attributes:
        name: its name in the table.
        version: its version.
        options: the columns of Table E.1-1 that it claims besides the Basic Profile.
        run: takes and returns the bytes of a DICOM file.
    """

    name: str
    version: str
    options: frozenset[str]
    run: Callable[[bytes], bytes]


def engine(profile: str) -> Anonymizer:
    """Return this project's engine with one of its built-in profiles."""
    options = {
        "basic": expectation.MODIFIED_DATES,
        "research": expectation.RESEARCH,
        "full_dates": expectation.FULL_DATES,
    }[profile]
    return Anonymizer(f"orthanc_deid {profile}", version("orthanc_deid"), options, _engine(profile))


def _engine(profile: str) -> Callable[[bytes], bytes]:
    made = Engine(load_profile(profile), Keys.derive(_SECRET))
    return lambda data: made.deidentify(data, _SUBJECT, read_identity(data).identifiers).data


def orthanc(url: str) -> Anonymizer:
    """Return an Orthanc's own anonymization with its defaults, the profile of 2023b.

    Args:
        url: where an Orthanc without authentication listens.
    """
    client = httpx.Client(base_url=url, timeout=300)
    system = client.get("/system").raise_for_status().json()

    def run(data: bytes) -> bytes:
        stored = client.post("/instances", content=data).raise_for_status().json()["ID"]
        answer = client.post(f"/instances/{stored}/anonymize", json={})
        client.delete(f"/instances/{stored}")
        return answer.raise_for_status().content

    return Anonymizer("Orthanc /anonymize", system["Version"], expectation.BASIC, run)


def dicognito() -> Anonymizer:
    """Return dicognito as its command calls it; it moves dates."""
    from dicognito.anonymizer import Anonymizer as Dicognito  # noqa: PLC0415 - bench only

    anonymizer = Dicognito(seed="bench")
    return Anonymizer(
        "dicognito",
        version("dicognito"),
        expectation.MODIFIED_DATES,
        lambda data: _changed(data, anonymizer.anonymize),
    )


def dicom_anonymizer() -> Anonymizer:
    """Return dicom-anonymizer with its default rules, the profile of 2023e."""
    from dicomanonymizer import anonymize_dataset  # noqa: PLC0415 - bench only

    return Anonymizer(
        "dicom-anonymizer",
        version("dicom_anonymizer"),
        expectation.BASIC,
        lambda data: _changed(data, anonymize_dataset),
    )


def _changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        change(dataset)
        buffer = BytesIO()
        dataset.save_as(buffer)
    return buffer.getvalue()


_MAKERS: Final[dict[str, Callable[[], Anonymizer]]] = {
    "research": lambda: engine("research"),
    "basic": lambda: engine("basic"),
    "full_dates": lambda: engine("full_dates"),
    "dicom-anonymizer": dicom_anonymizer,
    "dicognito": dicognito,
}
NAMES: Final = (*_MAKERS, "orthanc")


@cache
def anonymizer(name: str, orthanc_url: str) -> Anonymizer:
    """Return an anonymizer by its name in `NAMES`, made once in each process."""
    return orthanc(orthanc_url) if name == "orthanc" else _MAKERS[name]()
