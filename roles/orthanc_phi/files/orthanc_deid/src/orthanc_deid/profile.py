# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile: which rule holds for an attribute, by Table E.1-1, its options and the site."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from orthanc_deid.actions import Action, Rule
from orthanc_deid.dictionary import dictionary_vr, keywords, profile_table, tag_of
from orthanc_deid.errors import ProfileError
from orthanc_deid.uids import NAMES_A_CLASS

# The options of PS3.15 Annex E as switches of a profile, and their columns in Table E.1-1.
OPTIONS: Final = {"retain_modified_dates": "rtnLongModifDates"}
BUILT_IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "basic": {"name": "basic", "options": ["retain_modified_dates"]},
}
_KEYS: Final = {"name", "options", "tag_actions"}
_DATE_VRS: Final = frozenset({"DA", "DT", "TM"})
_BASIC_CODE: Final = "113100"

_PRIVATE: Final = Rule("X", "private attribute")
_GROUP_LENGTH: Final = Rule("X", "group length")
_NOT_A_DATASET: Final = Rule("X", "attribute of another kind of data set")
_UNKNOWN: Final = Rule("X", "unknown attribute")
_OTHER_VR: Final = Rule("X", "sequence that is not encoded as one")
_OVERLAY_FRAME: Final = Rule("X", "overlay plane whose data go")
_UID_BY_VR: Final = Rule("U", "every UID")
_WRITTEN_VRS: Final = frozenset(["AE", "AS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"])
# Whose items are codes and nothing else, so that a dummy of them is a code.
CODE_SEQUENCES: Final = frozenset({0x00080082, 0x00401101})
_SCRUBBED: Final = Rule(Action.REPLACE, "inside a sequence that is replaced")
_NAME_BY_VR: Final = Rule("X/Z/D", "every person's name")


@cache
def _fixed_rows() -> dict[int, list[Any]]:
    rows = profile_table()["rows"]
    return {int(tag, 16): row for tag, row in rows.items() if tag.isalnum() and _is_hex(tag)}


def _is_hex(text: str) -> bool:
    return all(character in "0123456789ABCDEF" for character in text)


def table_row(tag: int) -> list[Any] | None:
    """Return the row of Table E.1-1 that an attribute falls under."""
    row = _fixed_rows().get(tag)
    if row is not None:
        return row
    rows = profile_table()["rows"]
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    if group[0] in "56" and group[1] == "0" and not tag >> 16 & 1:
        repeating = rows.get(f"{group[:2]}xx{element}") or rows.get(f"{group[:2]}xxxxxx")
        return list(repeating) if repeating else None
    return None


@dataclass(frozen=True)
class Profile:
    """What is done to each attribute.

    Attributes:
        name: the profile's name, which goes into the output.
        options: switches of PS3.15 Annex E, see `OPTIONS`.
        tag_actions: what the site decided for single attributes, which comes before all else.
    """

    name: str
    options: frozenset[str] = frozenset()
    tag_actions: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the profile decides, to tell one from another."""
        content = [
            self.name,
            sorted(self.options),
            sorted(self.tag_actions.items()),
            profile_table()["edition"],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning (CID 7050) of the profile and the options that it carries out."""
        columns = {OPTIONS[option] for option in self.options}
        return tuple(
            (code, meaning)
            for code, (meaning, column) in profile_table()["method_codes"].items()
            if code == _BASIC_CODE or column in columns
        )

    @property
    def shifts_dates(self) -> bool:
        """Whether dates are moved, and not taken away."""
        return "retain_modified_dates" in self.options

    def rule(self, tag: int, vr: str) -> Rule | None:
        """Return the rule for an attribute, or None if it stays as it is.

        Args:
            tag: its tag.
            vr: its VR as written; the dictionary's one in implicit VR, UN if unknown.
        """
        if tag in self.tag_actions:
            return Rule(self.tag_actions[tag], "the site's tag_actions")
        structural = _structural_rule(tag, vr)
        if structural is not None:
            return structural
        row = table_row(tag)
        if row is None and tag >> 24 == 0x60 and self.rule(tag & ~0xFFFF | 0x3000, "OW"):
            return _OVERLAY_FRAME
        rule = self._row_rule(row, vr) if row is not None else None
        return rule or self._rule_by_vr(tag, vr)

    @property
    def temporal_information(self) -> str:
        """What (0028,0303) says about the dates."""
        return "MODIFIED" if self.shifts_dates else "REMOVED"

    def scrub_rule(self, tag: int, vr: str) -> Rule | None:
        """Return the rule inside a sequence that Table E.1-1 wants replaced by a dummy.

        Such a sequence keeps its shape, so that it stays valid, and loses everything that was
        written by people: text, names, dates and local codes.
        """
        structural = _structural_rule(tag, vr)
        if structural is not None:
            return structural
        row = table_row(tag)
        if row is not None and (row[3] == "X" or tag in CODE_SEQUENCES):
            return self._row_rule(row, vr)
        if vr in _WRITTEN_VRS:
            return _SCRUBBED
        return self._rule_by_vr(tag, vr)

    def _row_rule(self, row: list[Any], vr: str) -> Rule | None:
        for option in sorted(self.options):
            code = row[4].get(OPTIONS[option])
            rule = self._option_rule(option, code, vr) if code else None
            if rule is not None:
                return rule
        return Rule(row[3], "PS3.15 Table E.1-1, Basic Profile")

    def _option_rule(self, option: str, code: str, vr: str) -> Rule | None:
        source = f"PS3.15 Table E.1-1, {option}"
        if code == "C" and option == "retain_modified_dates":
            # Time stamps in binary (OB) cannot be moved and fall back to the Basic Profile.
            return Rule(Action.SHIFT, source) if vr in _DATE_VRS | {"SH"} else None
        return Rule(code, source)

    def _rule_by_vr(self, tag: int, vr: str) -> Rule | None:
        if vr == "UI":
            return None if tag in NAMES_A_CLASS else _UID_BY_VR
        if vr == "PN":
            return _NAME_BY_VR
        if vr in _DATE_VRS:
            return Rule(Action.SHIFT if self.shifts_dates else "X/Z/D", "every date and time")
        return None


