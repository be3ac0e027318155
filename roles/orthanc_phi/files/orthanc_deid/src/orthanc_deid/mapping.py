# SPDX-License-Identifier: GPL-3.0-or-later
"""Which old UID and Patient ID became which new one, for an honest broker and for scoring.

Nothing of it is kept: new UIDs are a function of the old ones, so that the originals tell both.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from orthanc_deid.actions import Action, Rule
from orthanc_deid.crosswalk import Crosswalk, SubjectRow
from orthanc_deid.elements import Element, Syntax, Walker
from orthanc_deid.errors import DeidError
from orthanc_deid.orthanc_client import GoneError, OrthancClient
from orthanc_deid.part10 import open_instance
from orthanc_deid.plan import EntryTable, make_tables
from orthanc_deid.schema import patient_identifiers, studies, subjects
from orthanc_deid.uids import NAMES_A_CLASS, WELL_KNOWN_ROOT

UID_FILE: Final = "uid_mapping.csv"
PATIENT_FILE: Final = "patid_mapping.csv"
Pair = tuple[str, str]


@dataclass(slots=True)
class Mapping:
    """Old and new. As secret as the originals.

    Attributes:
        missing: the crosswalk's numbers of the studies that PHI does not hold any more, of which
            only the Study Instance UID is told.
    """

    uids: set[Pair] = field(default_factory=set, repr=False)
    patients: set[Pair] = field(default_factory=set, repr=False)
    studies: int = 0
    missing: list[int] = field(default_factory=list)


def of_delivered(
    crosswalk: Crosswalk,
    source: OrthancClient,
    map_uid: Callable[[str], str],
    numbers: Collection[int] = (),
) -> Mapping:
    """Return the mapping of what has gone out: of all subjects, or those with these numbers.

    Args:
        crosswalk: knows studies and subjects.
        source: the PHI Orthanc, whose originals tell the UIDs.
        map_uid: the engine's, from an old UID to the new one.
        numbers: the subjects; if none are given, all.
    """
    mapping = Mapping()
    for study in _delivered(crosswalk, numbers):
        mapping.studies += 1
        row = SubjectRow(*(getattr(study, name) for name in SubjectRow._fields))
        new_id, _ = crosswalk.pseudonym(row, study.number_modifier)
        mapping.patients |= {(old, new_id) for old in _patient_ids(crosswalk, row.id)}
        mapping.uids.add((study.study_instance_uid, study.anonymous_study_uid))
        try:
            for instance_id in source.instance_ids(study.orthanc_id or ""):
                old_uids = read_uids(source.download(instance_id))
                mapping.uids |= {(old, map_uid(old)) for old in old_uids}
        except GoneError:
            mapping.missing.append(study.study_id)
    return mapping


def _delivered(
    crosswalk: Crosswalk, numbers: Collection[int]
) -> Iterable[sa.Row[tuple[object, ...]]]:
    query = (
        sa.select(
            studies.c.id.label("study_id"),
            studies.c.orthanc_id,
            studies.c.study_instance_uid,
            studies.c.anonymous_study_uid,
            studies.c.number_modifier,
            *(subjects.c[name] for name in SubjectRow._fields),
        )
        .join(subjects, studies.c.subject_id == subjects.c.id)
        .where(
            studies.c.project == crosswalk.project,
            studies.c.number_modifier.is_not(None),
            studies.c.anonymous_study_uid.is_not(None),
        )
        .order_by(studies.c.id)
    )
    if numbers:
        query = query.where(subjects.c.number.in_(numbers))
    with crosswalk.engine.connect() as connection:
        return connection.execute(query).all()


def _patient_ids(crosswalk: Crosswalk, subject_id: int) -> list[str]:
    query = sa.select(patient_identifiers.c.patient_id).where(
        patient_identifiers.c.subject_id == subject_id
    )
    with crosswalk.engine.connect() as connection:
        return list(connection.scalars(query))


def read_uids(data: bytes) -> set[str]:
    """Return every UID of an instance, at any depth, that names a thing and not a class.

    Raises:
        Quarantine: it cannot be read.
    """
    instance = open_instance(data)
    elements = Walker(instance.data, _tables()).walk(
        instance.start, len(instance.data), instance.syntax
    )
    found = {uid.strip(" \0") for uid in _values(instance.data, elements)}
    return {uid for uid in found if uid and not uid.startswith(WELL_KNOWN_ROOT)}


@cache
def _tables() -> dict[Syntax, EntryTable]:
    note = Rule(Action.REMAP, "mapping")
    return make_tables(
        lambda tag, vr: note if vr == "UI" and tag not in NAMES_A_CLASS else None, look=False
    )


def _values(data: bytes, elements: Iterable[Element]) -> Iterator[str]:
    for element in elements:
        if element.items is not None:
            for item in element.items:
                yield from _values(data, item.elements)
        else:
            yield from data[element.value : element.stop].decode("latin-1").split("\\")


def check_directory(directory: Path) -> None:
    """Make the directory, or refuse one that others may look into, such as a web root.

    Raises:
        DeidError: with what to do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = directory.stat().st_mode
    except OSError as error:
        raise DeidError(f"{directory} cannot be made: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise DeidError(
            f"others may look into {directory} (mode {stat.S_IMODE(mode):04o}), and the mapping "
            "tells who the patients are; name a new directory, or one of mode 0700"
        )


def write_mapping(directory: Path, uids: Iterable[Pair], patients: Iterable[Pair]) -> None:
    """Write both files, which only their owner can read; each is there whole or not at all.

    Raises:
        DeidError: a file cannot be written.
    """
    for name, pairs in ((UID_FILE, uids), (PATIENT_FILE, patients)):
        try:
            _write(directory / name, pairs)
        except OSError as error:
            raise DeidError(
                f"the mapping {directory / name} cannot be written: {error.strerror}"
            ) from error


def _write(path: Path, pairs: Iterable[Pair]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id_old", "id_new"))
        rows.writerows(sorted(pairs))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
