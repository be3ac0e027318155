# SPDX-License-Identifier: GPL-3.0-or-later
"""How subjects are numbered and what their pseudonyms look like: the settings, and their check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from string import Formatter
from typing import Any, Final, Literal, cast

from orthanc_deid.conditions import REMOTE_AET, Conditions, Sample, parse_conditions
from orthanc_deid.modifiers import MAX_LENGTH
from orthanc_deid.settings_reader import Reader

Scheme = Literal["monotonic", "random", "cohort", "given"]
SCHEMES: Final = ("monotonic", "random", "cohort", "given")
MAX_NUMBER: Final = 2_147_483_647  # the database's INTEGER
DEFAULT_NAME: Final = "{base}^ID{number:06d}^^^"
DEFAULT_ID: Final = "{base}_ID{number:06d}"
_FIELDS: Final = {"base", "number"}
_WRITTEN_NUMBER: Final = r"0*([0-9]+)(?:[A-Za-z_]\w*)?"
_SPEC: Final = re.compile(r"0?[0-9]{0,2}d?")
MAX_COMPONENT: Final = 64  # of a PN, and all of an LO


@dataclass(frozen=True, slots=True)
class Cohort:
    """A block of numbers for the patients whose first study meets the conditions."""

    name: str
    first: int
    last: int
    where: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class PseudonymFormat:
    """Python format strings with the fields `base` and `number`; a modifier follows the number."""

    patient_name: str = DEFAULT_NAME
    patient_id: str = DEFAULT_ID

    def write(self, base: str, number: int, modifier: str = "") -> tuple[str, str]:
        """Return Patient ID and Patient's Name of a subject."""
        fields = {"base": base, "number": _Number(number, modifier)}
        return self.patient_id.format(**fields), self.patient_name.format(**fields)

    def number_of(self, base: str, patient_id: str) -> int | None:
        """Return the number of the subject that would have this Patient ID, if one would."""
        pattern = "".join(
            re.escape(literal) + {None: "", "base": re.escape(base)}.get(name, _WRITTEN_NUMBER)
            for literal, name, _, _ in Formatter().parse(self.patient_id)
        )
        match = re.fullmatch(pattern, patient_id)
        return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class _Number:
    value: int
    modifier: str

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) + self.modifier


@dataclass(frozen=True, slots=True)
class Numbering:
    """How subjects are numbered.

    Attributes:
        scheme: `monotonic`, `random`, `cohort` (from the cohort's block) or `given` (by a list).
        cohorts: looked at in their order; the first one whose conditions hold.
        subject_per: what counts as one subject: a `patient`, an `accession`, or, with `modifier`,
            each kind of a patient's studies that the profile's `number_modifiers` tell apart.
        unlisted: what becomes of a patient whose number is not given: `number`, or `wait`.
        issuer: the site's own Issuer of Patient ID, which an empty one means.
    """

    scheme: Scheme = "monotonic"
    cohorts: tuple[Cohort, ...] = ()
    pseudonym: PseudonymFormat = field(default_factory=PseudonymFormat)
    subject_per: Literal["patient", "accession", "modifier"] = "patient"
    unlisted: Literal["number", "wait"] = "wait"
    issuer: str = ""

    def cohort_of(self, samples: Sequence[Sample]) -> Cohort | None:
        """Return the cohort of the study that has these samples."""
        return next((cohort for cohort in self.cohorts if cohort.where.hold(samples)), None)

    @property
    def keywords(self) -> frozenset[str]:
        """The attributes that decide about the cohort."""
        return frozenset().union(*(cohort.where.keywords for cohort in self.cohorts))


def read_base_name(reader: Reader) -> str:
    """Read what every pseudonym begins with."""
    name = reader.text("base_name")
    if name and not re.fullmatch(r"[A-Za-z0-9_]{1,32}", name):
        reader.wrong("base_name", f"must be 1 to 32 letters, digits or underscores, not {name!r}")
    return name


def read_numbering(reader: Reader, base_name: str) -> Numbering:
    """Read how subjects are numbered; `reader` gets to know what is wrong."""
    numbering = Numbering(
        scheme=reader.choice("numbering", SCHEMES, "monotonic"),
        cohorts=tuple(_read_cohort(item) for item in reader.each("cohorts")),
        pseudonym=_read_pseudonym(reader.inside("pseudonym", {}), base_name),
        subject_per=reader.choice("subject_per", ("patient", "accession", "modifier"), "patient"),
        unlisted=reader.choice("unlisted", ("number", "wait"), "wait"),
        issuer=cast(str, reader.take("issuer", str, "")).strip(),
    )
    if len(numbering.issuer) > MAX_COMPONENT or "\\" in numbering.issuer:
        reader.wrong("issuer", "must have at most 64 characters and no backslash")
    _check_cohorts(numbering, reader)
    return numbering


