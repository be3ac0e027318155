# SPDX-License-Identifier: GPL-3.0-or-later
"""The crosswalk: which patient has which number, and how far each study has come.

Any number of workers may use it at once. What must be unique is kept so by the database.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.config import Config
from orthanc_deid.errors import DeidError, Quarantine
from orthanc_deid.schema import projects, subjects
from orthanc_deid.studies import Studies
from orthanc_deid.subject import Subject

Numbering = Literal["monotonic", "random"]
MAX_RANDOM_NUMBER = 999_999
MAX_DATE_OFFSET = 365  # days
RANDOM_DRAWS = 10_000


class CrosswalkError(DeidError):
    """The crosswalk cannot do what was asked, and a person must act."""


class Crosswalk:
    """The crosswalk of one project.

    `url` names the database (see `database.connect`). The tables must be there: see
    `migrate.upgrade`, which every user of an embedded SQLite store calls first.
    """

    def __init__(
        self,
        url: str | sa.URL,
        *,
        base_name: str,
        project: str = "default",
        numbering: Numbering = "monotonic",
    ) -> None:
        self.engine = database.connect(url)
        self._base_name = base_name
        self._numbering = numbering
        self.project = project
        self.studies = Studies(self.engine, project)

    @classmethod
    def from_config(cls, config: Config) -> Crosswalk:
        """Return the crosswalk that the settings of the service name."""
        return cls(
            config.database.url(),
            base_name=config.base_name,
            project=config.project,
            numbering=config.numbering,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def check(self) -> None:
        """Ask the database for an answer; raises SQLAlchemy's error if there is none."""
        with self.engine.connect() as connection:
            connection.execute(sa.select(projects.c.name).limit(1))

    def subject(self, patient_id: str, issuer: str = "") -> Subject:
        """Return the subject of `patient_id`, made now if it is new.

        However many workers ask for the same new patient at once, all get the same answer.

        Raises:
            Quarantine: (code `no-patient-id`) `patient_id` is empty.
            CrosswalkError: no free random number is left.
        """
        patient_id, issuer = patient_id.strip(), issuer.strip()
        if not patient_id:
            raise Quarantine(
                "no-patient-id",
                "PatientID (0010,0020) is missing or empty; "
                "correct it at the source and send again",
            )
        with self.engine.connect() as connection:
            row = self._find_subject(connection, patient_id, issuer)
        if row is None:
            row = self._add_subject(patient_id, issuer)
        number, date_offset = row
        return Subject(
            number=number,
            patient_id=f"{self._base_name}_ID{number:06d}",
            patient_name=f"{self._base_name}^ID{number:06d}^^^",
            date_offset=date_offset,
        )

    def _find_subject(
        self, connection: sa.Connection, patient_id: str, issuer: str
    ) -> tuple[int, int] | None:
        row = connection.execute(
            sa.select(subjects.c.number, subjects.c.date_offset).where(
                subjects.c.project == self.project,
                subjects.c.patient_id == patient_id,
                subjects.c.issuer == issuer,
            )
        ).one_or_none()
        return None if row is None else (row.number, row.date_offset)

    def _add_subject(self, patient_id: str, issuer: str) -> tuple[int, int]:
        with self.engine.begin() as connection:
            last_number = self._lock_project(connection)
            # Another worker may have added the patient while this one waited for the lock.
            found = self._find_subject(connection, patient_id, issuer)
            if found is not None:
                return found
            date_offset = -1 - secrets.randbelow(MAX_DATE_OFFSET)
            number = (
                self._next_number(connection, last_number)
                if self._numbering == "monotonic"
                else self._random_number(connection)
            )
            connection.execute(
                subjects.insert().values(
                    project=self.project,
                    patient_id=patient_id,
                    issuer=issuer,
                    number=number,
                    date_offset=date_offset,
                    created_at=datetime.now(UTC),
                )
            )
            return number, date_offset

    def _lock_project(self, connection: sa.Connection) -> int:
        """Put this transaction in line with the others that add a subject."""
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

    def _next_number(self, connection: sa.Connection, last_number: int) -> int:
        # The highest number counts too: the project may have drawn its numbers before.
        highest = connection.scalar(
            sa.select(sa.func.max(subjects.c.number)).where(subjects.c.project == self.project)
        )
        number = max(last_number, highest or 0) + 1
        connection.execute(
            projects.update().where(projects.c.name == self.project).values(last_number=number)
        )
        return number

    def _random_number(self, connection: sa.Connection) -> int:
        for _ in range(RANDOM_DRAWS):
            number = 1 + secrets.randbelow(MAX_RANDOM_NUMBER)
            taken = sa.select(sa.literal(1)).where(
                subjects.c.project == self.project, subjects.c.number == number
            )
            if connection.execute(taken).first() is None:
                return number
        raise CrosswalkError(
            f"project {self.project}: no free subject number was found in {RANDOM_DRAWS} draws "
            f"from 1 to {MAX_RANDOM_NUMBER}; set numbering to monotonic or start a new project"
        )
