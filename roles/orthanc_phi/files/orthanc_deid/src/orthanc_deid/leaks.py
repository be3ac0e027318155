# SPDX-License-Identifier: GPL-3.0-or-later
"""The last check: what identifies the patient must not be found in the output.

An identifier becomes a **term**: its words and numbers in normal form (lower case, no accents,
no punctuation), with one space between them. A value holds a term if its own words and numbers
hold them in that order and side by side; a term of several words, or with digits, is also found
when it is written without anything between ("DoeJohn", "1234-5678").

So that a name such as "Philips", "Head" or "MR" does not hold back every study:

- a part of a name counts by itself if it has three letters or more (two in a script without
  spaces, such as Chinese) and is not a word that DICOM itself uses (`tables/vocabulary.txt`);
- whatever its parts are, the family name beside the given name counts, in either order;
- a number or code counts from four characters on, five if it is all digits.

Searched are values that hold text (numbers too, if they hold more than a number) and short
values of bytes. Not searched are UIDs, dates, times and numbers, where the digits of an identifier
turn up by chance and which are replaced or have no room for one, and long binary values such as
pixel data for the same reason.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from orthanc_deid import text_encoding
from orthanc_deid.dictionary import keyword_of
from orthanc_deid.elements import BINARY_VRS, format_tag
from orthanc_deid.text_tokens import is_unspaced, tokens_of

MIN_NAME: Final = 3
MIN_UNSPACED_NAME: Final = 2
MIN_CODE: Final = 4
MIN_NUMBER: Final = 5
MAX_SEARCHED_BINARY: Final = 4096  # bytes
MAX_SEARCHED_PRIVATE: Final = 1 << 20  # bytes

# The attributes besides persons' names whose values identify a patient.
IDENTIFYING: Final = frozenset(
    {
        0x00080050,  # Accession Number
        0x00080092,  # Referring Physician's Address
        0x00080094,  # Referring Physician's Telephone Numbers
        0x00100020,  # Patient ID
        0x00100030,  # Patient's Birth Date
        0x00101000,  # Other Patient IDs
        0x00101040,  # Patient's Address
        0x00101050,  # Insurance Plan Identification
        0x00101090,  # Medical Record Locator
        0x00102154,  # Patient's Telephone Numbers
        0x00102155,  # Patient's Telecom Information
        0x00380010,  # Admission ID
        0x00401102,  # Person's Address
        0x00401103,  # Person's Telephone Numbers
        0x00401104,  # Person's Telecom Information
        0x00402016,  # Placer Order Number / Imaging Service Request
        0x00402017,  # Filler Order Number / Imaging Service Request
    }
)
_NUMBER_BYTES: Final = b"0123456789+-.eE\\ \0"
_RUN: Final = re.compile(rb"[\x20-\x7e\x80-\xff]{3,}")


@cache
def vocabulary() -> frozenset[str]:
    """Return the words that DICOM and its users use for other things than people."""
    lines = (files("orthanc_deid") / "tables" / "vocabulary.txt").read_text("utf-8").splitlines()
    words = (line.split() for line in lines if line and line[0] not in "#[")
    return frozenset(word for line in words for word in line)


@lru_cache(maxsize=16384)
def normal_form(text: str) -> str:
    """Return the words and numbers of a text in normal form, with one space between them."""
    return " ".join(token.norm for token in tokens_of(text) if token.norm)


@lru_cache(maxsize=4096)
def terms_of(tag: int, vr: str, value: bytes, charset: bytes) -> frozenset[str]:
    """Return the terms of an attribute's value; none if it identifies nobody."""
    if vr == "PN":
        names = text_encoding.decode(value, charset, is_name=True)
        return frozenset(
            term for name in re.split(r"[\\=]", names) for term in _terms_of_name(name.strip(" \0"))
        )
    if tag not in IDENTIFYING:
        return frozenset()
    text = text_encoding.decode(value, charset).strip(" \0")
    if vr == "DA":
        return frozenset(_terms_of_date(text))
    return terms_of_numbers(text.split("\\"))


def terms_of_numbers(values: Iterable[str]) -> frozenset[str]:
    """Return the terms of record numbers that stand in no attribute, such as former Patient IDs."""
    return frozenset(filter(_tells, map(normal_form, values)))


