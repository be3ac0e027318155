# SPDX-License-Identifier: GPL-3.0-or-later
"""Clean text: take out what identifies, keep what is medicine (PS3.15 E.3.5, Clean Descriptors).

The rule is a list of what stays. A word stays when the vocabulary knows it and nothing in the
study or in its context says that it is a name; everything else goes, and is reported:

- The study's own identifiers go, in any order, case and separator. One part of a name alone stays
  only where it is a TERM (anatomy, laterality, acquisition: "HEAD W/O" of a patient called Head)
  or in a fixed phrase ("Gamma Knife"). That is safe: such a word stands in the same place for
  every other patient, so finding it tells nothing. With a second part of the name, an initial, a
  title or a label beside it, it goes like any other.
- Dates, numbers, postal and net addresses, and ages over 89 go by their shape. Dates are moved
  instead when the caller gives an offset.
- A word that no list knows cannot be told from a name, and goes.

Cleaning is pure, runs in linear time and is idempotent (but for moved dates, which a second
cleaning would move again).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from string import ascii_lowercase
from typing import NamedTuple

from orthanc_deid.text_context import cut_named_by_context
from orthanc_deid.text_dates import MONTH_NAMES, dates_in
from orthanc_deid.text_known import Known, NameIndex, number_forms
from orthanc_deid.text_names import cut_known_names, cut_known_places
from orthanc_deid.text_patterns import (
    ADDRESS_WORDS,
    AGE_WORDS,
    LABEL_WORDS,
    Span,
    address_spans,
    digit_spans,
    net_spans,
)
from orthanc_deid.text_reading import PATTERN, Reading, guard_phrases
from orthanc_deid.text_rebuild import MOVED, SEPARATORS, Cut, rebuilt
from orthanc_deid.text_tokens import Token, tokens_of
from orthanc_deid.text_undecided import cut_undecided
from orthanc_deid.vocabulary import Level, Vocabulary, vocabulary

# Longest value in characters (PS3.5 Table 6.2-1); the others are limited by 32 bits only.
VR_LENGTH = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "UT": None, "UC": None}
_MULTI_VALUED = frozenset(("SH", "LO", "UC"))
_MAX_PASSES = 4
# Shorter full names turn up by chance across words.
_MIN_SQUEEZED = 5
_CACHE_SIZE = 50_000

_PRIVATE_USE = re.compile("[\ue000-\uf8ff]")
# What may identify though every word is known: numbers with five digits near each other, dates,
# ages, dotted initials and titles, signs of net addresses and labels, "12 Main Ct".
_RISK = re.compile(
    r"\d(?:[^A-Za-z]?\d){4}|\d[ ]?[./-][ ]?\d\d?[ ]?[./-][ ]?\d|\d/|\d[ -]{0,2}[Yy]|\d-\d"
    r"|[@\\#]|[A-Za-z] ?[:=]|[A-Za-z]\.|\d[A-Za-z]+\d|[MS][rs] |9\d ?[FM]"
    r"|\d [A-Za-z ]{2,40} [Cc][Tt](?![A-Za-z])"
)
_NO_SEPARATORS = {code: None for code in range(128) if not chr(code).isalnum()}
_ASCII_WORD = re.compile(r"[a-z]+")


class Finding(NamedTuple):
    """What was done at one place of a value, never the value itself.

    kind: name, date, birth, age, phone, email, url, ip, uid, number, address, place, undecided or
    length; place: whole, start, middle or end; action: cut or moved.
    """

    kind: str
    place: str
    action: str


class Cleaned(NamedTuple):
    """A cleaned value and what was found in it; no findings, the value is what it was."""

    text: str
    findings: tuple[Finding, ...]


class TextCleaner:
    """The rules for one study, made ready once.

    Args:
        known: the identifiers that the study itself tells.
        date_offset: whole days by which dates in the text move; None cuts them.
        codes: whether short mixes of letters and digits go that no rule can decide.
    """

    def __init__(self, known: Known, date_offset: int | None = None, *, codes: bool = True) -> None:
        self._codes = codes
        self._known = known
        self._offset = date_offset
        self._words = vocabulary()
        self._names = NameIndex.of(known.persons)
        self._squeezed = number_forms(known.numbers) | {
            name for name in self._names.joined if len(name) > _MIN_SQUEEZED
        }
        self._places, self._place_lengths = _place_index(known.places)
        self._plain = (
            (self._words.terms | self._words.words)
            - self._names.persons_of.keys()
            - self._places.keys()
            - self._words.given_names
            - MONTH_NAMES
            - _telling(self._words)
        ) | set(ascii_lowercase)
        self._cleaned: dict[tuple[str, str], Cleaned] = {}

    def clean(self, value: str, vr: str = "LO") -> Cleaned:
        """Clean one value of a text VR (SH, LO, ST, LT, UT, UC).

        Values of SH, LO and UC may be several, separated by backslash: each is cleaned for
        itself and none is dropped. The result keeps to the VR's length.

        Raises ValueError for any other VR: names, codes, dates and UIDs have rules of their own.
        """
        if vr not in VR_LENGTH:
            raise ValueError(f"text cleaning takes the VRs {', '.join(VR_LENGTH)}, not {vr}")
        cached = self._cleaned.get((value, vr))
        if cached is None:
            cached = self._clean_values(value, vr)
            if len(self._cleaned) < _CACHE_SIZE:
                self._cleaned[value, vr] = cached
        return cached

    def _clean_values(self, value: str, vr: str) -> Cleaned:
        limit = VR_LENGTH[vr]
        if vr not in _MULTI_VALUED or "\\" not in value:
            return self._clean_one(value, limit)
        cleaned = [self._clean_one(part, limit) for part in value.split("\\")]
        return Cleaned(
            "\\".join(c.text for c in cleaned), tuple(f for c in cleaned for f in c.findings)
        )

    def _clean_one(self, value: str, limit: int | None) -> Cleaned:
        if self._is_plain(value) and (limit is None or len(value.rstrip()) <= limit):
            return Cleaned(value, ())
        cleaned = self._to_the_end(value, self._offset)
        if limit is None or len(cleaned.text.rstrip()) <= limit:
            return cleaned
        if self._offset is not None:
            # A longer month's name may not fit: then the date goes.
            cleaned = self._to_the_end(value, None)
        if len(cleaned.text.rstrip()) <= limit:
            return cleaned
        short = re.sub(r"\w*$", "", cleaned.text[: limit + 1])[:limit].rstrip(SEPARATORS)
        again = self._to_the_end(short, None)
        return Cleaned(
            again.text, (*cleaned.findings, Finding("length", "end", "cut"), *again.findings)
        )

    def _is_plain(self, text: str) -> bool:
        """Tell, fast, that every word is known and nobody's, and no number can identify."""
        if not text.isascii() or _RISK.search(text):
            return False
        lower = text.lower()
        if not self._plain.issuperset(_ASCII_WORD.findall(lower)):
            return False
        compact = lower.translate(_NO_SEPARATORS)
        return not any(form in compact for form in self._squeezed)

    def _to_the_end(self, text: str, offset: int | None) -> Cleaned:
        """Clean until nothing more is found: what a cut brings together may identify again."""
        findings: list[Finding] = []
        moved: list[str] = []
        if _PRIVATE_USE.search(text):
            text = _PRIVATE_USE.sub(" ", text)
            findings.append(Finding("undecided", "middle", "cut"))
        for turn in range(_MAX_PASSES):
            plain = turn > 0 and self._is_plain(text)
            cuts = [] if plain else self._cuts(text, offset if turn == 0 else None)
            if not cuts:
                for spelled in moved:
                    text = text.replace(MOVED, spelled, 1)
                return Cleaned(text, tuple(findings))
            length = len(text)
            text, merged, moved = rebuilt(text, cuts, moved)
            findings += (
                Finding(c.kind, _place(c, length), "cut" if c.instead is None else "moved")
                for c in merged
            )
        return Cleaned("", (*findings, Finding("undecided", "whole", "cut")))

    def _cuts(self, text: str, offset: int | None) -> list[Cut]:
        """Return what must leave this text, in any order and possibly overlapping."""
        tokens = tokens_of(text)
        reading = Reading.of(text, tokens, self._words)
        cuts = list(self._pattern_cuts(text, tokens, offset))
        mask = bytearray(len(text))
        for cut in cuts:
            mask[cut.start : cut.end] = b"\1" * (cut.end - cut.start)
        for at, token in enumerate(tokens):
            if mask[token.start] or mask[token.end - 1]:
                reading.cut[at] = PATTERN
        self._cut_squeezed(reading)
        guard_phrases(reading, self._words)
        if self._names.initials_of:
            cut_known_names(reading, self._names)
        if self._places:
            cut_known_places(reading, self._places, self._place_lengths)
        cut_named_by_context(reading, self._words)
        cut_undecided(reading, self._words, self._names, codes=self._codes)
        return cuts + list(_token_cuts(reading))

    def _pattern_cuts(self, text: str, tokens: list[Token], offset: int | None) -> Iterable[Cut]:
        norms = {t.norm for t in tokens}
        if "@" in text or "." in text or ":" in text or "\\" in text:
            yield from (Cut(*span) for span in net_spans(text))
        digits = sum(len(t.norm) for t in tokens if not t.is_word)
        if digits:
            dates = list(self._date_cuts(text, offset, not MONTH_NAMES.isdisjoint(norms)))
            yield from dates
            # The digits of a moved date are no number of their own.
            dated = bytearray(len(text))
            for cut in dates:
                dated[cut.start : cut.end] = b"\1" * (cut.end - cut.start)
            spans = (
                s
                for s in digit_spans(text, norms, digits)
                if not (dated[s.start] and dated[s.end - 1])
            )
            yield from (Cut(*span) for span in spans)
        yield from (Cut(*span) for span in self._addresses(text, norms, digits))

    def _date_cuts(self, text: str, offset: int | None, month_named: bool) -> Iterable[Cut]:
        for written in dates_in(text, month_named=month_named):
            instead = None
            is_birth = not self._known.birth_dates.isdisjoint(written.days)
            if offset is not None and not is_birth:
                instead = written.moved(offset, self._known.dates)
            yield Cut(written.start, written.end, "birth" if is_birth else "date", instead)

    def _addresses(self, text: str, norms: set[str], digits: int) -> Iterable[Span]:
        for address in address_spans(text, norms, digits):
            named = [t for t in tokens_of(address.named) if t.is_word]
            unknown = [t for t in tokens_of(address.unknown) if t.is_word]
            if any(self._words.level(t.norm) == Level.TERM for t in named):
                continue
            if any(self._words.level(t.norm) for t in unknown):
                continue
            yield address.span

    def _cut_squeezed(self, reading: Reading) -> None:
        """Cut known numbers and full names however they are grouped, as the leak check finds them.

        Their letters and digits are looked for with nothing between them. A number of four
        characters, and one without digits, must begin and end as a word does.
        """
        compact = "".join(token.norm for token in reading.tokens)
        starts = [0, *accumulate(len(token.norm) for token in reading.tokens)]
        for form in self._squeezed:
            if form not in compact:
                continue
            named = form in self._names.joined
            loose = named or (len(form) > 4 and not form.isalpha())
            for match in re.finditer(re.escape(form), compact):
                first = bisect_right(starts, match.start()) - 1
                last = bisect_left(starts, match.end()) - 1
                aligned = starts[first] == match.start() and starts[last + 1] == match.end()
                if named or ((loose or aligned) and not reading.is_term(first, last)):
                    reading.drop(first, last, "name" if named else "number")