def _read_cohort(reader: Reader) -> Cohort:
    first = reader.number("first", 1, MAX_NUMBER)
    last = reader.number("last", 1, MAX_NUMBER)
    if last < first:
        reader.wrong("last", f"is {last}, before the first number {first}; swap or correct them")
    where, problems = parse_conditions(reader.take("where", list, []), also=(REMOTE_AET,))
    for problem in problems:
        reader.wrong("where", problem)
    cohort = Cohort(reader.text("name"), first, last, where)
    reader.refuse_unknown()
    return cohort


def _check_cohorts(numbering: Numbering, reader: Reader) -> None:
    cohorts = numbering.cohorts
    if numbering.scheme == "cohort" and not cohorts:
        reader.wrong("cohorts", "is empty, but numbering is cohort; name the cohorts")
    if numbering.scheme != "cohort" and cohorts:
        reader.wrong(
            "cohorts", f"is not used while numbering is {numbering.scheme!r}; set it to cohort"
        )
    for one, other in combinations(cohorts, 2):
        if one.name == other.name:
            reader.wrong("cohorts", f"{one.name!r} is the name of several; give each its own")
        if one.first <= other.last and other.first <= one.last:
            reader.wrong(
                "cohorts",
                f"the numbers of {one.name!r} ({one.first} to {one.last}) and {other.name!r} "
                f"({other.first} to {other.last}) overlap; set them apart",
            )
    for cohort in cohorts[:-1]:
        if not cohort.where.any_of:
            reader.wrong(
                "cohorts",
                f"{cohort.name!r} asks for nothing, so nobody comes to those after it; "
                "give it a where, or put it last",
            )


def _read_pseudonym(reader: Reader, base_name: str) -> PseudonymFormat:
    formats = PseudonymFormat(
        patient_name=reader.text("patient_name", DEFAULT_NAME),
        patient_id=reader.text("patient_id", DEFAULT_ID),
    )
    reader.refuse_unknown()
    for key in ("patient_name", "patient_id"):
        problem = _format_problem(key, getattr(formats, key), base_name or "ANON")
        if problem:
            reader.wrong(key, problem)
    return formats


def _format_problem(key: str, text: str, base_name: str) -> str | None:
    """Say what is wrong with a format, if anything is."""
    try:
        parts = [part[1:] for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        return f"is {text!r}: {error}; write a brace as {{{{ or }}}}"
    for name, spec, conversion in parts:
        if name not in _FIELDS or conversion:
            return f"is {text!r}: {{{name}}} is no field; there are {{base}} and {{number}}"
        if spec and not (name == "number" and _SPEC.fullmatch(spec)):
            return f"is {text!r}: {spec!r} is no width of {name}; write it as in {{number:06d}}"
    if "number" not in {name for name, _, _ in parts}:
        return f"is {text!r}: without {{number}} all subjects would be one; put it in"
    return pseudonym_problem(key, text.format(base=base_name, number=MAX_NUMBER))


def pseudonym_problem(key: str, written: str) -> str | None:
    """Say why a text cannot be the `patient_id` or `patient_name` of a subject, if it cannot."""
    if not (written.isascii() and written.isprintable()) or "\\" in written or "=" in written:
        return f"gives {written!r}: use printable ASCII characters, no backslash and no ="
    if written != written.strip():
        return f"gives {written!r}: spaces at the ends are lost; take them out"
    components = written.split("^") if key == "patient_name" else [written]
    if len(components) > 5:
        return f"gives {written!r}: a name has at most five components, so four ^"
    limit = MAX_COMPONENT - MAX_LENGTH
    if max(map(len, components)) > limit:
        return f"gives {written!r}: that is longer than {limit} characters; shorten it"
    return None


def check_numbering(content: dict[str, Any]) -> list[str]:
    """Return everything that is wrong with settings about subjects, each with its key."""
    reader = Reader(content)
    read_numbering(reader, read_base_name(reader))
    reader.refuse_unknown()
    return reader.problems
