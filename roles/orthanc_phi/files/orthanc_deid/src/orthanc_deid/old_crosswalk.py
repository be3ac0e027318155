# SPDX-License-Identifier: GPL-3.0-or-later
"""The crosswalk of the old setup: who had which number, pseudonym and date shift.

Its tables: `patientid` (`parent_pid` names another Patient ID of the same person),
`patientid_anon`, `internalnumber`, `shiftepoch` (seconds that were subtracted from dates), and the
names that a study was given. A Patient ID there may end in a modifier, which told kinds of studies
or accessions apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from orthanc_deid.errors import DeidError
from orthanc_deid.numbering import MAX_NUMBER
from orthanc_deid.old_dump import Row, read_dump
from orthanc_deid.patient import Patient

SECONDS_A_DAY: Final = 86_400
TABLES: Final = {
    "patientid": frozenset({"pid", "value", "parent_pid"}),
    "patientid_anon": frozenset({"pid", "value"}),
    "internalnumber": frozenset({"pid", "value"}),
    "shiftepoch": frozenset({"pid", "value"}),
    "studyinstanceuid": frozenset({"siuid", "pid"}),
    "siuid2patientname_anon": frozenset({"siuid", "patientname_anon", "timestamp"}),
}
NEEDED: Final = ("patientid", "internalnumber", "shiftepoch")


class OldCrosswalkError(DeidError):
    """The old crosswalk cannot be taken over; `problems` names rows by `pid`, and no patient."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of the old tables are to be read.

    Attributes:
        modifiers: what a Patient ID may end in, and what this site's profile writes for it now.
        accession: whether `_ACCESSION` may follow a Patient ID.
        patient_id: what a bare Patient ID looks like.
        number_is_pid: whether the key of a patient was the number, where there is no other.
        kept_dates: whether the old setup left dates as they were.
        whole_days: round a shift that is no whole number of days up to the next one.
    """

    modifiers: Mapping[str, str] = field(default_factory=dict)
    accession: bool = False
    patient_id: str = r".+"
    number_is_pid: bool = False
    kept_dates: bool = False
    whole_days: bool = False


@dataclass(slots=True)
class OldSubject:
    """One subject of the old setup.

    Attributes:
        date_offset: the days that were added to dates; None where they were kept.
        patients: what leads to the subject.
        patient_ids: the Patient IDs that went out.
        names: the Patient's Names that went out, the newest last.
    """

    pid: int
    number: int
    date_offset: int | None
    patients: list[Patient]
    patient_ids: list[str]
    names: list[str]


@dataclass(slots=True)
class OldCrosswalk:
    """All subjects of the old setup, and what is to be told about them."""

    subjects: list[OldSubject]
    without_number: int
    rounded: int


def read_old(lines: Iterable[str], reading: Reading) -> OldCrosswalk:
    """Read the old crosswalk out of a dump.

    Raises:
        DumpError: it is no dump of the old crosswalk.
        OldCrosswalkError: with everything in it that cannot be taken over.
    """
    tables = read_dump(lines, TABLES)
    if missing := [name for name in NEEDED if name not in tables]:
        raise OldCrosswalkError([f"the dump has no table {', '.join(missing)}"])
    return _Old(tables, reading).read()


class _Old:
    def __init__(self, tables: Mapping[str, list[Row]], reading: Reading) -> None:
        self.reading = reading
        self.problems: list[str] = []
        self.rounded = 0
        self.values = {_int(row["pid"]): row["value"] or "" for row in tables["patientid"]}
        self.parents = {
            _int(row["pid"]): _int(row["parent_pid"])
            for row in tables["patientid"]
            if row["parent_pid"] is not None
        }
        self.numbers = self._by_pid("internalnumber", tables)
        self.shifts = self._by_pid("shiftepoch", tables)
        self.anonymous: dict[int, list[str]] = {}
        for row in tables.get("patientid_anon", []):
            self.anonymous.setdefault(_int(row["pid"]), []).append(row["value"] or "")
        self.names = _names(tables)

    def _by_pid(self, name: str, tables: Mapping[str, list[Row]]) -> dict[int, int]:
        found: dict[int, int] = {}
        for row in tables[name]:
            pid, value = _int(row["pid"]), _int(row["value"])
            if found.setdefault(pid, value) != value:
                self.problems.append(f"pid {pid} has two rows in {name}: remove the wrong one")
        return found

    def read(self) -> OldCrosswalk:
        groups: dict[int, list[int]] = {}
        for pid in self.values:
            groups.setdefault(self._owner(pid), []).append(pid)
        subjects, without = [], 0
        for owner, pids in groups.items():
            number = self._number(owner)
            if number is None:
                without += len(pids)
            elif not 0 < number <= MAX_NUMBER:
                self.problems.append(f"pid {owner} has the number {number}: use 1 to {MAX_NUMBER}")
            else:
                subjects.append(self._subject(owner, number, pids))
        self._see_that_each_is_one(subjects)
        if self.problems:
            raise OldCrosswalkError(self.problems)
        return OldCrosswalk(subjects, without, self.rounded)

    def _owner(self, pid: int) -> int:
        """Return the row whose number holds for a Patient ID: its own, or its parent's."""
        seen = {pid}
        while pid not in self.numbers and (parent := self.parents.get(pid)) is not None:
            if parent not in self.values:
                self.problems.append(f"pid {pid} has the parent {parent}, which is not there")
                return pid
            if parent in seen:
                self.problems.append(f"pid {pid} is its own parent: set one parent_pid to NULL")
                return pid
            seen.add(parent)
            pid = parent
        return pid

    def _number(self, owner: int) -> int | None:
        return self.numbers.get(owner, owner if self.reading.number_is_pid else None)

    def _subject(self, owner: int, number: int, pids: list[int]) -> OldSubject:
        return OldSubject(
            pid=owner,
            number=number,
            date_offset=self._offset(owner),
            patients=[patient for pid in pids if (patient := self._patient(pid))],
            patient_ids=[value for pid in pids for value in self.anonymous.get(pid, [])],
            names=[
                name for _, name in sorted(pair for pid in pids for pair in self.names.get(pid, []))
            ],
        )

    def _offset(self, owner: int) -> int | None:
        """Return the days that were added to dates: the old setup subtracted seconds."""
        seconds = self.shifts.get(owner) or self.shifts.get(self.parents.get(owner, -1)) or 0
        days, rest = divmod(seconds, SECONDS_A_DAY)
        if rest and not self.reading.whole_days:
            self.problems.append(
                f"pid {owner} has a shift of {seconds} seconds, which is no whole number of days, "
                "and dates move by whole days here: take it over with --whole-days, which moves "
                "dates as the old setup moved those without a time, and times of day not at all"
            )
        elif rest:
            self.rounded += 1
            days += 1
        if seconds:
            return -days
        if not self.reading.kept_dates:
            self.problems.append(
                f"pid {owner} has no date shift: if the old setup kept dates, set "
                "orthanc_phi_keep_dates to true and take it over with --kept-dates"
            )
        return None

    def _patient(self, pid: int) -> Patient | None:
        readings = set(_readings(self.values[pid], self.reading))
        if len(readings) == 1:
            return readings.pop()
        self.problems.append(
            f"the Patient ID of pid {pid} can be read in {len(readings)} ways: say by --patient-id "
            "what a Patient ID looks like, and by --modifier and --accession what may follow it"
        )
        return None

    def _see_that_each_is_one(self, subjects: list[OldSubject]) -> None:
        numbers: dict[int, int] = {}
        patients: dict[Patient, int] = {}
        for subject in subjects:
            first = numbers.setdefault(subject.number, subject.pid)
            if first != subject.pid:
                self.problems.append(
                    f"pid {subject.pid} and pid {first} both have the number {subject.number}"
                )
            for patient in subject.patients:
                first = patients.setdefault(patient, subject.pid)
                if first != subject.pid:
                    self.problems.append(
                        f"pid {subject.pid} and pid {first} would be the same patient here: give "
                        "each modifier another NEW"
                    )


