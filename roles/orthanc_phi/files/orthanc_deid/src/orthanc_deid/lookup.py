# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table is filled: what a study says of its patient, beside what stands there instead.

Workers fill it as they read a study. What was anonymized before there was the table is read from
the index of the PHI Orthanc, a few studies with each look at PHI.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Protocol

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.orthanc_client import GoneError, OrthancClient
from orthanc_deid.patient import Named
from orthanc_deid.schema import lookup, studies
from orthanc_deid.subject import Subject

REFILLED_AT_ONCE = 500
_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")


class Told(Named, Protocol):
    """What an instance says of its patient and study, such as `identity.Identity`."""

    @property
    def patient_name(self) -> str:
        """Patient's Name (0010,0010)."""

    @property
    def study_date(self) -> str:
        """Study Date (0008,0020)."""

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""


def fold(name: str) -> str:
    """Return a name as it is searched for: without case, accents and the marks between its parts.

    >>> fold("Müller^Jürgen")
    'muller jurgen'
    """
    apart = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(char for char in apart if unicodedata.category(char) != "Mn")
    return " ".join(unicodedata.normalize("NFC", plain).replace("^", " ").replace("=", " ").split())


def iso_date(value: str) -> str:
    """Return a whole date of DICOM as YYYY-MM-DD; empty where it is none."""
    match = _DATE.fullmatch(value.strip())
    return "-".join(match.groups()) if match else ""


class Lookup:
    """Fills the lookup table for the studies of one project."""

    def __init__(self, engine: sa.Engine, project: str) -> None:
        self._engine = engine
        self._project = project

    def identified(self, study_id: int, told: Told, subject: Subject, anonymous_uid: str) -> None:
        """Note whose study it is, as it was received."""
        self._keep(
            study_id,
            **_original(told.patient_name, told.study_date),
            patient_id=told.patient_id,
            issuer=told.issuer,
            accession=told.accession_number,
            study_instance_uid=told.study_instance_uid,
            subject_number=subject.number,
            pseudonym=subject.patient_id,
            anonymous_study_uid=anonymous_uid,
            source="study",
        )

    def anonymized(self, study_id: int, told: Told) -> None:
        """Note what stands in the anonymized study, as it was made."""
        self._keep(
            study_id,
            pseudonym=told.patient_id,
            anonymous_accession=told.accession_number,
            anonymous_study_date=iso_date(told.study_date),
        )

    def _keep(self, study_id: int, **told: Any) -> None:
        values = {name: _storable(value) for name, value in told.items()}
        with self._engine.begin() as connection:
            connection.execute(
                database.insert(connection, lookup)
                .values(study_id=study_id, project=self._project, **values)
                .on_conflict_do_update(
                    index_elements=[lookup.c.study_id],
                    set_=values,
                    # A study that is seen again mostly says the same: nothing is written then.
                    where=sa.or_(*(lookup.c[name] != value for name, value in values.items())),
                )
            )

    def refill(self, source: OrthancClient, limit: int = REFILLED_AT_ONCE) -> int:
        """Fill what was anonymized before there was the table; returns how many studies.

        Raises:
            orthanc_client.TransientError: PHI does not answer; the rest is filled another time.
        """
        query = (
            sa.select(lookup.c.study_id, studies.c.orthanc_id)
            .join(studies, studies.c.id == lookup.c.study_id)
            .where(
                lookup.c.source == "",
                lookup.c.project == self._project,
                studies.c.orthanc_id.is_not(None),
            )
            .order_by(lookup.c.study_id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            unfilled = connection.execute(query).all()
        for study_id, orthanc_id in unfilled:
            self._keep(study_id, **_from_index(source, orthanc_id))
        return len(unfilled)


def _storable(value: Any) -> Any:
    """Return a text without what PostgreSQL cannot keep, however broken the study is."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    return value


def _original(name: str, date: str) -> dict[str, str]:
    return {"patient_name": name, "folded_name": fold(name), "study_date": iso_date(date)}


def _from_index(source: OrthancClient, orthanc_id: str) -> dict[str, str]:
    try:
        tags = source.identifying_tags(orthanc_id)
    except GoneError:
        return {"source": "gone"}
    return {
        **_original(tags.get("PatientName", ""), tags.get("StudyDate", "")),
        "patient_id": tags.get("PatientID", ""),
        "issuer": tags.get("IssuerOfPatientID", ""),
        "accession": tags.get("AccessionNumber", ""),
        "source": "phi",
    }
