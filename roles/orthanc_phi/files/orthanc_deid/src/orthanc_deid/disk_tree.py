# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the file of an instance lies in the tree: the template and what it makes of the metadata.

Pure: no file is touched and Orthanc is not needed. `python3 disk_tree.py --check-template TEMPLATE`
tells everything that is wrong with a template, before anything is deployed.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

BLOCK = 50  # subjects per lo_hi folder
MAX_COMPONENTS = 12
MAX_COMPONENT_BYTES = (
    200  # NAME_MAX is 255, less on encrypted file systems, and "~12345678" follows
)
MAX_PATH_BYTES = 1000  # of a path below the root; Linux allows 4096 together with the root
BESIDE = "DicomData"  # the folder that gets the folders RawData and Analysis as neighbours
UNASSIGNED = "unassigned"

_FIELD = re.compile(r"<([^<>]*)>")
_SUBJECT_FIELDS = frozenset({"base", "number", "lo", "hi"})


class Level(IntEnum):
    """What the value of a field is the same for; a template's folders go from wide to narrow."""

    LITERAL = 0
    SUBJECT = 1
    STUDY = 2
    SERIES = 3
    INSTANCE = 4


# What Orthanc's index holds by default (its MainDicomTags), as far as it can name a folder: it is
# one value per study and series, so that headers that differ do not tear a study apart.
_KEYWORDS: dict[Level, str] = {
    Level.SUBJECT: "base number lo hi PatientID PatientName PatientBirthDate PatientSex",
    Level.STUDY: "StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber"
    " RequestedProcedureDescription InstitutionName Modality",
    Level.SERIES: "SeriesInstanceUID SeriesDate SeriesTime SeriesNumber SeriesDescription"
    " SeriesModality Manufacturer StationName BodyPartExamined SequenceName ProtocolName"
    " ContrastBolusAgent PerformedProcedureStepDescription",
    Level.INSTANCE: "SOPInstanceUID InstanceNumber AcquisitionNumber ImageIndex"
    " InstanceCreationDate InstanceCreationTime TemporalPositionIdentifier NumberOfFrames",
}
LEVELS = {keyword: level for level, words in _KEYWORDS.items() for keyword in words.split()}
_NUMBERS = (
    "number lo hi SeriesNumber InstanceNumber AcquisitionNumber ImageIndex"
    " TemporalPositionIdentifier NumberOfFrames"
)
NUMBERS = frozenset(_NUMBERS.split())

# Series of these hold no images of their own and do not decide what a study is.
_WITHOUT_IMAGES = "ANN ASMT AU DOC FID KO PLAN PR REG RTPLAN RTRECORD RTSTRUCT RWV SEG SR"
_NOT_IMAGES = frozenset(_WITHOUT_IMAGES.split())


class TemplateError(ValueError):
    """A template that cannot be used; `problems` holds one sentence for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def marked(component: str, text: str) -> str:
    """A component made distinct by eight digits of the hash of `text`."""
    return f"{component}~{_digest(text)}"


def safe_text(text: str) -> str:
    """Make a value harmless inside a component: one line of plain characters, no separators.

    Control and formatting characters (bidirectional overrides hide what a name is), separators,
    and what Windows clients of a share refuse become ``_``; runs of white space one space.
    """
    made = "".join(
        "_"
        if char in '/\\<>:"|?*' or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else char
        for char in unicodedata.normalize("NFC", text)
    )
    return " ".join(made.split())


def safe_component(text: str, substitute: str, limit: int = MAX_COMPONENT_BYTES) -> str:
    """Make a whole component safe: not hidden, no dots or spaces at its ends, not too long.

    What is cut off for its length leaves a hash, so that two long names stay two.
    """
    made = safe_text(text).strip(" .") or substitute
    if made[0] in "-~" or re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", made):
        made = "_" + made
    if len(made.encode()) <= limit:
        return made
    stem, dot, ending = made.rpartition(".")
    if not dot or not re.fullmatch("[A-Za-z0-9]{1,8}", ending):
        stem, ending = made, ""
    tail = f"~{_digest(text)}{'.' if ending else ''}{ending}"
    kept = stem.encode()[: limit - len(tail)].decode("utf-8", "ignore")
    return kept.rstrip(" .") + tail


@dataclass(frozen=True, slots=True)
class Field:
    """``<Keyword>`` or ``<Keyword:width>`` of a template."""

    keyword: str
    width: int = 0

    @property
    def level(self) -> Level:
        """What the value is the same for."""
        return LEVELS[self.keyword]

    def text(self, tags: Mapping[str, str]) -> str:
        """The value as it stands in a component; a missing one gives its substitute."""
        value = tags.get(self.keyword, "").strip(" \0")
        if self.keyword in NUMBERS:
            return _number(value, self.width)
        if self.keyword.endswith("Date"):
            digits = value.replace(".", "")
            return digits if re.fullmatch("[0-9]{8}", digits) else safe_text(value) or "00000000"
        if self.keyword.endswith("Time"):
            return _time(value)
        if self.keyword.endswith("UID"):
            return value if re.fullmatch("[0-9.]{1,64}", value) else marked(safe_text(value), value)
        if self.keyword in {"Modality", "SeriesModality"}:
            return safe_text(value) or "OT"
        return safe_text(value)


def _number(value: str, width: int) -> str:
    value = value or "0"
    return (
        f"{int(value):0{width}d}" if re.fullmatch("[+-]?[0-9]{1,12}", value) else safe_text(value)
    )


def _time(value: str) -> str:
    """HHMMSS of a TM value, also of HH, HHMM and the old HH:MM:SS (PS3.5 section 6.2)."""
    whole = value.partition(".")[0].replace(":", "")
    if re.fullmatch("([0-9]{2}){0,3}", whole):
        return whole.ljust(6, "0")
    return safe_text(value)


@dataclass(frozen=True, slots=True)
class Component:
    """One folder's or the file's name, as literal texts and fields in turn."""

    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields alone."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def level(self) -> Level:
        """The narrowest level of the fields."""
        return max((field.level for field in self.fields), default=Level.LITERAL)

    @property
    def names_subject(self) -> bool:
        """Whether the component needs the pseudonym's parts."""
        return any(field.keyword in _SUBJECT_FIELDS for field in self.fields)

    def name(self, tags: Mapping[str, str], limit: int) -> str:
        """The safe name for these values."""
        text = "".join(p if isinstance(p, str) else p.text(tags) for p in self.parts)
        substitute = f"no-{self.fields[0].keyword}" if self.fields else "_"
        return safe_component(text, substitute, limit)


