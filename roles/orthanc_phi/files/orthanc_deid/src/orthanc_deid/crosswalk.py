# SPDX-License-Identifier: GPL-3.0-or-later
"""The crosswalk: which patient has which number, and how far each study has come.

Any number of workers may use it at once. What must be unique is kept so by the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.conditions import Sample
from orthanc_deid.config import Config
from orthanc_deid.drawn_rules import DrawnRules
from orthanc_deid.errors import Quarantine
from orthanc_deid.events import now
from orthanc_deid.held_instances import HeldInstances
from orthanc_deid.held_studies import HeldStudies
from orthanc_deid.lookup import Lookup
from orthanc_deid.numbering import Numbering
from orthanc_deid.patient import NotListed, Patient
from orthanc_deid.schema import patient_identifiers, projects, pseudonyms, subjects
from orthanc_deid.studies import Studies
from orthanc_deid.subject import Subject

MAX_RANDOM_NUMBER = 999_999
MAX_DATE_OFFSET: Final = 365  # days
RANDOM_DRAWS: Final = 10_000
ROUND_TRIP_NUMBER: Final = 999_999_999
"""The number of the subject of the site's own tests, far from those of patients."""


class SubjectRow(NamedTuple):
    """A subject as the database keeps it."""

    id: int
    number: int
    date_offset: int
    pseudonym: str | None
    pseudonym_name: str | None


_ROW: Final = [subjects.c[name] for name in SubjectRow._fields]


