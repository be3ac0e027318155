# SPDX-License-Identifier: GPL-3.0-or-later
"""The identifiers that a study itself tells: names, numbers and places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import permutations

from orthanc_deid.text_tokens import fold, is_unspaced, tokens_of

# Attributes whose value is a number of a person, a visit, an order or a machine (PS3.6).
_NUMBER_TAGS = frozenset(
    (
        *(0x00080050, 0x00080094, 0x00081010, 0x00100020, 0x00101000, 0x00101090, 0x00102154),
        *(0x00102155, 0x00120040, 0x00120042, 0x00181000, 0x00181002, 0x0018700A, 0x00200010),
        *(0x00380010, 0x00380060, 0x00400009, 0x00400253, 0x00401001, 0x00402010, 0x00402016),
        *(0x00402017, 0x00401103, 0x00401104, 0x00101050),
    )
)
# Attributes whose value is a place: institution, department, address, region.
_PLACE_TAGS = frozenset(
    (
        *(0x00080080, 0x00080081, 0x00080092, 0x00081040, 0x00101040, 0x00101081, 0x00102150),
        *(0x00102152, 0x00321033, 0x00380300, 0x00380400, 0x00400011, 0x00400243, 0x00401102),
    )
)
# Attributes that hold a person's name in another VR than PN.
_PERSON_TAGS = frozenset((0x00402008, 0x00402009, 0x00081070, 0x00081050, 0x00081060))
_BIRTH_DATE = 0x00100030
# All attributes that count whatever their VR.
TELLING_TAGS = _NUMBER_TAGS | _PLACE_TAGS | _PERSON_TAGS | {_BIRTH_DATE}

# Parts of names that are no name alone: titles, degrees, particles, generations.
_PARTICLES = """
dr md mr mrs ms miss prof phd rn rt do pa np jr sr ii iii iv van von vom zu de der den des du di da
dos das del della la le el al bin ibn bint ben abu st san ter und and y e
"""
PARTICLES = frozenset(_PARTICLES.split())


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers of one study, as they stand in it; `dates` only tell day from month."""

    persons: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    birth_dates: frozenset[date] = frozenset()
    dates: frozenset[date] = frozenset()

    @classmethod
    def collect(cls, elements: Iterable[tuple[int, str, str]]) -> Known:
        """Sort (tag, VR, value) of a study's elements, at every depth, into what they identify.

        Every PN is a person and every DA a date; other VRs count where their attribute is one
        of a number, a place or a person. Values with several parts may come joined by backslash.
        """
        found: dict[str, set[str]] = {"person": set(), "number": set(), "place": set()}
        births: set[date] = set()
        dates: set[date] = set()
        for tag, vr, value in elements:
            for raw in value.split("\\"):
                part = raw.strip(" \0")
                if vr == "DA":
                    (births if tag == _BIRTH_DATE else dates).update(_dicom_date(part))
                elif vr == "PN" or tag in _PERSON_TAGS:
                    found["person"].add(part)
                if tag in _NUMBER_TAGS:
                    found["number"].add(part)
                if tag in _PLACE_TAGS:
                    found["place"].add(part)
        return cls(
            persons=frozenset(found["person"] - {""}),
            numbers=frozenset(found["number"] - {""}),
            places=frozenset(found["place"] - {""}),
            birth_dates=frozenset(births),
            dates=frozenset(dates),
        )


def _dicom_date(value: str) -> list[date]:
    try:
        return [date(int(value[:4]), int(value[4:6]), int(value[6:8]))]
    except ValueError:
        return []


@dataclass(slots=True)
class NameIndex:
    """Known persons by the normal forms of their names' parts."""

    persons_of: dict[str, frozenset[int]] = field(default_factory=dict)
    initials_of: dict[str, frozenset[int]] = field(default_factory=dict)
    joined: frozenset[str] = frozenset()
    unspaced: tuple[str, ...] = ()

    @classmethod
    def of(cls, persons: Iterable[str]) -> NameIndex:
        """Index names in PN's form or any other: all component groups, in any order."""
        index = cls()
        joined: set[str] = set()
        unspaced: set[str] = set()
        for number, name in enumerate(sorted(persons)):
            for group in name.split("="):
                parts = name_parts(group)
                for part in parts:
                    target = index.initials_of if is_initial(part) else index.persons_of
                    target[part] = target.get(part, frozenset()) | {number}
                    first = part[0]
                    index.initials_of[first] = index.initials_of.get(first, frozenset()) | {number}
                parts = parts[:5]
                joined.update(a + b for a, b in permutations(parts, 2) if len(a + b) > 3)
                joined.update("".join(three) for three in permutations(parts, 3))
                unspaced.update(p for p in (*parts, *joined) if is_unspaced(p) and len(p) > 1)
        index.joined = frozenset(joined) - index.persons_of.keys()
        index.unspaced = tuple(sorted(unspaced, key=len, reverse=True))
        return index


def is_initial(norm: str) -> bool:
    """Tell an initial from a name of one Han character."""
    return len(norm) == 1 and not is_unspaced(norm)


def name_parts(group: str) -> list[str]:
    """Return the normal forms of a name's family, given and middle parts, umlauts both ways."""
    parts: list[str] = []
    for component in group.split("^")[:3]:
        words = [token for token in tokens_of(component) if token.is_word]
        # A particle counts where it is the whole component: the given name "Do".
        telling = [t for t in words if t.norm not in PARTICLES or len(t.norm) == 1] or words
        for token in telling:
            parts.append(token.norm)
            written = component[token.start : token.end].casefold()
            spelled_out = re.sub(
                "[äöü]", lambda m: {"ä": "ae", "ö": "oe", "ü": "ue"}[m[0]], written
            )
            if spelled_out != written:
                parts.append(fold(spelled_out))
    return parts


def number_forms(numbers: Iterable[str]) -> frozenset[str]:
    """Return the letters and digits of each number, also without leading zeros.

    Numbers under four characters are left out: as plain text "12" says nothing of a person, and
    cutting every 12 would destroy each descriptor. Behind a label ("ID 12") they go by pattern.
    """
    forms = {"".join(t.norm for t in tokens_of(number)) for number in numbers}
    forms |= {bare for form in forms if len(bare := form.lstrip("0")) >= 5}
    return frozenset(form for form in forms if len(form) >= 4)
