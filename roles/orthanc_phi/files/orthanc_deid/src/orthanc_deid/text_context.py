# SPDX-License-Identifier: GPL-3.0-or-later
"""Find names by what stands beside them: titles, roles, deeds, degrees, given names."""

from __future__ import annotations

import re

from orthanc_deid.text_known import PARTICLES
from orthanc_deid.text_reading import Reading
from orthanc_deid.vocabulary import Level, Vocabulary

# Titles that are also a modality or a unit in capitals: DR, MR, SR, MS.
_AMBIGUOUS_TITLES = frozenset(("dr", "mr", "sr", "ms"))
_NAME_LABELS = frozenset(("pt", "patient", "patients", "pat"))
_COLON = re.compile(r"[ ]?[:=#][ ]?|[ ]?-[ ]")
_BREAK = re.compile(r"[;\r\n|()\[\]]|[.!?][ ]")


def cut_named_by_context(reading: Reading, words: Vocabulary) -> None:
    """Cut who is called by a title, a role, a deed, a degree or a given name."""
    for at, token in enumerate(reading.tokens):
        if not token.is_word:
            continue
        if token.norm in words.titles and _is_title(reading, at):
            _cut_titled(reading, at, words)
        elif _is_label(reading, at, words):
            _cut_labelled(reading, at, words)
        elif token.norm == "by":
            _cut_doer(reading, at, words)
        elif token.norm in words.degrees:
            _cut_graduate(reading, at, words)
        if token.norm in words.given_names and reading.cut[at] is None:
            _cut_given_name(reading, at, words)


def _cut_titled(reading: Reading, at: int, words: Vocabulary) -> None:
    """Cut "Dr. Brown" with the title, and nothing where no name follows."""
    last = _name_behind(reading, at, words, sure=_is_sure_title(reading, at))
    if last > at:
        reading.drop(at, last, "name")


def _is_title(reading: Reading, at: int) -> bool:
    norm = reading.tokens[at].norm
    glued = at and reading.tokens[at - 1].end == reading.tokens[at].start
    return not glued and (
        norm not in _AMBIGUOUS_TITLES or _is_sure_title(reading, at) or norm == "dr"
    )


def _is_sure_title(reading: Reading, at: int) -> bool:
    if at + 1 >= len(reading.tokens):
        return False
    spelled, norm = reading.spelled(at), reading.tokens[at].norm
    if norm == "ms" and at and not reading.tokens[at - 1].is_word:
        return False
    return reading.gap(at).startswith(".") or (spelled.istitle() and len(norm) > 1)


def _name_behind(reading: Reading, at: int, words: Vocabulary, *, sure: bool) -> int:
    """Return the last token of the name behind a title or a deed, or `at` where none follows."""
    last = at
    while last - at < 4 and reading.joins(last):
        following = last + 1
        if not reading.tokens[following].is_word or (last > at and _ends(reading, last)):
            break
        if not (sure and last == at) and not _goes_on(reading, following, words):
            break
        last = following
    while last > at and not sure and reading.tokens[last].norm in PARTICLES - words.degrees:
        last -= 1
    return last


def _goes_on(reading: Reading, at: int, words: Vocabulary) -> bool:
    """Tell whether the word continues a name that has begun."""
    norm, spelled = reading.tokens[at].norm, reading.spelled(at)
    if reading.levels[at] == Level.UNKNOWN or reading.cut[at] == "name":
        return True
    if words.is_surname(norm) or norm in words.given_names:
        return True
    if len(norm) == 1:
        return spelled.isupper()
    return norm in PARTICLES and norm not in words.degrees


def _ends(reading: Reading, before: int) -> bool:
    """Tell whether a sentence or clause ends here: not behind an initial, not within "Head, J"."""
    gap = reading.gap(before)
    return gap.startswith(".") and len(reading.tokens[before].norm) > 2


def _is_label(reading: Reading, at: int, words: Vocabulary) -> bool:
    norm = reading.tokens[at].norm
    if norm == "name" and at and reading.tokens[at - 1].norm in _NAME_LABELS and reading.joins(at):
        return True
    if norm not in words.roles and norm not in words.maybe_roles:
        return False
    return at + 1 < len(reading.tokens) and bool(_COLON.fullmatch(reading.gap(at)))


def _cut_labelled(reading: Reading, at: int, words: Vocabulary) -> None:
    """Cut up to four words behind "tech:", and the label; "patient:" only before a likely name."""
    weak = reading.tokens[at].norm in words.maybe_roles or "-" in reading.gap(at)
    last = at
    while last - at < 4 and last + 1 < len(reading.tokens):
        following = last + 1
        if not reading.tokens[following].is_word or _BREAK.search(reading.gap(last)):
            break
        norm, spelled = reading.tokens[following].norm, reading.spelled(following)
        if reading.levels[following] and not words.is_surname(norm):
            unlikely = weak or last - at > 1
            if (unlikely and len(norm) > 1) or (last > at and spelled.islower()):
                break
        last = following
    if last > at:
        before = at - 1
        labelled = at and reading.tokens[before].norm in _NAME_LABELS and reading.joins(before)
        reading.drop(before if labelled else at, last, "name")


def _cut_doer(reading: Reading, at: int, words: Vocabulary) -> None:
    """Cut who did it: "read by Young", "seen by AB"; "confirmed by MR" has no deed before it."""
    if at + 1 >= len(reading.tokens) or reading.gap(at).strip() not in ("", ":"):
        return
    deed = at > 0 and reading.tokens[at - 1].norm in words.deeds
    following = at + 1
    initials = 2 <= len(reading.spelled(following)) <= 3 and reading.spelled(following).isupper()
    surname = words.is_surname(reading.tokens[following].norm)
    sure = (
        deed
        and reading.levels[following] < Level.TERM
        and (surname or initials or reading.is_capital(following))
    )
    last = _name_behind(reading, at, words, sure=sure) if sure or surname or deed else at
    if last > at:
        reading.drop(at + 1, last, "name")


def _cut_graduate(reading: Reading, at: int, words: Vocabulary) -> None:
    """Cut the name before a degree ("Brown, MD")."""
    first = at
    while first and at - first < 3 and reading.joins(first - 1):
        before = first - 1
        norm = reading.tokens[before].norm
        likely = reading.levels[before] == Level.UNKNOWN or reading.cut[before] == "name"
        if not (likely or words.is_surname(norm) or (norm in words.given_names)):
            break
        first = before
    if first < at:
        reading.drop(first, at, "name")


def _cut_given_name(reading: Reading, at: int, words: Vocabulary) -> None:
    """Cut a given name with the surname beside it; one that is also a word needs the surname."""
    tokens = reading.tokens
    beside = [n for n in (at - 1, at + 1) if 0 <= n < len(tokens) and reading.joins(min(n, at))]
    surnames = [
        n
        for n in beside
        if tokens[n].is_word
        and n not in reading.kept
        and reading.levels[n] < Level.TERM
        and (
            words.is_surname(tokens[n].norm)
            or _is_unknown_name(reading, n)
            or reading.cut[n] == "name"
        )
    ]
    if reading.levels[at] != Level.UNKNOWN and (
        at in reading.kept or not surnames or not reading.is_capital(at)
    ):
        return
    for n in (at, *surnames):
        reading.cut[n] = reading.cut[n] or "name"


def _is_unknown_name(reading: Reading, at: int) -> bool:
    return (
        reading.levels[at] == Level.UNKNOWN
        and len(reading.tokens[at].norm) > 2
        and reading.is_capital(at)
    )
