# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PHI Orthanc holds: kept beside the crosswalk, so that it can be searched by both.

The agent notes a study when Orthanc tells of it. Each look at all studies makes up for what was
not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.events import now
from orthanc_deid.lookup import fold
from orthanc_deid.orthanc_client import GoneError, OrthancClient, SourceStudy
from orthanc_deid.project_access import within
from orthanc_deid.schema import held_studies, studies, subjects

AT_ONCE: Final = 500
COUNTED: Final = 10_000
"""More hits than this are not counted."""

SORTS: Final[Mapping[str, sa.ColumnElement[Any]]] = {
    "received": held_studies.c.received_at,
    "date": held_studies.c.study_date,
    "patient": held_studies.c.folded_patient,
}


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; what is empty may be anything.

    Attributes:
        patient: parts of the name or ID, in any order.
        accession: the beginning of the Accession Number, or all of it.
        date_from, date_to: YYYYMMDD, both included.
        description: parts of the Study Description.
        modality, source, orthanc_id: exactly.
        patient_ids: any of these.
        states: of the crosswalk; `unknown` is a study that it does not know yet.
        projects: those that may be seen, which decide about the states; None is all.
        sort: one of `SORTS`.
    """

    patient: str = ""
    accession: str = ""
    date_from: str = ""
    date_to: str = ""
    description: str = ""
    modality: str = ""
    source: str = ""
    orthanc_id: str = ""
    patient_ids: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    projects: frozenset[str] | None = None
    sort: str = "received"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """A study as the PHI Orthanc says it is."""

    orthanc_id: str
    study_instance_uid: str
    patient_name: str
    patient_id: str
    birth_date: str
    accession: str
    study_date: str
    description: str
    modalities: str
    source: str
    series: int
    instances: int
    received_at: datetime
    anonymous: bool
    """Whether it came back from the workers, for review."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a study stands in one project."""

    study: int
    orthanc_id: str
    project: str
    state: str
    reason: str | None
    progress: dict[str, Any] | None
    subject_number: int | None
    updated_at: datetime


