# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the subjects of the old setup over: numbers, pseudonyms and date shifts live on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from orthanc_deid.crosswalk import Crosswalk, SubjectRow
from orthanc_deid.events import add_event, now
from orthanc_deid.numbering import pseudonym_problem
from orthanc_deid.old_crosswalk import OldCrosswalk, OldCrosswalkError, OldSubject
from orthanc_deid.patient import Patient
from orthanc_deid.schema import patient_identifiers, subjects


@dataclass(slots=True)
class TakenOver:
    """What taking over came to; `several_names` subjects had gone by more than one name."""

    new: int = 0
    known: int = 0
    several_names: int = 0


def take_over(
    crosswalk: Crosswalk, old: OldCrosswalk, *, actor: str, dry_run: bool = False
) -> TakenOver:
    """Give the patients of the old setup their numbers here, all of them or none.

    It may be done again: what is known already and agrees, stays.

    Raises:
        OldCrosswalkError: with everything that contradicts the crosswalk or the settings.
    """
    problems = list(_settings_problems(crosswalk, old))
    if problems:
        raise OldCrosswalkError(problems)
    taken = TakenOver()
    with crosswalk.engine.connect() as connection, connection.begin() as transaction:
        crosswalk.lock_project(connection)
        for subject in old.subjects:
            problems += _take(crosswalk, connection, subject, taken)
        if problems:
            raise OldCrosswalkError(problems)
        detail = f"{taken.new} new subjects, {taken.known} known already"
        add_event(connection, actor, "old crosswalk taken over", detail=detail)
        if dry_run:
            transaction.rollback()
    return taken


def _settings_problems(crosswalk: Crosswalk, old: OldCrosswalk) -> Iterator[str]:
    per = crosswalk.numbering.subject_per
    accessions = sum(bool(one.accession) for subject in old.subjects for one in subject.patients)
    if accessions and per != "accession":
        yield (
            f"{accessions} patients have an accession of their own, and orthanc_phi_subject_per is "
            f"{per}: set it to accession"
        )
    if per == "accession" and any(
        not one.accession for subject in old.subjects for one in subject.patients
    ):
        yield (
            "orthanc_phi_subject_per is accession, and there are patients without one: set it to "
            "patient, or take them over with --accession"
        )


def _take(
    crosswalk: Crosswalk, connection: sa.Connection, old: OldSubject, taken: TakenOver
) -> Iterator[str]:
    patients = [patient.of_site(crosswalk.numbering.issuer) for patient in old.patients]
    led_to = {_subject_of(crosswalk, connection, patient) for patient in patients}
    there = _by_number(crosswalk, connection, old.number)
    if there is None and led_to <= {None}:
        explicit = _explicit_pseudonym(crosswalk, old)
        taken.several_names += len({name.rstrip("^") for name in old.names}) > 1
        wrong = list(_pseudonym_problems(crosswalk, old, explicit))
        if wrong:
            yield from wrong
            return
        there = crosswalk.insert_subject(connection, old.number, *explicit, old.date_offset)
        taken.new += 1
        yield from _claim(crosswalk, connection, old, there)
    elif there is not None and led_to <= {None, there.number}:
        if led_to == {None}:
            yield (
                f"subject {old.number} (pid {old.pid}) is another patient here already: take over "
                "before the first study, or into an empty crosswalk"
            )
            return
        if old.date_offset not in (None, there.date_offset):
            yield f"subject {old.number} (pid {old.pid}) has another date shift here already"
            return
        taken.known += 1
    else:
        numbers = ", ".join(str(number) for number in sorted(led_to - {None}, key=str))
        yield f"the patient of pid {old.pid} is subject {numbers} here already, not {old.number}"
        return
    for patient in patients:
        if _subject_of(crosswalk, connection, patient) is None:
            _lead(crosswalk, connection, patient, there)


def _subject_of(crosswalk: Crosswalk, connection: sa.Connection, patient: Patient) -> int | None:
    return connection.scalar(
        sa.select(subjects.c.number)
        .join(patient_identifiers, patient_identifiers.c.subject_id == subjects.c.id)
        .where(
            patient_identifiers.c.project == crosswalk.project,
            patient_identifiers.c.patient_id == patient.patient_id,
            patient_identifiers.c.issuer.in_(patient.issuers(crosswalk.numbering.issuer)),
            patient_identifiers.c.accession == patient.accession,
        )
    )


def _by_number(crosswalk: Crosswalk, connection: sa.Connection, number: int) -> SubjectRow | None:
    row = connection.execute(
        sa.select(*(subjects.c[name] for name in SubjectRow._fields)).where(
            subjects.c.project == crosswalk.project, subjects.c.number == number
        )
    ).one_or_none()
    return None if row is None else SubjectRow(*row)


def _lead(
    crosswalk: Crosswalk, connection: sa.Connection, patient: Patient, row: SubjectRow
) -> None:
    connection.execute(
        patient_identifiers.insert().values(
            project=crosswalk.project,
            patient_id=patient.patient_id,
            issuer=patient.issuer,
            accession=patient.accession,
            subject_id=row.id,
            created_at=now(),
        )
    )


def _explicit_pseudonym(crosswalk: Crosswalk, old: OldSubject) -> tuple[str | None, str | None]:
    """Return Patient ID and Patient's Name, where they do not follow from the number here."""
    new_id, new_name = crosswalk.numbering.pseudonym.write(crosswalk.base_name, old.number)
    old_id = old.patient_ids[-1] if old.patient_ids else new_id
    old_name = old.names[-1] if old.names else new_name
    if old_id == new_id and old_name.rstrip("^") == new_name.rstrip("^"):
        return None, None
    return old_id, old_name


def _pseudonym_problems(
    crosswalk: Crosswalk, old: OldSubject, explicit: tuple[str | None, str | None]
) -> Iterator[str]:
    for key, value in zip(("patient_id", "patient_name"), explicit, strict=True):
        if value is not None and (problem := pseudonym_problem(key, value)):
            yield f"pid {old.pid}: the old pseudonym {problem}"
    if explicit[0] is not None:
        formats = crosswalk.numbering.pseudonym
        meant = formats.number_of(crosswalk.base_name, explicit[0])
        if meant not in (None, old.number):
            yield (
                f"pid {old.pid}: its old Patient ID {explicit[0]!r} is how subject {meant} would "
                "be called here; choose another orthanc_phi_pseudonym or orthanc_phi_base_name"
            )


def _claim(
    crosswalk: Crosswalk, connection: sa.Connection, old: OldSubject, row: SubjectRow
) -> Iterator[str]:
    """Note every Patient ID that went out, so that nobody else ever gets it."""
    new_id, _ = crosswalk.pseudonym(row)
    for value in dict.fromkeys([*old.patient_ids, new_id]):
        if crosswalk.claim_pseudonym(connection, value, row.id) != row.id:
            yield f"pid {old.pid}: its old Patient ID {value!r} is another subject's"