def _readings(value: str, reading: Reading) -> Iterator[Patient]:
    """Yield every way in which a value is a Patient ID and what may follow it."""
    bare = re.compile(reading.patient_id)
    value = value.strip()
    if bare.fullmatch(value):
        # Without a pattern, what ends like a modifier has one.
        ends = any(value.endswith(old) and value != old for old in reading.modifiers)
        if reading.patient_id != r".+" or not (ends or (reading.accession and "_" in value)):
            yield Patient(value)
    for old, new in reading.modifiers.items():
        cut = value.removesuffix(old)
        if old and cut != value and bare.fullmatch(cut):
            yield Patient(cut + new)
    if reading.accession:
        for match in re.finditer("_", value):
            cut, accession = value[: match.start()], value[match.end() :]
            if accession and bare.fullmatch(cut):
                yield Patient(cut, accession=accession)


def _names(tables: Mapping[str, list[Row]]) -> dict[int, list[tuple[str, str]]]:
    patients = {_int(row["siuid"]): _int(row["pid"]) for row in tables.get("studyinstanceuid", [])}
    found: dict[int, list[tuple[str, str]]] = {}
    for row in tables.get("siuid2patientname_anon", []):
        pid = patients.get(_int(row["siuid"]))
        if pid is not None and row["patientname_anon"]:
            given = (row["timestamp"] or "", row["patientname_anon"])
            found.setdefault(pid, []).append(given)
    return found


def _int(text: str | None) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise OldCrosswalkError(
            ["a key, number or shift is no whole number: is it the dump of the old crosswalk?"]
        ) from None