class Crosswalk:
    """The crosswalk of one project.

    `url` names the database (see `database.connect`), or is what another project's crosswalk is
    connected by. The tables must be there: see `migrate.upgrade`, which every user of an embedded
    SQLite store calls first.
    """

    def __init__(
        self,
        url: str | sa.URL | sa.Engine,
        *,
        base_name: str,
        project: str = "default",
        numbering: Numbering | None = None,
    ) -> None:
        self.engine = url if isinstance(url, sa.Engine) else database.connect(url)
        self.base_name = base_name
        self.numbering = numbering or Numbering()
        self.project = project
        self.studies = Studies(self.engine, project)
        self.held = HeldStudies(self.engine)
        self.lookup = Lookup(self.engine, project)
        self.drawn_rules = DrawnRules(self.engine)
        self.held_instances = HeldInstances(self.engine)

    @classmethod
    def from_config(cls, config: Config, engine: sa.Engine | None = None) -> Crosswalk:
        """Return the crosswalk that the settings name, on the connections of another if given."""
        return cls(
            engine or config.database.url(),
            base_name=config.base_name,
            project=config.project,
            numbering=config.numbering,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def subject(
        self,
        patient_id: str,
        issuer: str = "",
        accession: str = "",
        *,
        samples: Sequence[Sample] = (),
        modifier: str = "",
    ) -> Subject:
        """Return the subject of a patient, made now if it is new.

        However many workers ask for the same new patient at once, all get the same answer.

        Args:
            patient_id: Patient ID (0010,0020).
            issuer: Issuer of Patient ID (0010,0021); empty means the site's own.
            accession: Accession Number (0008,0050) of the study.
            samples: what the study says of itself, which decides about a new patient's cohort.
            modifier: what follows the number in the pseudonym of this study.

        Raises:
            Quarantine: the patient cannot have a number, or not now; its code and message say why.
        """
        patient = self._demand_known(Patient(patient_id, issuer, accession), modifier)
        # In one go, since each transaction that writes waits for the disk.
        with self.engine.begin() as connection:
            row = self._find(connection, patient) or self._add(connection, patient, samples)
            new_id, new_name = self.pseudonym(row, modifier)
            # Nobody else ever goes by this Patient ID.
            owner = self.claim_pseudonym(connection, new_id, row.id)
        if owner != row.id:
            raise Quarantine(
                "pseudonym-reused",
                f"the pseudonym of subject {row.number} belongs to another subject; "
                "base name or pseudonym format have changed: set them back, or choose others",
            )
        return Subject(row.number, new_id, new_name, row.date_offset, modifier)

    def is_listed(self, patient: Patient) -> bool:
        """Tell whether the patient has a subject."""
        with self.engine.connect() as connection:
            return self._find(connection, patient.of_site(self.numbering.issuer)) is not None

    def identifiers(self, subject: Subject) -> frozenset[str]:
        """Return every Patient ID and Accession Number that leads to the subject."""
        columns = patient_identifiers.c
        query = (
            sa.select(columns.patient_id, columns.accession)
            .join(subjects, columns.subject_id == subjects.c.id)
            .where(subjects.c.project == self.project, subjects.c.number == subject.number)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return frozenset(value for row in rows for value in row if value)

    def demand_same(self, patients: Iterable[Patient], modifier: str = "") -> None:
        """Refuse a study whose instances lead to different subjects.

        Args:
            patients: whom the instances name.
            modifier: what follows the number in the pseudonym of this study.

        Raises:
            Quarantine: (code `mixed-identity`) with what to do.
        """
        own = self.numbering.issuer
        with self.engine.connect() as connection:
            rows = {
                self._find(connection, patient)
                for patient in {self._as_subject(p.of_site(own), modifier) for p in patients}
            }
        if len(rows) > 1 or None in rows:
            raise Quarantine(
                "mixed-identity",
                "its instances do not agree on Patient ID (0010,0020), Issuer of Patient ID "
                "(0010,0021) or, where that makes another subject, Accession Number (0008,0050); "
                "correct them at the source, or name the site's own issuer in the settings",
            )

    def pseudonym(self, row: SubjectRow, modifier: str = "") -> tuple[str, str]:
        """Return Patient ID and Patient's Name for a study of the subject."""
        if self.numbering.subject_per == "modifier":
            modifier = ""  # another number tells it already
        if row.pseudonym is None:
            return self.numbering.pseudonym.write(self.base_name, row.number, modifier)
        name = row.pseudonym_name or row.pseudonym
        return row.pseudonym + modifier, (name.rstrip("^") + modifier) if modifier else name

    def pseudonym_of(self, number: int, modifier: str = "") -> tuple[str, str]:
        """Return the same for the subject with this number, which must exist."""
        query = sa.select(*_ROW).where(
            subjects.c.project == self.project, subjects.c.number == number
        )
        with self.engine.connect() as connection:
            row = SubjectRow(*connection.execute(query).one())
        return self.pseudonym(row, modifier)

    def _as_subject(self, patient: Patient, modifier: str) -> Patient:
        """Return by what the crosswalk knows a patient's studies of one kind."""
        if self.numbering.subject_per == "modifier" and patient.patient_id:
            return Patient(patient.patient_id + modifier, patient.issuer, patient.accession)
        return patient

    def _demand_known(self, patient: Patient, modifier: str) -> Patient:
        patient = patient.of_site(self.numbering.issuer)
        if not patient.patient_id:
            raise Quarantine(
                "no-patient-id",
                "PatientID (0010,0020) is missing or empty; "
                "correct it at the source and send again",
            )
        if self.numbering.subject_per == "accession" and not patient.accession:
            raise Quarantine(
                "no-accession",
                "AccessionNumber (0008,0050) is missing or empty, and each accession is a subject "
                "of its own; correct it at the source and send again",
            )
        return self._as_subject(patient, modifier)

    def _find(self, connection: sa.Connection, patient: Patient) -> SubjectRow | None:
        per_accession = self.numbering.subject_per == "accession"
        found = connection.execute(
            sa.select(patient_identifiers.c.accession, *_ROW)
            .join(subjects, patient_identifiers.c.subject_id == subjects.c.id)
            .where(
                patient_identifiers.c.project == self.project,
                patient_identifiers.c.patient_id == patient.patient_id,
                patient_identifiers.c.issuer.in_(patient.issuers(self.numbering.issuer)),
                patient_identifiers.c.accession.in_(
                    {patient.accession} if per_accession else {patient.accession, ""}
                ),
            )
        ).all()
        exact = [row for row in found if row.accession == patient.accession] or found
        rows = {SubjectRow(*row[1:]) for row in exact}
        if len(rows) > 1:
            first, second, *_ = sorted(row.number for row in rows)
            raise Quarantine(
                "two-subjects",
                f"the patient is subject {first} and, with the site's own issuer, subject "
                f"{second}; join them with `orthanc-deid subjects merge {first} {second}`, "
                "then retry",
            )
        return rows.pop() if rows else None

    def _add(
        self, connection: sa.Connection, patient: Patient, samples: Sequence[Sample]
    ) -> SubjectRow:
        scheme, unlisted = self.numbering.scheme, self.numbering.unlisted
        if scheme == "given" and unlisted == "wait" and not patient.is_of_round_trip:
            raise NotListed(patient)
        last_number = self.lock_project(connection)
        # Another worker may have added the patient while this one waited for the lock.
        found = self._find(connection, patient)
        if found is not None:
            return found
        number = (
            ROUND_TRIP_NUMBER
            if patient.is_of_round_trip
            else self._number(connection, last_number, samples)
        )
        row = self.insert_subject(connection, number)
        per_accession = self.numbering.subject_per == "accession"
        connection.execute(
            patient_identifiers.insert().values(
                project=self.project,
                patient_id=patient.patient_id,
                issuer=patient.issuer,
                accession=patient.accession if per_accession else "",
                subject_id=row.id,
                created_at=now(),
            )
        )
        return row

    def insert_subject(
        self,
        connection: sa.Connection,
        number: int,
        pseudonym: str | None = None,
        pseudonym_name: str | None = None,
        date_offset: int | None = None,
    ) -> SubjectRow:
        """Add a subject that nothing leads to yet, with a date offset of its own or a given one."""
        if date_offset is None:
            date_offset = -1 - secrets.randbelow(MAX_DATE_OFFSET)
        added = connection.execute(
            subjects.insert()
            .values(
                project=self.project,
                number=number,
                date_offset=date_offset,
                pseudonym=pseudonym,
                pseudonym_name=pseudonym_name,
                created_at=now(),
            )
            .returning(subjects.c.id)
        ).scalar_one()
        return SubjectRow(added, number, date_offset, pseudonym, pseudonym_name)

    def lock_project(self, connection: sa.Connection) -> int:
        """Put this transaction in line with the others that change subjects."""
        return int(
            connection.execute(
                database.insert(connection, projects)
                .values(name=self.project)
                .on_conflict_do_update(
                    index_elements=[projects.c.name],
                    set_={"last_number": projects.c.last_number},
                )
                .returning(projects.c.last_number)
            ).scalar_one()
        )

    def claim_pseudonym(self, connection: sa.Connection, patient_id: str, subject_id: int) -> int:
        """Note a subject's pseudonym unless it is taken; returns whose it is."""
        whose = sa.select(pseudonyms.c.subject_id).where(
            pseudonyms.c.project == self.project, pseudonyms.c.value == patient_id
        )
        found = connection.scalar(whose)
        if found is None:
            found = connection.scalar(
                database.insert(connection, pseudonyms)
                .values(
                    project=self.project,
                    value=patient_id,
                    subject_id=subject_id,
                    created_at=now(),
                )
                .on_conflict_do_nothing()
                .returning(pseudonyms.c.subject_id)
            ) or connection.scalar(whose)
        return int(found or 0)

    def _number(
        self, connection: sa.Connection, last_number: int, samples: Sequence[Sample]
    ) -> int:
        match self.numbering.scheme:
            case "random":
                return self._random_number(connection)
            case "cohort":
                return self._cohort_number(connection, samples)
            case _:
                return self.next_number(connection, last_number)

    def next_number(self, connection: sa.Connection, last_number: int) -> int:
        """Return the number after the highest that was ever used."""
        # The highest number counts too: the project may have drawn its numbers before.
        highest = connection.scalar(
            sa.select(sa.func.max(subjects.c.number)).where(
                subjects.c.project == self.project, subjects.c.number != ROUND_TRIP_NUMBER
            )
        )
        number = max(last_number, highest or 0) + 1
        connection.execute(
            projects.update().where(projects.c.name == self.project).values(last_number=number)
        )
        return number

    def _random_number(self, connection: sa.Connection) -> int:
        for _ in range(RANDOM_DRAWS):
            number = 1 + secrets.randbelow(MAX_RANDOM_NUMBER)
            if not self._is_taken(connection, number):
                return number
        raise Quarantine(
            "no-number-left",
            f"project {self.project}: no free subject number was found in {RANDOM_DRAWS} draws "
            f"from 1 to {MAX_RANDOM_NUMBER}; set numbering to monotonic or start a new project",
        )

    def _cohort_number(self, connection: sa.Connection, samples: Sequence[Sample]) -> int:
        cohort = self.numbering.cohort_of(samples)
        if cohort is None:
            raise Quarantine(
                "no-cohort",
                "the study meets the conditions of no cohort; extend one, or add a last cohort "
                "without conditions, then retry",
            )
        if not self._is_taken(connection, cohort.first):
            return cohort.first
        follower = subjects.alias()
        free = connection.scalar(
            sa.select(sa.func.min(subjects.c.number) + 1).where(
                subjects.c.project == self.project,
                subjects.c.number.between(cohort.first, cohort.last - 1),
                ~sa.exists().where(
                    follower.c.project == self.project,
                    follower.c.number == subjects.c.number + 1,
                ),
            )
        )
        if free is None:
            raise Quarantine(
                "no-number-left",
                f"cohort {cohort.name} has used all its numbers, {cohort.first} to {cohort.last}; "
                "give it a longer block, then retry",
            )
        return int(free)

    def _is_taken(self, connection: sa.Connection, number: int) -> bool:
        taken = sa.select(subjects.c.id).where(
            subjects.c.project == self.project, subjects.c.number == number
        )
        return connection.execute(taken).first() is not None