def _telling(words: Vocabulary) -> frozenset[str]:
    """Return the words that a rule begins with: a text with one of them is read in full.

    Modalities among them are none without a sign that _RISK looks for.
    """
    beginnings = words.titles | words.degrees | words.roles | words.maybe_roles | {"by"}
    beginnings |= {word for word in LABEL_WORDS if len(word) > 1} | AGE_WORDS | ADDRESS_WORDS
    return beginnings - {"mr", "sr", "ms", "ct", "study"}


def _place_index(places: Iterable[str]) -> tuple[dict[str, frozenset[int]], list[int]]:
    index: dict[str, frozenset[int]] = {}
    lengths: list[int] = []
    for number, place in enumerate(sorted(places)):
        norms = {t.norm for t in tokens_of(place)}
        lengths.append(max(2, len(norms)))
        for norm in norms:
            index[norm] = index.get(norm, frozenset()) | {number}
    return index, lengths


def _token_cuts(reading: Reading) -> Iterable[Cut]:
    for token, kind in zip(reading.tokens, reading.cut, strict=True):
        if kind and kind != PATTERN:
            dotted = len(token.norm) == 1 and reading.text[token.end : token.end + 1] == "."
            yield Cut(token.start, token.end + dotted, kind)
    for start, end, kind in reading.pieces:
        yield Cut(start, end, kind)


def _place(cut: Cut, length: int) -> str:
    if cut.start == 0:
        return "whole" if cut.end == length else "start"
    return "end" if cut.end == length else "middle"