class HeldStudies:
    """The studies of one PHI Orthanc."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def look(self, phi: OrthancClient, orthanc_id: str) -> None:
        """Note what the Orthanc says of one study now, or that it is gone."""
        try:
            told = phi.describe(orthanc_id)
            source = phi.source(orthanc_id)
        except GoneError:
            self.forget([orthanc_id])
            return
        values = _values(told, source)
        with self._engine.begin() as connection:
            connection.execute(
                database.insert(connection, held_studies)
                .values(orthanc_id=orthanc_id, received_at=now(), **values)
                .on_conflict_do_update(index_elements=[held_studies.c.orthanc_id], set_=values)
            )

    def forget(self, orthanc_ids: Iterable[str]) -> None:
        """Note that the Orthanc does not hold some studies any more."""
        with self._engine.begin() as connection:
            connection.execute(
                held_studies.delete().where(held_studies.c.orthanc_id.in_(list(orthanc_ids)))
            )

    def watch(self, phi: OrthancClient, found: Iterable[SourceStudy]) -> Iterator[SourceStudy]:
        """Pass all studies on, and note those that have changed or are gone."""
        seen: set[str] = set()
        rest = iter(found)
        while page := list(islice(rest, AT_ONCE)):
            seen.update(study.orthanc_id for study in page)
            known = self._known(study.orthanc_id for study in page)
            for study in page:
                if known.get(study.orthanc_id) != study.last_update:
                    self.look(phi, study.orthanc_id)
                yield study
        with self._engine.connect() as connection:
            kept = set(connection.scalars(sa.select(held_studies.c.orthanc_id)))
        # It is asked for, since it may have come after its page was read.
        for orthanc_id in kept - seen:
            self.look(phi, orthanc_id)

    def _known(self, orthanc_ids: Iterable[str]) -> dict[str, str]:
        query = sa.select(held_studies.c.orthanc_id, held_studies.c.last_update).where(
            held_studies.c.orthanc_id.in_(list(orthanc_ids))
        )
        with self._engine.connect() as connection:
            return {row.orthanc_id: row.last_update for row in connection.execute(query)}

    def search(self, search: Search) -> tuple[list[HeldStudy], int]:
        """Return a page of what is found, and how many there are in all, up to `COUNTED` + 1."""
        where = sa.and_(sa.true(), *_conditions(search))
        column = SORTS[search.sort]
        order = [
            each.desc() if search.descending else each
            for each in (column, held_studies.c.orthanc_id)
        ]
        anonymous = _is_anonymous().label("anonymous")
        names = [name for name in HeldStudy.__dataclass_fields__ if name != "anonymous"]
        query = (
            sa.select(*(held_studies.c[name] for name in names), anonymous)
            .where(where)
            .order_by(*order)
            .limit(search.limit)
            .offset(search.offset)
        )
        counted = sa.select(held_studies.c.orthanc_id).where(where).limit(COUNTED + 1).subquery()
        with self._engine.connect() as connection:
            rows = [HeldStudy(**row) for row in connection.execute(query).mappings()]
            total = connection.scalar(sa.select(sa.func.count()).select_from(counted))
        return rows, total or 0

    def standings(
        self, orthanc_ids: Iterable[str], projects: frozenset[str] | None = None
    ) -> dict[str, list[Standing]]:
        """Return where some studies stand, by Orthanc's identifier, in each of their projects.

        `projects` are those that may be seen; None is all.
        """
        query = (
            sa.select(
                studies.c.id.label("study"),
                studies.c.orthanc_id,
                studies.c.project,
                studies.c.state,
                studies.c.reason,
                studies.c.progress,
                subjects.c.number.label("subject_number"),
                studies.c.updated_at,
            )
            .outerjoin(subjects, studies.c.subject_id == subjects.c.id)
            .where(
                studies.c.orthanc_id.in_(list(orthanc_ids)), *within(studies.c.project, projects)
            )
            .order_by(studies.c.id)
        )
        found: dict[str, list[Standing]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row["orthanc_id"], []).append(Standing(**row))
        return found

    def held_of(self, study_instance_uids: Iterable[str]) -> set[str]:
        """Return those of some Study Instance UIDs that the Orthanc holds."""
        query = sa.select(held_studies.c.study_instance_uid).where(
            held_studies.c.study_instance_uid.in_(list(study_instance_uids))
        )
        with self._engine.connect() as connection:
            return set(connection.scalars(query))

    def sources(self) -> list[str]:
        """Return every application entity title that has sent something."""
        query = sa.select(held_studies.c.source).distinct().order_by(held_studies.c.source)
        with self._engine.connect() as connection:
            return [source for source in connection.scalars(query) if source]


def _values(told: Mapping[str, Any], source: str) -> dict[str, Any]:
    parts = ("RequestedTags", "PatientMainDicomTags", "MainDicomTags")
    tags = {tag: _storable(value) for part in parts for tag, value in told.get(part, {}).items()}
    modalities = tags.get("ModalitiesInStudy", "").replace("\\", " ").split()
    name, patient_id = tags.get("PatientName", ""), tags.get("PatientID", "")
    description = tags.get("StudyDescription", "")
    instances = tags.get("NumberOfStudyRelatedInstances", "0")
    return {
        "last_update": told.get("LastUpdate", ""),
        "study_instance_uid": tags.get("StudyInstanceUID", ""),
        "patient_name": name,
        "patient_id": patient_id,
        "birth_date": tags.get("PatientBirthDate", ""),
        "accession": tags.get("AccessionNumber", ""),
        "study_date": tags.get("StudyDate", ""),
        "description": description,
        "modalities": f" {' '.join(modalities)} " if modalities else "",
        "source": _storable(source),
        "folded_patient": fold(f"{name} {patient_id}"),
        "folded_description": fold(description),
        "series": len(told.get("Series", ())),
        "instances": int(instances) if instances.isdecimal() else 0,
    }


def _storable(value: Any) -> str:
    """Return a value without the character that PostgreSQL does not take."""
    return str(value).replace("\0", "").strip()


def _is_anonymous() -> sa.Exists:
    return (
        sa.exists()
        .where(
            studies.c.anonymous_study_uid == held_studies.c.study_instance_uid,
            held_studies.c.study_instance_uid != "",
        )
        .correlate(held_studies)
    )


def _conditions(search: Search) -> Iterator[sa.ColumnElement[bool]]:
    columns = held_studies.c
    for word in fold(search.patient).split():
        yield columns.folded_patient.contains(word, autoescape=True)
    for word in fold(search.description).split():
        yield columns.folded_description.contains(word, autoescape=True)
    if search.accession:
        yield columns.accession.startswith(search.accession, autoescape=True)
    if search.modality:
        yield columns.modalities.contains(f" {search.modality} ", autoescape=True)
    if search.date_from or search.date_to:
        yield columns.study_date.between(search.date_from or "0", search.date_to or "9" * 8)
    yield from _exact_conditions(search)


def _exact_conditions(search: Search) -> Iterator[sa.ColumnElement[bool]]:
    columns = held_studies.c
    if search.source:
        yield columns.source == search.source
    if search.orthanc_id:
        yield columns.orthanc_id == search.orthanc_id
    if search.patient_ids:
        yield columns.patient_id.in_(search.patient_ids)
    if search.states:
        here = studies.c.orthanc_id == columns.orthanc_id
        seen = within(studies.c.project, search.projects)
        known = sa.exists().where(here, *seen).correlate(held_studies)
        in_state = known.where(studies.c.state.in_(search.states))
        yield sa.or_(in_state, ~known) if "unknown" in search.states else in_state