def _tells(term: str) -> bool:
    squeezed = term.replace(" ", "")
    if all(word in vocabulary() for word in term.split()):
        return False
    return len(squeezed) >= (MIN_NUMBER if squeezed.isdigit() else MIN_CODE)


def _terms_of_name(name: str) -> Iterable[str]:
    raw = name.split("^")[:3]  # family, given, middle; prefix and suffix tell nobody
    for component in raw:
        for part in component.split():
            yield from _terms_of_part(normal_form(part))
    family, given = ([*map(normal_form, raw), "", ""])[:2]
    if family and given:
        yield f"{family} {given}"
        yield f"{given} {family}"
    elif " " in family and not all(word in vocabulary() for word in family.split()):
        yield family


def _terms_of_part(part: str) -> Iterable[str]:
    if any(character.isdigit() for character in part):
        # A code in the place of a name, of which the letters alone tell nothing.
        return [part] if _tells(part) else []
    return [
        word
        for word in part.split()
        if len(word) >= (MIN_UNSPACED_NAME if is_unspaced(word) else MIN_NAME)
        and word not in vocabulary()
    ]


def _terms_of_date(date: str) -> Iterable[str]:
    if len(date) == 8 and date.isdigit() and date[4:] != "0000" and date[:4] > "1800":
        year, month, day = date[:4], date[4:6], date[6:]
        yield date
        yield f"{year} {month} {day}"
        yield f"{day} {month} {year}"
        yield f"{month} {day} {year}"


@lru_cache(maxsize=64)
def _squeezed(terms: frozenset[str]) -> tuple[str, ...]:
    """Return the terms that are also looked for with nothing between their words."""
    squeezed = {term.replace(" ", "") for term in terms if " " in term or not term.isalpha()}
    return tuple(term for term in squeezed if len(term) > MIN_NUMBER)


@lru_cache(maxsize=65536)
def holds_term(vr: str, value: bytes, charset: bytes, terms: frozenset[str]) -> bool:
    """Tell whether a value holds one of the terms."""
    if vr in text_encoding.NUMBER_VRS and is_number(vr, value):
        return False
    if vr in text_encoding.TEXT_VRS:
        texts: Iterable[str] = [text_encoding.decode(value, charset, is_name=vr == "PN")]
    else:
        texts = [run.decode("latin-1") for run in _RUN.findall(value)]
    return any(_text_holds(normal_form(text), terms) for text in texts)


def _text_holds(normal: str, terms: frozenset[str]) -> bool:
    words = normal.split()
    if not words:
        return False
    if not terms.isdisjoint(words):
        return True
    spaced = f" {normal} "
    if any(" " in term and f" {term} " in spaced for term in terms):
        return True
    squeezed = "".join(words)
    return any(term in squeezed for term in _squeezed(terms))


def is_number(vr: str, value: bytes) -> bool:
    """Tell whether a value holds nothing but numbers if its VR is one of numbers in text."""
    return vr not in text_encoding.NUMBER_VRS or not value.strip(_NUMBER_BYTES)


def is_searched(tag: int, vr: str, size: int) -> bool:
    """Tell whether a value of so many bytes is searched."""
    if vr in BINARY_VRS:
        # Private binary values are often a vendor's whole protocol, which is text.
        return 0 < size <= (MAX_SEARCHED_PRIVATE if tag >> 16 & 1 else MAX_SEARCHED_BINARY)
    return size > 0 and (vr in text_encoding.TEXT_VRS or vr in text_encoding.NUMBER_VRS)


@lru_cache(maxsize=65536)
def tag_label(tag: int) -> str:
    """Write a tag as it stands in a path."""
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"


def describe_leak(path: str) -> str:
    """Say what to do about an identifier that was found, without saying what it is."""
    tag = int(path.rpartition("/")[2].replace(",", ""), 16)
    where = path.replace("/", " > ")
    return (
        f"{where} {keyword_of(tag) or format_tag(tag)} holds an identifier of the patient or of a "
        "person named in the study; correct it at the source, or have the profile remove or empty "
        "that attribute"
    )