@dataclass(frozen=True, slots=True)
class TreePath:
    """The path of an instance below the root.

    Attributes:
        parts: The folders and, last, the file.
        study_depth: How many of the first parts are the study's folder; 0 if it has none.
        series_depth: The same for the series' folder.
        beside_depth: How many parts stand before `BESIDE`; None where the template lacks it.
    """

    parts: tuple[str, ...]
    study_depth: int
    series_depth: int
    beside_depth: int | None

    def __str__(self) -> str:
        """The path as people write it."""
        return "/".join(self.parts)


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template, made by `parse_template`."""

    text: str
    pseudonym: re.Pattern[str]
    components: tuple[Component, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when the same metadata may give another path."""
        return _digest(f"{self.text}\n{self.pseudonym.pattern}")

    def path(self, tags: Mapping[str, str]) -> TreePath:
        """Name the file of an instance.

        Args:
            tags: Values by keyword of the instance, its series, study and patient together, with
                `Modality` of the study as a whole and `SeriesModality` of the series.
        """
        limit = min(MAX_COMPONENT_BYTES, MAX_PATH_BYTES // (len(self.components) + 2) - 10)
        subject = self._subject(tags.get("PatientName", ""))
        if subject:
            named = [(c, c.name({**tags, **subject}, limit)) for c in self.components]
        else:
            unassigned = dict.fromkeys(("base", "number", "lo", "hi"), UNASSIGNED)
            ours, others = Component(()), [c for c in self.components if not _only_subject(c)]
            patient = safe_component(tags.get("PatientID", ""), "no-PatientID", limit)
            named = [(ours, UNASSIGNED), (ours, patient)]
            named += [(c, c.name({**tags, **unassigned}, limit)) for c in others]
        folders = [component for component, _ in named[:-1]]
        parts = tuple(name for _, name in named)
        beside = [i for i, c in enumerate(folders) if c.parts == (BESIDE,)]
        return TreePath(
            parts,
            _depth(folders, Level.STUDY),
            _depth(folders, Level.SERIES),
            beside[0] if beside else None,
        )

    def _subject(self, patient_name: str) -> dict[str, str] | None:
        match = self.pseudonym.match(patient_name)
        if match is None or not match["base"] or not re.fullmatch("[0-9]{1,12}", match["number"]):
            return None
        number = int(match["number"])
        if number < 1:
            return None
        lo = (number - 1) // BLOCK * BLOCK + 1
        last = lo + BLOCK - 1
        return {"base": match["base"], "number": str(number), "lo": str(lo), "hi": str(last)}


def _only_subject(component: Component) -> bool:
    return component.names_subject and component.level == Level.SUBJECT


def _depth(folders: list[Component], level: Level) -> int:
    return max((i + 1 for i, c in enumerate(folders) if c.level == level), default=0)


def dominant_modality(series: Iterable[tuple[str, int]]) -> str:
    """The modality of a study: of its images, the one with most instances, then by the alphabet.

    Args:
        series: Modality and number of instances of each series.
    """
    counts: Counter[str] = Counter()
    for modality, instances in series:
        counts[modality] += instances
    ranked = sorted(counts, key=lambda m: (not m, m in _NOT_IMAGES, -counts[m], m))
    return ranked[0] if ranked else ""


def parse_template(text: str, pseudonym: str) -> Template:
    """Read a template and the regular expression of the pseudonym.

    Raises:
        TemplateError: With all that is wrong.
    """
    problems: list[str] = []
    components = []
    for number, raw in enumerate(text.split("/"), 1):
        component, wrong = _parse_component(raw)
        components.append(component)
        problems += [f"component {number} '{raw}': {reason}" for reason in wrong]
    problems += _check_whole(components)
    pattern, wrong = _parse_pseudonym(pseudonym)
    problems += wrong
    if problems or pattern is None:
        raise TemplateError(problems)
    return Template(text, pattern, tuple(components))


def _check_whole(components: list[Component]) -> list[str]:
    problems = []
    if not 2 <= len(components) <= MAX_COMPONENTS:
        problems.append(
            f"the template has {len(components)} components; "
            f"write 2 to {MAX_COMPONENTS}, separated by '/', the last for the file"
        )
    if not any(field.keyword == "SOPInstanceUID" for field in components[-1].fields):
        problems.append(
            "the file's name lacks <SOPInstanceUID>: two instances would get one file; "
            "put it into the last component"
        )
    if sum(component.parts == (BESIDE,) for component in components[:-1]) > 1:
        problems.append(f"'{BESIDE}' stands twice; keep one, RawData and Analysis go beside it")
    for wide, narrow in pairwise([c for c in components if c.fields]):
        if wide.level > narrow.level:
            problems.append(
                f"<{max(wide.fields, key=lambda f: f.level).keyword}> stands in a folder above "
                f"<{narrow.fields[0].keyword}>: put the subject first, then study, series, instance"
            )
    return problems


def _parse_component(raw: str) -> tuple[Component, list[str]]:
    parts: list[str | Field] = []
    problems = [] if raw else ["it is empty; remove the '/' at the start, the end, or twice"]
    for index, piece in enumerate(_FIELD.split(raw)):
        if index % 2:
            field, problem = _parse_field(piece)
            parts.append(field or piece)
            problems += [problem] if problem else []
        elif piece:
            parts.append(piece)
            if "<" in piece or ">" in piece:
                problems.append("a field is not written as <Keyword> or <Keyword:width>")
            elif any(safe_text(char) not in {char, ""} for char in piece):
                problems.append("it has a character that no file name may hold; remove it")
    if raw and raw[0] in ". -~":
        problems.append(f"it must not start with '{raw[0]}'")
    if raw and raw[-1] in ". ":
        problems.append(f"it must not end with '{raw[-1]}'")
    if raw == UNASSIGNED:
        problems.append("this name is kept for studies without a pseudonym; choose another")
    return Component(tuple(parts)), problems


def _parse_field(text: str) -> tuple[Field | None, str | None]:
    keyword, colon, width = text.partition(":")
    if keyword not in LEVELS:
        nearest = {known.casefold(): known for known in LEVELS}
        near = difflib.get_close_matches(keyword.casefold(), nearest, n=1, cutoff=0.5)
        hint = f"did you mean <{nearest[near[0]]}>?" if near else f"known are {', '.join(LEVELS)}"
        return None, f"<{text}> names no attribute of Orthanc's index; {hint}"
    if not colon:
        return Field(keyword), None
    if keyword not in NUMBERS:
        return None, f"<{text}> has a width, but only numbers are padded; write <{keyword}>"
    if not re.fullmatch("[1-9]|1[0-2]", width):
        return None, f"<{text}> has a width that is not a number from 1 to 12, as in <{keyword}:6>"
    return Field(keyword, int(width)), None


def _parse_pseudonym(pattern: str) -> tuple[re.Pattern[str] | None, list[str]]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return None, [f"the pseudonym '{pattern}' is not a regular expression: {error}"]
    return compiled, [
        f"the pseudonym '{pattern}' lacks the group (?P<{group}>...)"
        for group in ("base", "number")
        if group not in compiled.groupindex
    ]


DEFAULT_TEMPLATE = (
    "<lo>_<hi>/<number>/<base>/<StudyDate><StudyTime><Modality>/DicomData/"
    "s<SeriesNumber:6> <SeriesDescription>/i<InstanceNumber:6>_<SOPInstanceUID>.dcm"
)
DEFAULT_PSEUDONYM = r"^(?P<base>[^^=]+)\^ID(?P<number>[0-9]+)(?:[A-Za-z_]\w*)?\^*$"


def main(arguments: list[str] | None = None) -> int:
    """Check a template from the command line: one line for each problem, and 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check-template", metavar="TEMPLATE", default=DEFAULT_TEMPLATE)
    parser.add_argument("--check-pseudonym", metavar="PATTERN", default=DEFAULT_PSEUDONYM)
    options = parser.parse_args(arguments)
    try:
        parse_template(options.check_template, options.check_pseudonym)
    except TemplateError as error:
        print(*error.problems, sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
