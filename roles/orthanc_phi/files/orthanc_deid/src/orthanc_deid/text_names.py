# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the names and places of the study itself."""

from __future__ import annotations

import re

from orthanc_deid.text_known import PARTICLES, NameIndex, is_initial
from orthanc_deid.text_reading import Reading
from orthanc_deid.text_tokens import Token
from orthanc_deid.vocabulary import Level


def cut_known_names(reading: Reading, names: NameIndex) -> None:
    """Cut the study's own persons: any two parts of a name together, and any part alone.

    A part alone stays where it is a TERM, or a WORD in a fixed phrase: "HEAD W/O" says nothing
    of a patient called Head, since it stands in the descriptors of every other patient too.
    """
    at = 0
    while at < len(reading.tokens):
        last = _name_run(reading, at, names)
        if last > at:
            reading.drop(at, last, "name")
        elif _is_known_alone(reading, at, names):
            reading.cut[at] = reading.cut[at] or "name"
        elif _is_split_name(reading, at, names):
            reading.drop(at, at + 1, "name")
        at = last + 1


def _name_run(reading: Reading, first: int, names: NameIndex) -> int:
    """Return the last token of the full name that begins here, or `first` where none does.

    What stands between the parts does not matter, as it does not to the leak check.
    """
    persons = _persons(reading, first, names)
    seen: list[str] = []
    last = at = first
    while persons and at < len(reading.tokens) and len(seen) < 8:
        norm = reading.tokens[at].norm
        here = _persons(reading, at, names)
        if here or norm not in PARTICLES:
            persons &= here
            if not persons or (norm in seen and norm + norm not in names.joined):
                break
            seen.append(norm)
            last = at
        at += 1
    parts = sum(not is_initial(norm) for norm in seen)
    if parts > 1 or (parts == 1 and len(seen) > 1 and _initial_is_name(reading, first, last)):
        return last
    dotted = all("." in reading.gap(at) for at in range(first, last))
    return last if len(seen) > 1 and not parts and dotted else first


def _persons(reading: Reading, at: int, names: NameIndex) -> frozenset[int]:
    """Return whose name or initial the token can be."""
    norm = reading.tokens[at].norm
    index = names.initials_of if is_initial(norm) else names.persons_of
    return index.get(norm, frozenset())


def _initial_is_name(reading: Reading, first: int, last: int) -> bool:
    """Tell "Head, J" and "J. Head" from "HEAD L": a term needs the dot or comma of a name."""
    if not all(reading.joins(at) for at in range(first, last)):
        return False
    if all(level < Level.TERM for level, t in _words_of(reading, first, last) if len(t.norm) > 1):
        return True
    between = reading.text[reading.tokens[first].end : reading.tokens[last].start]
    return any(mark in between for mark in ",.^")


def _words_of(reading: Reading, first: int, last: int) -> list[tuple[Level, Token]]:
    return list(
        zip(reading.levels[first : last + 1], reading.tokens[first : last + 1], strict=True)
    )


def _is_known_alone(reading: Reading, at: int, names: NameIndex) -> bool:
    norm = reading.tokens[at].norm
    bare = norm[:-1] if norm.endswith("s") and norm not in names.persons_of else norm
    if bare not in names.persons_of and norm not in names.joined:
        spelled = reading.spelled(at)
        return reading.levels[at] == Level.WORD and any(
            part in names.persons_of for part in _inner_parts(spelled)
        )
    return reading.levels[at] < Level.TERM and at not in reading.kept and len(bare) > 1


def _inner_parts(spelled: str) -> list[str]:
    if spelled.isupper() or spelled.islower() or spelled.istitle():
        return []
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", spelled)]


def _is_split_name(reading: Reading, at: int, names: NameIndex) -> bool:
    """Tell a name written apart ("White head" for Whitehead)."""
    if not reading.joins(at):
        return False
    whole = reading.tokens[at].norm + reading.tokens[at + 1].norm
    return len(whole) > 3 and (whole in names.persons_of or whole in names.joined)


def cut_known_places(
    reading: Reading, places: dict[str, frozenset[int]], lengths: list[int]
) -> None:
    """Cut the study's institutions, departments and addresses, whole or from two words on."""
    first = 0
    while first < len(reading.tokens):
        last = first
        candidates = places.get(reading.tokens[first].norm, frozenset())
        while candidates and reading.joins(last):
            both = candidates & places.get(reading.tokens[last + 1].norm, frozenset())
            if not both:
                break
            candidates, last = both, last + 1
        run = last - first + 1
        whole = any(run >= lengths[place] for place in candidates)
        if run > 1 and (whole or _is_telling(reading, first, last)):
            reading.drop(first, last, "place")
        first = last + 1


def _is_telling(reading: Reading, first: int, last: int) -> bool:
    words = [(level, t) for level, t in _words_of(reading, first, last) if t.is_word]
    if any(level == Level.UNKNOWN and len(t.norm) > 1 for level, t in words):
        return True
    return sum(level == Level.WORD and len(t.norm) > 3 for level, t in words) > 1
