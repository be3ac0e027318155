# SPDX-License-Identifier: GPL-3.0-or-later
"""The subjects of one project in the crosswalk: found, loaded from a list, merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orthanc_deid.crosswalk import Crosswalk, SubjectRow
from orthanc_deid.errors import DeidError
from orthanc_deid.events import add_event, now
from orthanc_deid.schema import lookup, patient_identifiers, pseudonyms, studies, subjects
from orthanc_deid.subject_list import ClashError, Entry, ListError


@dataclass(frozen=True, slots=True)
class Identifier:
    """A Patient ID, or one of its accessions, that leads to a subject."""

    patient_id: str
    issuer: str
    accession: str


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """A subject and what is known of it."""

    number: int
    merged_into: int | None
    pseudonyms: tuple[str, ...]
    identifiers: tuple[Identifier, ...]
    studies: int
    created_at: datetime


@dataclass(slots=True)
class Loaded:
    """What loading a list came to."""

    new_subjects: int = 0
    new_identifiers: int = 0
    known: int = 0


class MergeError(DeidError):
    """Two subjects that are not merged as they were asked to be."""


class Subjects:
    """What the crosswalk knows of the subjects of its project."""

    def __init__(self, crosswalk: Crosswalk) -> None:
        self._crosswalk = crosswalk
        self._project = crosswalk.project

    def find(self, text: str | None = None) -> list[KnownSubject]:
        """Return all subjects, or those with this number, Patient ID, accession or pseudonym."""
        condition = subjects.c.project == self._project
        if text is not None:
            condition &= self._is_called(text)
        other = subjects.alias()
        query = (
            sa.select(subjects, other.c.number.label("kept_number"))
            .outerjoin(other, subjects.c.merged_into == other.c.id)
            .where(condition)
            .order_by(subjects.c.number)
        )
        with self._crosswalk.engine.connect() as connection:
            return [self._known(connection, row) for row in connection.execute(query)]

    def _is_called(self, text: str) -> sa.ColumnElement[bool]:
        by_identifier = sa.select(patient_identifiers.c.subject_id).where(
            patient_identifiers.c.project == self._project,
            sa.or_(
                patient_identifiers.c.patient_id == text, patient_identifiers.c.accession == text
            ),
        )
        by_pseudonym = sa.select(pseudonyms.c.subject_id).where(
            pseudonyms.c.project == self._project, pseudonyms.c.value == text
        )
        called = subjects.c.id.in_(by_identifier) | subjects.c.id.in_(by_pseudonym)
        if text.isascii() and text.isdecimal() and len(text) < 10:
            called |= subjects.c.number == int(text)
        return called

    def _known(self, connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> KnownSubject:
        identifiers = connection.execute(
            sa.select(*(patient_identifiers.c[name] for name in Identifier.__dataclass_fields__))
            .where(patient_identifiers.c.subject_id == row.id)
            .order_by(patient_identifiers.c.patient_id, patient_identifiers.c.accession)
        )
        given = connection.scalars(
            sa.select(pseudonyms.c.value)
            .where(pseudonyms.c.subject_id == row.id)
            .order_by(pseudonyms.c.value)
        ).all()
        if not given:
            given = [self._crosswalk.pseudonym(_row(row))[0]]
        count = connection.scalar(sa.select(sa.func.count()).where(studies.c.subject_id == row.id))
        return KnownSubject(
            row.number,
            row.kept_number,
            tuple(given),
            tuple(Identifier(*found) for found in identifiers),
            count or 0,
            row.created_at,
        )

    def load(
        self,
        entries: Sequence[Entry],
        *,
        actor: str,
        former_ids: bool = False,
        dry_run: bool = False,
    ) -> Loaded:
        """Give the patients of a list their numbers, all of them or none.

        Args:
            entries: the list, see `subject_list.read_list`.
            actor: who asks for it.
            former_ids: whether several Patient IDs may lead to one subject.
            dry_run: only look for clashes.

        Raises:
            ListError: with every clash, by its line.
        """
        loaded, problems = Loaded(), []
        with self._crosswalk.engine.connect() as connection, connection.begin() as transaction:
            self._crosswalk.lock_project(connection)
            for entry in entries:
                try:
                    self._load(connection, entry, loaded, former_ids=former_ids)
                except ClashError as clash:
                    problems.append(f"line {entry.line}: {clash}")
            if problems:
                raise ListError(problems)
            detail = f"{loaded.new_subjects} new subjects, {loaded.new_identifiers} new identifiers"
            add_event(connection, actor, "subjects loaded", detail=detail)
            if dry_run:
                transaction.rollback()
        return loaded

    def _load(
        self, connection: sa.Connection, entry: Entry, loaded: Loaded, *, former_ids: bool
    ) -> None:
        if self._crosswalk.numbering.subject_per == "accession" and not entry.patient.accession:
            raise ClashError(
                "accession is empty, and each accession is a subject of its own; give it"
            )
        target = self._target(connection, entry)
        known = self._leads_to(connection, entry)
        if known is not None:
            if known != target:
                raise ClashError(
                    f"the patient is subject {known.number} already; keep that number, or join "
                    "the two with `orthanc-deid subjects merge`"
                )
            loaded.known += 1
            return
        if target is None:
            target = self._add(connection, entry)
            loaded.new_subjects += 1
        elif not former_ids and self._is_anothers(connection, entry, target):
            raise ClashError(
                f"subject {target.number} is another patient; give another number, or load with "
                "--former-ids if both Patient IDs are one person's"
            )
        connection.execute(
            patient_identifiers.insert().values(
                project=self._project,
                patient_id=entry.patient.patient_id,
                issuer=entry.patient.issuer,
                accession=entry.patient.accession,
                subject_id=target.id,
                created_at=now(),
            )
        )
        loaded.new_identifiers += 1

    def _target(self, connection: sa.Connection, entry: Entry) -> SubjectRow | None:
        """Return the subject that a line asks for, if it is there."""
        asked = [subjects.c.number == entry.number] if entry.number else []
        asked += [subjects.c.pseudonym == entry.pseudonym] if entry.pseudonym else []
        rows = connection.execute(
            sa.select(subjects).where(subjects.c.project == self._project, sa.or_(*asked))
        ).all()
        if len(rows) > 1:
            raise ClashError("number and pseudonym belong to two subjects; give only one of them")
        if not rows:
            return None
        (row,) = rows
        if row.merged_into is not None:
            raise ClashError(
                f"subject {row.number} was merged into another one; give that one's number"
            )
        if entry.number not in (None, row.number):
            raise ClashError(
                f"the pseudonym belongs to subject {row.number}; give that number or none"
            )
        if entry.pseudonym not in (None, row.pseudonym) or entry.name not in (
            None,
            row.pseudonym_name,
        ):
            raise ClashError(
                f"subject {row.number} has another pseudonym already; leave the column empty"
            )
        return _row(row)

    def _leads_to(self, connection: sa.Connection, entry: Entry) -> SubjectRow | None:
        patient = entry.patient
        found = connection.execute(
            sa.select(subjects)
            .join(patient_identifiers, patient_identifiers.c.subject_id == subjects.c.id)
            .where(
                patient_identifiers.c.project == self._project,
                patient_identifiers.c.patient_id == patient.patient_id,
                patient_identifiers.c.issuer.in_(self._issuers(entry)),
                patient_identifiers.c.accession == patient.accession,
            )
        ).first()
        return None if found is None else _row(found)

    def _is_anothers(self, connection: sa.Connection, entry: Entry, target: SubjectRow) -> bool:
        others = sa.select(patient_identifiers.c.patient_id, patient_identifiers.c.issuer).where(
            patient_identifiers.c.subject_id == target.id
        )
        return any(
            patient_id != entry.patient.patient_id or issuer not in self._issuers(entry)
            for patient_id, issuer in connection.execute(others)
        )

    def _issuers(self, entry: Entry) -> frozenset[str]:
        return entry.patient.issuers(self._crosswalk.numbering.issuer)

    def _add(self, connection: sa.Connection, entry: Entry) -> SubjectRow:
        crosswalk = self._crosswalk
        formats = crosswalk.numbering.pseudonym
        number = entry.number
        if number is None:
            number = crosswalk.next_number(connection, crosswalk.lock_project(connection))
        row = crosswalk.insert_subject(
            connection, number, entry.pseudonym, entry.name or entry.pseudonym
        )
        patient_id, _ = crosswalk.pseudonym(row)
        meant = formats.number_of(crosswalk.base_name, patient_id)
        if meant is not None and meant != number:
            raise ClashError(
                f"the pseudonym is how subject {meant} is called; give the number instead"
            )
        if crosswalk.claim_pseudonym(connection, patient_id, row.id) != row.id:
            raise ClashError("the pseudonym belongs to another subject; give another one")
        return row

    def merge(self, keep: int, other: int, *, actor: str, force: bool = False) -> list[int]:
        """Have all that leads to subject `other` lead to `keep`.

        Returns the studies that have gone out as `other`'s, in the order of their numbers: they
        have to be deleted where they are, and sent again.

        Raises:
            MergeError: a number is wrong, or `other` has studies that have gone out and `force`
                is not set.
        """
        if keep == other:
            raise MergeError(f"both subjects are {keep}; name two")
        with self._crosswalk.engine.begin() as connection:
            self._crosswalk.lock_project(connection)
            # Held until the end: no study goes out meanwhile, see Studies.begin_delivery.
            kept, gone = (self._hold(connection, number) for number in (keep, other))
            out = {
                number: self._out(connection, row) for number, row in ((keep, kept), (other, gone))
            }
            if out[other] and not force:
                raise MergeError(_refusal(keep, other, out))
            theirs = sa.select(studies.c.id).where(studies.c.subject_id == gone.id)
            connection.execute(
                lookup.update()
                .where(lookup.c.study_id.in_(theirs))
                .values(subject_number=kept.number)
            )
            for table in (patient_identifiers, studies):
                connection.execute(
                    table.update().where(table.c.subject_id == gone.id).values(subject_id=kept.id)
                )
            connection.execute(
                subjects.update().where(subjects.c.id == gone.id).values(merged_into=kept.id)
            )
            forced = ", forced" if out[other] else ""
            detail = f"subject {other} into subject {keep}{forced}"
            add_event(connection, actor, "subjects merged", detail=detail)
        return out[other]

    def _hold(self, connection: sa.Connection, number: int) -> SubjectRow:
        row = connection.execute(
            sa.select(subjects)
            .where(subjects.c.project == self._project, subjects.c.number == number)
            .with_for_update()
        ).one_or_none()
        if row is None:
            raise MergeError(f"there is no subject {number}; `orthanc-deid subjects` shows them")
        if row.merged_into is not None:
            raise MergeError(f"subject {number} was merged already; name the one that was kept")
        return _row(row)

    def _out(self, connection: sa.Connection, row: SubjectRow) -> list[int]:
        """Return the studies of a subject that have gone out, at least in part."""
        return list(
            connection.scalars(
                sa.select(studies.c.id)
                .where(studies.c.subject_id == row.id, studies.c.number_modifier.is_not(None))
                .order_by(studies.c.id)
            )
        )


def _row(row: sa.Row[tuple[object, ...]]) -> SubjectRow:
    return SubjectRow(*(getattr(row, name) for name in SubjectRow._fields))


def _refusal(keep: int, other: int, out: dict[int, list[int]]) -> str:
    numbers = ", ".join(map(str, out[other]))
    if not out[keep]:
        return (
            f"studies {numbers} have gone out as subject {other}'s, and none as {keep}'s: "
            f"merge {other} {keep}, so that nothing has to be sent again, or use --force"
        )
    return (
        f"studies have gone out as both subjects'; with --force, studies {numbers} have to be "
        "deleted at every destination and sent again"
    )