def _structural_rule(tag: int, vr: str) -> Rule | None:
    """Return the rule for what has no place in a de-identified data set whatever it says."""
    if tag & 0xFFFF == 0:
        return _GROUP_LENGTH
    if tag >> 16 & 1:
        return _PRIVATE
    if tag >> 16 < 0x0008:
        return _NOT_A_DATASET
    known = dictionary_vr(tag)
    if known is None and table_row(tag) is None:
        return _UNKNOWN
    if known == "SQ" and vr not in ("SQ", "UN"):
        return _OTHER_VR
    return None


def load_profile(
    source: str | Path | Mapping[str, Any], tag_actions: Mapping[str, str] | None = None
) -> Profile:
    """Make a profile from its name, its TOML file or its content.

    Args:
        source: the name of a built-in profile, the path of a TOML file, or a mapping with the
            file's keys `name`, `options` and `tag_actions`.
        tag_actions: the site's decisions, keyword or `gggg,eeee` to action; they come before
            those of the file.

    Raises:
        ProfileError: with every problem that it has.
    """
    content = _content(source)
    problems = [
        f"{key!r} is no setting of a profile{_nearest(key, _KEYS)}"
        for key in content
        if key not in _KEYS
    ]
    name = str(content.get("name", "site"))
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= 32 and "\\" not in name):
        problems.append("name must be 1 to 32 printable ASCII characters without backslash")
    options = content.get("options", [])
    problems += [
        f"options: {option!r} is not known{_nearest(str(option), OPTIONS)}"
        for option in options
        if option not in OPTIONS
    ]
    actions: dict[int, str] = {}
    for given in (content.get("tag_actions", {}), tag_actions or {}):
        actions.update(_tag_actions(given, problems))
    if problems:
        raise ProfileError(problems)
    return Profile(name, frozenset(options), actions)


def _content(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str) and source in BUILT_IN:
        return BUILT_IN[source]
    path = Path(source)
    try:
        return parse_profile(path.read_text())
    except OSError as error:
        known = ", ".join(BUILT_IN)
        problem = (
            f"profile {str(source)!r} is neither built in ({known}) nor a file: {error.strerror}"
        )
        raise ProfileError([problem]) from error


def parse_profile(text: str) -> Mapping[str, Any]:
    """Read a profile written in TOML or JSON.

    Raises:
        ProfileError: it is neither.
    """
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise ProfileError([f"the profile is neither TOML nor JSON: {error}"]) from error
    return dict(content)


def _tag_actions(given: object, problems: list[str]) -> dict[int, str]:
    if not isinstance(given, Mapping):
        problems.append("tag_actions must map attributes to actions")
        return {}
    actions = {}
    for name, action in given.items():
        tag = tag_of(str(name))
        if tag is None:
            problems.append(
                f"tag_actions: {name!r} is no keyword of DICOM and no tag written gggg,eeee"
                f"{_nearest(str(name), keywords())}"
            )
        if action not in set(Action):
            problems.append(
                f"tag_actions: {name}: {action!r} is no action{_nearest(str(action), Action)}; "
                f"there are {', '.join(Action)}"
            )
        if tag is not None and action in set(Action):
            problem = _refusal(tag, str(action))
            if problem:
                problems.append(f"tag_actions: {name}: {problem}")
            actions[tag] = str(action)
    return actions


def _refusal(tag: int, action: str) -> str | None:
    """Say why an action cannot be had for an attribute, which exists."""
    vr = dictionary_vr(tag)
    if tag >> 16 & 1:
        return "private attributes cannot be named one by one; take the line out"
    if tag in OWN_ATTRIBUTES:
        return "this attribute is always written by the engine; take the line out"
    if action == Action.SHIFT and vr not in _DATE_VRS:
        return f"only dates and times can be shifted, and its VR is {vr}"
    if action == Action.REMAP and vr != "UI":
        return f"only UIDs can be remapped, and its VR is {vr}"
    return None


# What the engine itself writes at the top level, from the subject and the profile.
OWN_ATTRIBUTES: Final = frozenset(
    {
        0x00080018,  # SOP Instance UID
        0x0020000D,  # Study Instance UID
        0x0020000E,  # Series Instance UID
        0x00080050,  # Accession Number
        0x00100010,  # Patient's Name
        0x00100020,  # Patient ID
        0x00120062,  # Patient Identity Removed
        0x00120063,  # De-identification Method
        0x00120064,  # De-identification Method Code Sequence
        0x00200010,  # Study ID
        0x00280303,  # Longitudinal Temporal Information Modified
    }
)


def _nearest(word: str, known: Any) -> str:
    matches = difflib.get_close_matches(word.lower(), [str(k).lower() for k in known], 1, 0.6)
    if not matches:
        return ""
    return f"; the nearest is {next(str(k) for k in known if str(k).lower() == matches[0])}"
