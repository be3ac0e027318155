# SPDX-License-Identifier: GPL-3.0-or-later
"""What Table E.1-1, its options and the attribute Types ask for, read from the tables alone.

This does not use the engine's rules: what judges must not share its mistakes. Where an action
code leaves a choice, each choice that keeps the IOD valid is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

Path = tuple[int, ...]  # the tags from the top level down to an attribute

BASIC: Final[frozenset[str]] = frozenset()
MODIFIED_DATES: Final = frozenset({"rtnLongModifDates"})
RESEARCH: Final = frozenset(
    {
        "rtnLongModifDates",
        "rtnPatChars",
        "rtnSafePriv",
        "cleanDesc",
        "cleanStructCont",
        "cleanGraph",
    }
)
FULL_DATES: Final = RESEARCH - MODIFIED_DATES | {"rtnLongFullDates"}

DATE_VRS: Final = frozenset({"DA", "DT", "TM"})
TEXT_VRS: Final = frozenset({"SH", "LO", "ST", "LT", "UT", "UC"})
# What a de-identifier says about its own work, and what every file has.
OWN: Final = frozenset({0x00080005, 0x00120062, 0x00120063, 0x00120064, 0x00280303})


class Outcome(StrEnum):
    """What can become of an attribute."""

    GONE = "gone"
    EMPTY = "empty"
    OTHER = "another value"
    SAME = "the same value"
    MOVED = "moved by whole days"
    CLEANED = "cleaned"
    INSIDE = "treated item by item"


_X, _Z, _D = Outcome.GONE, Outcome.EMPTY, Outcome.OTHER
_CHOICES: Final = {
    "X": {_X}, "Z": {_Z, _D}, "D": {_D}, "U": {_D},
    "X/Z": {_X, _Z, _D}, "X/D": {_X, _Z, _D}, "X/Z/D": {_X, _Z, _D}, "Z/D": {_Z, _D},
    # What refers to nothing may stay; a UID that stays is a leak.
    "X/Z/U*": {_X, _Z, _D, Outcome.SAME},
}  # fmt: skip
# What an attribute of this Type may become; one that stands in no IOD may go.
_VALID: Final = {
    "1": {_D}, "1C": {_X, _D}, "2": {_Z, _D}, "2C": {_X, _Z, _D}, "3": {_X, _Z, _D},
    None: {_X, _Z, _D},
}  # fmt: skip

_DEMANDED: Final = {"1": {_D}, "2": {_Z}}
# Responsible Person and Organization, which the IODs demand where the patient is an animal.
_RESPONSIBLE: Final = frozenset({0x00102297, 0x00102299})
# Ethics Committee Name (0012,0081), coded D, is allowed by PS3.3 only beside (0012,0082), coded X.
_ONLY_BESIDE: Final = frozenset({0x00120081})


@dataclass
class Types:
    """The Types of the attributes of a data set or item, and the Types in its sequences."""

    types: dict[int, str] = field(default_factory=dict)
    items: dict[int, Types] = field(default_factory=dict)

    def add(self, module: Mapping[str, Any]) -> None:
        """Add what a module says; where two modules differ, the stricter one holds."""
        for tag, (kind, inner) in module.items():
            number = int(tag, 16)
            if kind is not None:
                self.types[number] = min(kind, self.types.get(number, "3"))
            if inner:
                self.items.setdefault(number, Types()).add(inner)


def load_table(name: str) -> dict[str, Any]:
    """Read one of the tables that the engine ships."""
    return dict(json.loads((files("orthanc_deid") / "tables" / name).read_text()))


@cache
def rows() -> dict[str, list[Any]]:
    """Return Table E.1-1: tag to name, keyword, VR, action code and the options' codes."""
    return dict(load_table("confidentiality_profile.json")["rows"])


def row(tag: int) -> list[Any] | None:
    """Return the row of Table E.1-1 of an attribute, of a curve or overlay by its group."""
    if tag >> 24 == 0x50:
        return rows()["50xxxxxx"]
    if tag >> 24 == 0x60:
        return rows().get(f"60xx{tag & 0xFFFF:04X}")
    return rows().get(f"{tag:08X}")


