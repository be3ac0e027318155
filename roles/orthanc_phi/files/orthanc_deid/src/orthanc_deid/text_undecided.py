# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what no list and no rule can decide: it goes."""

from __future__ import annotations

import re

from orthanc_deid.text_known import NameIndex
from orthanc_deid.text_reading import Reading
from orthanc_deid.text_tokens import is_unspaced
from orthanc_deid.vocabulary import Level, Vocabulary

_UNITS = frozenset(
    ("ms", "s", "hz", "khz", "mm", "cm", "m", "px", "x", "hu", "counts", "kcounts", "cts", "kcts")
) | frozenset(("cnt", "gy", "mgy", "kg", "g", "ml", "bpm"))
_SHORT_CODE = 5  # characters, too few for a number of a person
_SPINE_LEVELS = frozenset("ctlsd")


def cut_undecided(
    reading: Reading, words: Vocabulary, names: NameIndex, *, codes: bool = True
) -> None:
    """Cut each word that no list knows, and each mix of letters and digits that says nothing.

    Without `codes` short mixes stay, such as the number of a device or a protocol.
    """
    first = 0
    while first < len(reading.tokens):
        last = first
        while _is_glued(reading, last):
            last += 1
        if last > first and any(not t.is_word for t in reading.tokens[first : last + 1]):
            size = reading.tokens[last].end - reading.tokens[first].start
            if not _is_sayable(reading, first, last) and (codes or size > _SHORT_CODE):
                reading.drop(first, last, "undecided")
        else:
            for at in range(first, last + 1):
                if reading.cut[at] is None:
                    _decide(reading, at, words, names)
        first = last + 1


def _is_glued(reading: Reading, at: int) -> bool:
    """Tell whether the next token follows at once, in a script that has such mixes."""
    tokens = reading.tokens
    if at + 1 >= len(tokens) or tokens[at].end != tokens[at + 1].start:
        return False
    return not is_unspaced(tokens[at].norm) and not is_unspaced(tokens[at + 1].norm)


def _decide(reading: Reading, at: int, words: Vocabulary, names: NameIndex) -> None:
    token = reading.tokens[at]
    if not token.is_word:
        if len(token.norm) == 5 and not _is_decimal(reading, at) and not _has_unit(reading, at):
            reading.cut[at] = "undecided"
    elif is_unspaced(token.norm):
        _keep_unspaced(reading, at, words, names)
    elif reading.levels[at] == Level.UNKNOWN and (len(token.norm) > 1 or not token.norm.isascii()):
        reading.cut[at] = "undecided"
        number = at - 1
        # A postal code before its town.
        if (
            number >= 0
            and len(reading.tokens[number].norm) in (4, 5)
            and reading.gap(number) == " "
        ):
            is_code = not reading.tokens[number].is_word and reading.spelled(at)[0].isupper()
            reading.cut[number] = reading.cut[number] or ("address" if is_code else None)


def _is_decimal(reading: Reading, at: int) -> bool:
    start, end = reading.tokens[at].start, reading.tokens[at].end
    return bool(re.search(r"\d[.,]$", reading.text[max(0, start - 2) : start])) or bool(
        re.match(r"[.,]\d", reading.text[end : end + 2])
    )


def _has_unit(reading: Reading, at: int) -> bool:
    return (
        at + 1 < len(reading.tokens)
        and reading.gap(at) in ("", " ")
        and reading.tokens[at + 1].norm in _UNITS
    )


def _is_sayable(reading: Reading, first: int, last: int) -> bool:
    """Tell "B30s", "T1W" and "L5S1" from a record's number."""
    group = reading.tokens[first : last + 1]
    letters = [t.norm for t in group if t.is_word]
    if any(
        len(t.norm) > 1 and reading.levels[first + n] == Level.UNKNOWN
        for n, t in enumerate(group)
        if t.is_word
    ):
        return False
    if sum(len(t.norm) for t in group if not t.is_word) > 5 and set(letters) != {"x"}:
        return False
    if any(not t.is_word and len(t.norm) == 5 for t in group):
        return letters[0] in _UNITS
    singles = [norm for norm in letters if len(norm) == 1]
    return (
        len(group) <= 3
        or len(singles) < 2
        or set(singles) <= _SPINE_LEVELS
        or set(letters) == {"x"}
    )


def _keep_unspaced(reading: Reading, at: int, words: Vocabulary, names: NameIndex) -> None:
    """Cut the known names and all but the terms out of a run of Han or kana."""
    token = reading.tokens[at]
    spelled = reading.spelled(at)
    if len(spelled) != len(token.norm):
        if reading.levels[at] == Level.UNKNOWN:
            reading.cut[at] = "undecided"
        return
    masked = token.norm
    for name in names.unspaced:
        masked = masked.replace(name, "\0" * len(name))
    if reading.levels[at] and masked == token.norm:
        return
    terms = [t for part in re.finditer(r"[^\0]+", masked) for t in _shifted(words, part)]
    position = 0
    for start, end in [*terms, (len(masked), len(masked))]:
        if start > position:
            kind = "name" if "\0" in masked[position:start] else "undecided"
            reading.pieces.append((token.start + position, token.start + start, kind))
        position = end


def _shifted(words: Vocabulary, part: re.Match[str]) -> list[tuple[int, int]]:
    return [(part.start() + s, part.start() + e) for s, e in words.unspaced_terms(part.group())]
