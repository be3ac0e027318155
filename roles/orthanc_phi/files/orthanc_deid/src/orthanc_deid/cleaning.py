# SPDX-License-Identifier: GPL-3.0-or-later
"""Text cleaning of raw values, with what the study tells about its people (PS3.15 E.3.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pydicom.charset import encode_string

from orthanc_deid.elements import Element
from orthanc_deid.plan import CHARSET
from orthanc_deid.text import TextCleaner
from orthanc_deid.text_encoding import DEFAULT, TEXT_VRS, decode, encodings_of
from orthanc_deid.text_known import TELLING_TAGS, Known

Telling = tuple[int, str, str]


def known_in(data: bytes, elements: Iterable[Element], charset: bytes = DEFAULT) -> Known:
    """Return what noted elements tell about people, numbers and places, at every depth."""
    return _collect(frozenset(_telling(data, elements, charset)))


@lru_cache(maxsize=256)
def _collect(telling: frozenset[Telling]) -> Known:
    return Known.collect(telling)


def _telling(data: bytes, elements: Iterable[Element], charset: bytes) -> Iterator[Telling]:
    for element in elements:
        tag, vr = element.entry.tag, element.entry.vr
        if element.items is not None:
            for item in element.items:
                yield from _telling(data, item.elements, charset)
        elif tag == CHARSET:
            charset = data[element.value : element.stop]
        elif vr in ("PN", "DA") or (tag in TELLING_TAGS and vr in TEXT_VRS):
            value = data[element.value : element.stop]
            yield tag, vr, decode(value, charset, is_name=vr == "PN")


@lru_cache(maxsize=256)
def union(known: frozenset[Known]) -> Known:
    """Put together what the instances of a study tell."""
    return Known(
        persons=frozenset().union(*(one.persons for one in known)),
        numbers=frozenset().union(*(one.numbers for one in known)),
        places=frozenset().union(*(one.places for one in known)),
        birth_dates=frozenset().union(*(one.birth_dates for one in known)),
        dates=frozenset().union(*(one.dates for one in known)),
    )


@lru_cache(maxsize=32)
def cleaner(known: Known, date_offset: int | None, *, codes: bool) -> TextCleaner:
    """Return the rules for a study, which take a while to make ready."""
    return TextCleaner(known, date_offset, codes=codes)


@lru_cache(maxsize=16384)
def clean_value(
    rules: TextCleaner, vr: str, value: bytes, charset: bytes
) -> tuple[bytes, tuple[str, ...]]:
    """Clean the bytes of a text value.

    Returns:
        the new bytes, and the kinds of what was taken out of them; the same bytes if nothing was.
    """
    text = decode(value, charset).strip(" \0")
    cleaned = rules.clean(text, vr)
    if cleaned.text == text:
        return value, ()
    kinds = tuple(sorted({finding.kind for finding in cleaned.findings}))
    return encode_string(cleaned.text, encodings_of(charset)), kinds


@lru_cache(maxsize=1024)
def cap_age(value: bytes) -> bytes | None:
    """Return an age of at most 90 years (45 CFR 164.514: ages over 89), or None if it is no age.

    Args:
        value: a value of VR AS, such as `061Y`.
    """
    ages = []
    for part in value.decode("latin-1").split("\\"):
        age = part.strip(" \0")
        if age and not (len(age) == 4 and age[:3].isdigit() and age[3] in "DWMY"):
            return None
        over = age and int(age[:3]) * {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}[age[3]] >= 32873
        ages.append("090Y" if over else age)
    return "\\".join(ages).encode()