@cache
def sop_classes() -> dict[str, str]:
    """Return the SOP Classes whose Types are known, and their IODs."""
    return dict(load_table("attribute_types.json")["sop_classes"])


@cache
def types_of(sop_class: str) -> Types | None:
    """Return the Types in the IOD of a SOP Class, or None if they are not known."""
    table = load_table("attribute_types.json")
    iod = table["sop_classes"].get(sop_class)
    if iod is None:
        return None
    types = Types()
    for module in table["iods"][iod]:
        types.add(table["modules"][module])
    return types


@cache
def safe_private() -> dict[tuple[int, str], dict[str, str]]:
    """Return Table E.3.10-1: group and creator to the low bytes of elements and their VRs."""
    creators = load_table("safe_private.json")["creators"]
    return {(int(key[:4], 16), key[5:]): elements for key, elements in creators.items()}


def expected(
    tag: int, vr: str, kind: str | None, options: frozenset[str], *, iod_known: bool
) -> frozenset[Outcome] | None:
    """Return what an attribute may become, or None if no rule touches it.

    Args:
        tag: a public attribute.
        vr: its VR.
        kind: its Type where it stands, None if it is not there.
        options: the columns of Table E.1-1 that are claimed.
        iod_known: whether the Types of the instance are known at all.
    """
    found = row(tag)
    drawn = tag >> 24 in (0x50, 0x60)  # curves and overlays are pixels: no option cleans them
    by_option = _by_option(found[4] if found and not drawn else {}, vr, options)
    if by_option is not None:
        return by_option
    if found is None:
        return _by_vr(vr, options)
    if tag in _ONLY_BESIDE:
        return frozenset({_X, _D})
    choices = _CHOICES[found[3]]
    if found[3] == "X":
        # Without what the IOD demands the object would be invalid: nothing of it may stay.
        choices = choices | ({_Z} if tag in _RESPONSIBLE else _DEMANDED.get(kind or "", set()))
    if not iod_known:
        # Any Type may be the right one, and what stands in no IOD may go (PS3.15 E.1.1 note 13).
        return frozenset(choices | ({_X} if found[3] == "D" else set()))
    if kind is None and found[3] == "D":
        return frozenset({_X, _D})
    # Z and D of Type 2 are met by what the Type allows; Z lets a dummy stand in for empty.
    valid = choices if found[3] == "X" else choices & (_VALID[kind] | {Outcome.SAME})
    return frozenset(valid or choices)


def _by_option(
    granted: Mapping[str, str], vr: str, options: frozenset[str]
) -> frozenset[Outcome] | None:
    codes = {granted[option] for option in options & granted.keys()}
    dated = options & {"rtnLongFullDates", "rtnLongModifDates"} & granted.keys()
    if dated and vr in DATE_VRS:
        return frozenset({Outcome.MOVED})
    if dated and vr == "SH":  # an offset from UTC stays true
        return frozenset({Outcome.SAME})
    if "K" in codes:
        return frozenset({Outcome.INSIDE if vr == "SQ" else Outcome.SAME})
    if "C" in codes and vr in TEXT_VRS:
        return frozenset({Outcome.CLEANED})
    if "C" in codes and vr == "SQ":
        return frozenset({Outcome.INSIDE, _X, _Z, _D})
    return None


def _by_vr(vr: str, options: frozenset[str]) -> frozenset[Outcome] | None:
    """Return what holds for names and dates that the table does not list (E.1.1 note 4)."""
    if vr == "PN":
        return frozenset({_X, _Z, _D})
    if vr in DATE_VRS:
        dated = options & {"rtnLongFullDates", "rtnLongModifDates"}
        return frozenset({Outcome.MOVED} if dated else {_X, _Z, _D, Outcome.SAME})
    if vr == "UI":
        return frozenset({_X, _Z, _D, Outcome.SAME})
    return None
