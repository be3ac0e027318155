# SPDX-License-Identifier: GPL-3.0-or-later
"""The old setup's crosswalk lives on: its numbers, pseudonyms and date shifts."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from orthanc_deid.conditions import Sample
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.numbering import Numbering
from orthanc_deid.old_crosswalk import OldCrosswalkError, Reading, read_old
from orthanc_deid.old_dump import DumpError
from orthanc_deid.old_import import TakenOver, take_over
from orthanc_deid.patient import Patient
from postgres_server import binaries

DAY = 86_400
SCHEMA = """
CREATE TABLE patientid (pid serial PRIMARY KEY, value text UNIQUE, parent_pid int REFERENCES patientid);
CREATE TABLE patientid_anon (pid_a serial PRIMARY KEY, value text UNIQUE, pid int REFERENCES patientid);
CREATE TABLE studyinstanceuid (siuid serial PRIMARY KEY, value text UNIQUE, pid int REFERENCES patientid);
CREATE TABLE studyinstanceuid_anon (siuid_a serial PRIMARY KEY, value text UNIQUE, siuid int);
CREATE TABLE siuid2patientname_anon (pna_id serial PRIMARY KEY, patientname_anon text,
                                     "timestamp" timestamp, siuid int);
CREATE TABLE shiftepoch (se serial PRIMARY KEY, value int, pid int REFERENCES patientid);
CREATE TABLE internalnumber (inid serial PRIMARY KEY, value int UNIQUE, pid int REFERENCES patientid);
"""  # noqa: E501 - as the old setup wrote it


@dataclass(frozen=True)
class Old:
    """A running database of the old setup."""

    url: sa.URL
    engine: sa.Engine

    def add(
        self, value: str, number: int | None, seconds: int | None, name: str = "", parent: int = 0
    ) -> int:
        """Add a patient with what it was given; returns its pid."""
        with self.engine.begin() as db:
            pid = db.execute(
                sa.text("INSERT INTO patientid (value, parent_pid) VALUES (:v, :p) RETURNING pid"),
                {"v": value, "p": parent or None},
            ).scalar_one()
            if number is not None:
                self._insert(db, "internalnumber (value, pid)", number, pid)
                self._insert(db, "patientid_anon (value, pid)", f"OLD_ID{number:06d}", pid)
            if seconds is not None:
                self._insert(db, "shiftepoch (value, pid)", seconds, pid)
            if name:
                self._insert(db, "studyinstanceuid (value, pid)", f"1.2.{pid}", pid)
                self._insert(
                    db, 'siuid2patientname_anon (patientname_anon, "timestamp", siuid)',
                    name, f"2024-01-01 00:00:{pid % 60:02}", self._study(db, pid),
                )  # fmt: skip
        return int(pid)

    @staticmethod
    def _insert(db: sa.Connection, into: str, *values: object) -> None:
        names = [f"v{number}" for number in range(len(values))]
        marks = ", ".join(f":{name}" for name in names)
        db.execute(
            sa.text(f"INSERT INTO {into} VALUES ({marks})"), dict(zip(names, values, strict=True))
        )

    @staticmethod
    def _study(db: sa.Connection, pid: int) -> int:
        query = sa.text("SELECT siuid FROM studyinstanceuid WHERE pid = :pid")
        return int(db.execute(query, {"pid": pid}).scalar_one())

    def dump(self) -> list[str]:
        """What pg_dump of this database writes."""
        command = [
            str(binaries() / "pg_dump"),
            self.url.set(drivername="postgresql").render_as_string(False),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines(keepends=True)


@pytest.fixture
def old(empty_database: sa.URL) -> Iterator[Old]:
    engine = sa.create_engine(empty_database)
    with engine.begin() as db:
        db.exec_driver_sql(SCHEMA)
    yield Old(empty_database, engine)
    engine.dispose()


@pytest.fixture
def crosswalk(embedded: sa.URL) -> Iterator[Crosswalk]:
    opened = Crosswalk(embedded, base_name="OLD")
    yield opened
    opened.close()


Take = Callable[..., TakenOver]


@pytest.fixture
def take(old: Old, crosswalk: Crosswalk) -> Take:
    def run(dry_run: bool = False, **reading: object) -> TakenOver:
        return take_over(
            crosswalk, read_old(old.dump(), Reading(**reading)), actor="test", dry_run=dry_run
        )

    return run


def problems(take: Take, **reading: object) -> str:
    with pytest.raises(OldCrosswalkError) as caught:
        take(**reading)
    return "\n".join(caught.value.problems)


def test_several_hundred_patients_keep_number_pseudonym_and_dates(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    draw = random.Random(6)
    numbers = draw.sample(range(1, 999_999), 400)
    patients = {
        f"MRN{index:05}": (number, draw.randint(1, 365)) for index, number in enumerate(numbers)
    }
    for patient, (number, days) in patients.items():
        old.add(patient, number, days * DAY, f"OLD^ID{number:06d}^^^")

    assert take() == TakenOver(new=400)
    for patient, (number, days) in patients.items():
        subject = crosswalk.subject(patient)
        assert (subject.number, subject.patient_id) == (number, f"OLD_ID{number:06d}")
        assert subject.patient_name.rstrip("^") == f"OLD^ID{number:06d}"
        # The old setup subtracted the shift, which moved dates back.
        moved = date(2024, 5, 17) + timedelta(days=subject.date_offset)
        assert moved == date(2024, 5, 17) - timedelta(days=days)
    assert crosswalk.subject("somebody new").number not in numbers


def test_taking_over_again_changes_nothing(old: Old, crosswalk: Crosswalk, take: Take) -> None:
    old.add("A", 7, DAY)
    assert take() == TakenOver(new=1)
    crosswalk.subject("B")
    old.add("C", 9, 2 * DAY)

    assert take() == TakenOver(new=1, known=1)
    assert (crosswalk.subject("A").number, crosswalk.subject("C").number) == (7, 9)


def test_a_dry_run_changes_nothing(old: Old, crosswalk: Crosswalk, take: Take) -> None:
    old.add("A", 7, DAY)

    assert take(dry_run=True) == TakenOver(new=1)
    assert not crosswalk.is_listed(Patient("A"))


def test_another_patient_id_of_the_same_person_leads_to_the_same_number(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    first = old.add("A", 7, DAY)
    old.add("FORMER", None, None, parent=first)
    take()

    assert crosswalk.subject("FORMER") == crosswalk.subject("A")


def test_a_pseudonym_of_another_form_goes_on_as_it_was(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    old.add("A", 7, DAY, "IRB12^ID000007^^^")
    take()

    assert crosswalk.subject("A").patient_name == "IRB12^ID000007^^^"


def test_screening_and_diagnostic_studies_keep_their_own_numbers(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    crosswalk.numbering = Numbering(subject_per="modifier")
    old.add("100s", 7, DAY, "OLD^ID000007^^^")
    old.add("100d", 8, 2 * DAY, "OLD^ID000008^^^")
    old.add("1002d", 9, 3 * DAY)
    old.add("100n2d", 10, 4 * DAY)
    modifiers = {"s": "s", "d": "d", "2d": "_2d", "n2d": "_n2d"}
    take(modifiers=modifiers, patient_id="[0-9]{3}")

    found = {new: crosswalk.subject("100", modifier=new) for new in modifiers.values()}
    assert [one.number for one in found.values()] == [7, 8, 9, 10]
    assert [one.date_offset for one in found.values()] == [-1, -2, -3, -4]
    assert found["s"].patient_id == "OLD_ID000007"
    crosswalk.demand_same([Patient("100")], "s")


def test_each_accession_keeps_its_number(old: Old, crosswalk: Crosswalk, take: Take) -> None:
    crosswalk.numbering = Numbering(subject_per="accession")
    old.add("100_ACC1", 7, DAY)
    old.add("100_ACC2", 8, 2 * DAY)
    take(accession=True)

    assert crosswalk.subject("100", accession="ACC1").number == 7
    assert crosswalk.subject("100", accession="ACC2").date_offset == -2


def test_a_value_that_can_be_read_in_two_ways_is_asked_about(old: Old, take: Take) -> None:
    pid = old.add("1002d", 7, DAY)

    told = problems(take, modifiers={"d": "d", "2d": "_2d"})
    assert f"the Patient ID of pid {pid} can be read in 2 ways" in told
    assert "1002d" not in told


def test_a_shift_of_part_of_a_day_is_asked_about_and_then_moves_dates_as_before(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    old.add("A", 7, 3 * DAY + 5)

    assert "no whole number of days" in problems(take)
    take(whole_days=True)
    # Midnight less three days and five seconds is on the fourth day before.
    assert crosswalk.subject("A").date_offset == -4


def test_kept_dates_are_asked_about(old: Old, crosswalk: Crosswalk, take: Take) -> None:
    old.add("A", 7, 0)

    assert "--kept-dates" in problems(take)
    take(kept_dates=True)
    assert crosswalk.subject("A").number == 7


def test_everything_that_contradicts_is_told_at_once_and_nothing_is_taken(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    crosswalk.subject("HERE")  # number 1
    crosswalk.subject("ALSO")  # number 2
    old.add("SOMEBODY", 1, DAY)
    old.add("ALSO", 5, DAY)
    old.add("FINE", 6, DAY)

    told = problems(take)
    assert "subject 1 (pid 1) is another patient here already" in told
    assert "the patient of pid 2 is subject 2 here already, not 5" in told
    assert not crosswalk.is_listed(Patient("FINE"))


def test_a_number_of_the_row_itself(old: Old, crosswalk: Crosswalk, take: Take) -> None:
    pid = old.add("A", None, DAY)

    assert take() == TakenOver()
    take(number_is_pid=True)
    assert crosswalk.subject("A").number == pid


def test_text_of_a_patient_is_read_as_it_was_written(
    old: Old, crosswalk: Crosswalk, take: Take
) -> None:
    old.add("A\\\tÄ", 7, DAY)
    take()

    assert crosswalk.subject("A\\\tÄ").number == 7


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["INSERT INTO patientid VALUES (1);\n"], "without --inserts"),
        (["PGDMP\x01\x0e"], "pg_restore -f -"),
        (["COPY public.patientid (pid, value) FROM stdin;\n"], "has no column parent_pid"),
        (["COPY public.patientid (pid, value, parent_pid) FROM stdin;\n", "1\tA\n"], "not as many"),
        (["COPY patientid (pid, value, parent_pid) FROM stdin;\n", "1\tA\t\\N\n"], "in the middle"),
    ],
)
def test_what_is_no_dump_is_refused_with_the_reason(lines: list[str], told: str) -> None:
    with pytest.raises(DumpError, match=told.replace("(", "[(]")):
        read_old(lines, Reading())


def test_the_modifier_decides_about_a_new_patient_too(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering(subject_per="modifier")
    samples: list[Sample] = []

    screening = crosswalk.subject("100", samples=samples, modifier="s")
    diagnostic = crosswalk.subject("100", samples=samples, modifier="d")
    assert (screening.number, diagnostic.number) == (1, 2)
    assert (screening.patient_id, screening.modifier) == ("OLD_ID000001", "s")
