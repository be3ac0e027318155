# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker's list: which patient, or which accession, gets which subject number or pseudonym."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from orthanc_deid.errors import DeidError
from orthanc_deid.numbering import MAX_NUMBER, pseudonym_problem
from orthanc_deid.patient import Patient

COLUMNS: Final = ("patient_id", "issuer", "accession", "number", "pseudonym", "name")


class ClashError(DeidError):
    """A line of a list that contradicts what the crosswalk has."""


class ListError(DeidError):
    """A list that cannot be loaded; `problems` names each with its line, and no patient."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list.

    Attributes:
        number: the subject number; None where only a pseudonym is given.
        pseudonym: the new Patient ID; None where it follows from the number.
        name: the new Patient's Name; None where it is the pseudonym.
    """

    line: int
    patient: Patient
    number: int | None
    pseudonym: str | None
    name: str | None

    @property
    def target(self) -> tuple[int | None, str | None, str | None]:
        """What the patient gets."""
        return self.number, self.pseudonym, self.name


def read_list(lines: Iterable[str], own_issuer: str = "") -> list[Entry]:
    """Read a list: CSV in UTF-8 with a line of headings.

    Args:
        lines: the text.
        own_issuer: the site's own issuer, which an empty one means.

    Raises:
        ListError: with everything that is wrong in the list itself.
    """
    rows = csv.DictReader(lines, strict=True)
    try:
        headings = [heading.strip() for heading in rows.fieldnames or []]
        rows.fieldnames = headings
        problems = list(_heading_problems(headings))
        entries = [] if problems else list(_entries(rows, own_issuer, problems))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ListError([f"line {rows.line_num + 1}: this is no CSV in UTF-8: {error}"]) from None
    problems += _contradictions(entries)
    if not entries and not problems:
        problems.append("the list has no lines below its headings")
    if problems:
        raise ListError(problems)
    return entries


def _heading_problems(headings: list[str]) -> Iterator[str]:
    for heading in headings:
        if heading not in COLUMNS:
            yield f"line 1: {heading!r} is no column; there are {', '.join(COLUMNS)}"
        elif headings.count(heading) > 1:
            yield f"line 1: {heading!r} stands there twice"
    if "patient_id" not in headings:
        yield "line 1: there is no column patient_id"
    if not {"number", "pseudonym"} & set(headings):
        yield "line 1: there is neither a column number nor a column pseudonym"


def _entries(rows: csv.DictReader[str], own_issuer: str, problems: list[str]) -> Iterator[Entry]:
    for row in rows:
        line = rows.line_num
        if None in row or None in row.values():
            problems.append(f"line {line}: it has not as many values as there are columns")
            continue
        values = {key: value.strip() for key, value in row.items()}
        wrong = list(_row_problems(values))
        problems += [f"line {line}: {problem}" for problem in wrong]
        if not wrong:
            number = values.get("number")
            yield Entry(
                line,
                Patient(
                    values["patient_id"], values.get("issuer", ""), values.get("accession", "")
                ).of_site(own_issuer),
                int(number) if number else None,
                values.get("pseudonym") or None,
                values.get("name") or None,
            )


def _row_problems(values: Mapping[str, str]) -> Iterator[str]:
    if not values["patient_id"]:
        yield "patient_id is empty"
    number, pseudonym = values.get("number", ""), values.get("pseudonym", "")
    if not number and not pseudonym:
        yield "number and pseudonym are both empty; give one"
    if number and not (number.isascii() and number.isdecimal() and 0 < int(number) <= MAX_NUMBER):
        yield f"number must be a whole number from 1 to {MAX_NUMBER}"
    for key, value in (("patient_id", pseudonym), ("patient_name", values.get("name", ""))):
        if value and (problem := pseudonym_problem(key, value)):
            yield f"{'pseudonym' if key == 'patient_id' else 'name'} {problem}"
    if values.get("name") and not pseudonym:
        yield "a name goes with a pseudonym only; give the pseudonym, too"


def _contradictions(entries: list[Entry]) -> Iterator[str]:
    patients: dict[Patient, Entry] = {}
    by_number: dict[int, Entry] = {}
    by_pseudonym: dict[str, Entry] = {}
    for entry in entries:
        first = patients.setdefault(entry.patient, entry)
        if first.target != entry.target:
            yield f"line {entry.line}: line {first.line} gives the same patient something else"
        if entry.number is not None:
            first = by_number.setdefault(entry.number, entry)
            if (first.pseudonym, first.name) != (entry.pseudonym, entry.name):
                yield (
                    f"line {entry.line}: line {first.line} gives the same number another "
                    "pseudonym or name"
                )
        if entry.pseudonym is not None:
            first = by_pseudonym.setdefault(entry.pseudonym, entry)
            if (first.number, first.name) != (entry.number, entry.name):
                yield (
                    f"line {entry.line}: line {first.line} gives the same pseudonym "
                    "another number or name"
                )
