# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates written in text: found in their many spellings, and moved in the same spelling."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from orthanc_deid.text_tokens import fold

# Names and abbreviations of the months, January first, a row as one language writes them.
_CALENDARS = [
    row.split()
    for row in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "jän feb mär apr mai jun jul aug sep okt nov dez",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv févr mars avr mai juin juil août sept oct nov déc",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sep oct nov dic",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre",
        "gen feb mar apr mag giu lug ago set ott nov dic",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan fev mar abr mai jun jul ago set out nov dez",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan feb maa apr mei jun jul aug sep okt nov dec",
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    )
]
MONTH_NAMES = frozenset(fold(name) for row in _CALENDARS for name in row)
_SPELLINGS = {name for row in _CALENDARS for name in row} | MONTH_NAMES
_NAME = "|".join(sorted(_SPELLINGS, key=len, reverse=True))

_YEAR = r"(?P<y>(?:1[89]|2[01])\d{2})"
_YEAR_OR_SHORT = r"(?P<y>(?:1[89]|2[01])\d{2}|\d{2})(?!\d)"
_GAP = r"[ ]?[-./ ]?[ ]?"
_LETTER = r"[^\W\d_]"

_NUMERIC = [
    re.compile(pattern)
    for pattern in (
        rf"(?<![\d.]){_YEAR}(?P<s>[ ]?[-/.][ ]?)(?P<m>\d{{1,2}})(?P=s)(?P<d>\d{{1,2}})(?!\d|\.\d)",
        rf"(?<![\d.]){_YEAR}(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])"
        r"(?=(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?:\.\d|[+-]\d{4}|(?!\d))|(?!\d|\.\d))",
        r"(?<!\d)(?<!\d[.,/-])(?P<a>\d{1,2})(?P<s>[ ]?[-/.][ ]?)(?P<b>\d{1,2})(?P=s)"
        rf"{_YEAR_OR_SHORT}(?!\.\d|[/-]\d)",
        r"(?<!\d)(?P<a>\d{1,2})\.?[ ](?P<b>\d{1,2})\.?[ ](?P<y>(?:19|20)\d{2})(?!\d|\.\d)",
        r"(?<!\d)(?P<y>\d{4})[ ]?[年년][ ]?(?P<m>\d{1,2})[ ]?[月월]"
        r"(?:[ ]?(?P<d>\d{1,2})[ ]?[日일])?",
        r"(?:明治|大正|昭和|平成|令和)[ ]?(?:\d{1,2}|元)[ ]?年"
        r"(?:[ ]?\d{1,2}[ ]?月(?:[ ]?\d{1,2}[ ]?日)?)?",
    )
]
_MAYBE_NUMERIC = re.compile(
    r"\d{8}|\d[ ]?[-/.][ ]?\d\d?[ ]?[-/.][ ]?\d|\d\.? \d\d?\.? [12]\d{3}|[年년]"
)
_NAMED = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\d.])(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|º|\.)?{_GAP}(?:(?:of|de|di)[ ])?"
        rf"(?P<n>{_NAME})(?!{_LETTER})\.?,?{_GAP}(?:(?:of|de|del)[ ])?['\u2019]?{_YEAR_OR_SHORT}",
        rf"(?<!{_LETTER})(?P<n>{_NAME})\.?{_GAP}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?"
        rf",?{_GAP}(?:{_YEAR}(?!\d)|['\u2019](?P<z>\d{{2}})(?!\d))",
        rf"(?<![\d.]){_YEAR}{_GAP}(?P<n>{_NAME})\.?{_GAP}(?P<d>\d{{1,2}})(?!\d)",
        rf"(?<!{_LETTER})(?P<n>{_NAME})\.?,?{_GAP}(?:(?:of|de)[ ])?{_YEAR}(?!\d)",
        rf"(?<![\d.])(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?{_GAP}(?:of[ ])?(?P<n>{_NAME})(?![^\W_])",
        rf"(?<!{_LETTER})(?P<n>{_NAME})\.?{_GAP}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?![^\W_]|[.:]\d)",
    )
]
_DAY_NAMES = (
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tues?|wed|thurs?|thu|fri|sat|sun"
    "|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag"
    "|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
)
_WEEKDAY = re.compile(rf"(?<!{_LETTER})(?:{_DAY_NAMES})\.?,?[ ]{{1,2}}(?:the[ ])?$", re.IGNORECASE)
_TIME = re.compile(
    r"(?:(?:[ ]{0,2}[T,_@-]?[ ]{0,2}|[ ](?:at|um|à)[ ])\d{1,2}[:h]\d{2}(?::\d{2}(?:[.,]\d{1,6})?)?"
    r"(?:[ ]?[ap]\.?m\b\.?)?|[ _T-]?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?:\.\d{1,6})?(?!\d))"
    r"(?:[ ]?(?:Z|UTC|GMT|CES?T|[ECMP][SD]T|[+-]\d{2}:?\d{2})(?![A-Za-z0-9]))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """One date in a text, with the weekday before and the time behind it as its span.

    `days` are the dates that it may mean: none where it has no year or no day, two where the
    order of day and month cannot be told.
    """

    start: int
    end: int
    days: tuple[date, ...]
    match: re.Match[str]

    def moved(self, offset: int, known: Collection[date]) -> str | None:
        """Spell the date `offset` days later, or None where it can only be cut.

        Of two readings the one that is a `known` date of the study counts. The weekday is left
        out: beside the moved date it would tell a part of the secret offset.
        """
        days = [day for day in self.days if day in known] or list(self.days)
        if len(set(days)) != 1:
            return None
        try:
            moved = days[0] + timedelta(days=offset)
        except OverflowError:
            return None
        spelled = self._spelled(days[0], moved)
        if spelled is None:
            return None
        return spelled + self.match.string[self.match.end() : self.end]

    def _spelled(self, day: date, moved: date) -> str | None:
        pieces, at, text = [], self.match.start(), self.match.string
        fields = [f for f, value in self.match.groupdict().items() if value and f != "s"]
        for field in sorted(fields, key=self.match.start):
            old = self.match[field]
            part = self._part(field, day)
            new = _name_of(old, moved) if part == "n" else _number_of(old, part, moved)
            if new is None:
                return None
            pieces += [text[at : self.match.start(field)], new]
            at = self.match.end(field)
        return "".join(pieces) + text[at : self.match.end()]

    def _part(self, field: str, day: date) -> str:
        """Say which part of the date `a` and `b` are, given what it means."""
        if field not in "ab":
            return {"z": "y"}.get(field, field)
        a, b = int(self.match["a"]), int(self.match["b"])
        day_first = (a, b) == (day.day, day.month)
        return "d" if (field == "a") == day_first else "m"


def dates_in(text: str, *, month_named: bool) -> Iterator[WrittenDate]:
    """Yield the dates in the text that do not overlap, the surest spellings first."""
    taken = bytearray(len(text))
    numeric = _NUMERIC if _MAYBE_NUMERIC.search(text) else []
    for pattern in numeric + _NAMED if month_named else numeric:
        for match in pattern.finditer(text):
            days = _readings(match)
            if days is None or any(taken[match.start() : match.end()]):
                continue
            start, end = _with_weekday(match), _with_time(match)
            taken[start:end] = b"\1" * (end - start)
            yield WrittenDate(start, end, days, match)


def _with_weekday(match: re.Match[str]) -> int:
    before = match.string[max(0, match.start() - 16) : match.start()]
    weekday = _WEEKDAY.search(before)
    return match.start() - (len(before) - weekday.start() if weekday else 0)


def _with_time(match: re.Match[str]) -> int:
    time = _TIME.match(match.string, match.end())
    return time.end() if time else match.end()


def _readings(match: re.Match[str]) -> tuple[date, ...] | None:
    """Return the dates that the match can mean, or None where it is no date at all."""
    found = match.groupdict()
    year = _year(found.get("y") or found.get("z"))
    if "a" in found:
        a, b = int(found["a"]), int(found["b"])
        days = {day for day in (_day(year, b, a), _day(year, a, b)) if day}
        if match["y"] and "." in (found.get("s") or "") and (german := _day(year, b, a)):
            days = {german}
        return tuple(sorted(days)) or None
    if not found.get("d"):
        return ()
    month = int(found["m"]) if found.get("m") else _month_number(found["n"])
    if year is None:
        return () if 1 <= int(found["d"]) <= 31 else None
    day = _day(year, month, int(found["d"]))
    return (day,) if day else None


def _year(written: str | None) -> int | None:
    if not written:
        return None
    year = int(written)
    return year if len(written) > 2 else year + (2000 if year < 50 else 1900)


def _day(year: int | None, month: int, day: int) -> date | None:
    try:
        return date(year or 0, month, day)
    except ValueError:
        return None


def _month_number(name: str) -> int:
    return next(row_names.index(fold(name)) + 1 for row_names in _FOLDED if fold(name) in row_names)


def _number_of(old: str, part: str, moved: date) -> str:
    if part == "y":
        return f"{moved.year:04d}"[-len(old) :]
    number = str(moved.month if part == "m" else moved.day)
    return number.zfill(2) if len(old) == 2 else number


def _name_of(old: str, moved: date) -> str | None:
    """Return the name of the moved date's month in the language, length and case of the old."""
    for row, folded in zip(_CALENDARS, _FOLDED, strict=True):
        if fold(old) in folded:
            name = row[moved.month - 1]
            return name.upper() if old.isupper() else name.title() if old.istitle() else name
    return None


_FOLDED = [[fold(name) for name in row] for row in _CALENDARS]
