# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates moved by whole days; the time of day stays (PS3.5 section 6.2: DA, DT, TM)."""

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache

_DATE = re.compile(r"(\d{4})(\d\d)?(\d\d)?")
_OLD_DATE = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)")  # ACR-NEMA, to be read for ever
_ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")
_DATETIME = re.compile(
    r"(?P<date>\d{4}(?:\d\d){0,2})"
    r"(?P<time>(?<=\d{8})(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?"
    rf"(?P<zone>{_ZONE.pattern})?"
)
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")


class MalformedDateError(ValueError):
    """A value that is no date or time by the standard, or one that cannot be moved."""


def shift_date(value: str, days: int) -> str:
    """Move a date: complete, or without its day or its month.

    Raises:
        MalformedDateError: it is no date, or leaves the years 1 to 9999.
    """
    match = _DATE.fullmatch(value) or _OLD_DATE.fullmatch(value)
    if match is None:
        raise MalformedDateError
    year, month, day = match.groups()
    try:
        if day is not None:
            moved = date.fromordinal(date(int(year), int(month), int(day)).toordinal() + days)
            separator = "." if "." in value else ""
            return f"{moved.year:04d}{separator}{moved.month:02d}{separator}{moved.day:02d}"
        # What is not told cannot be kept apart: move the edge that leaves the period at once.
        first = date(int(year), int(month or 1), 1)
        edge = first if days < 0 else _last_day(first, whole_year=month is None)
        moved = date.fromordinal(edge.toordinal() + days)
    except (ValueError, OverflowError):
        raise MalformedDateError from None
    return f"{moved.year:04d}" + (f"{moved.month:02d}" if month else "")


def _last_day(first: date, *, whole_year: bool) -> date:
    if whole_year:
        return date(first.year, 12, 31)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return date.fromordinal(following.toordinal() - 1)


def shift_datetime(value: str, days: int) -> str:
    """Move a date and time; its time of day and time zone stay.

    Raises:
        MalformedDateError: it is none.
    """
    match = _DATETIME.fullmatch(value)
    if match is None:
        raise MalformedDateError
    return shift_date(match["date"], days) + (match["time"] or "") + (match["zone"] or "")


def check_time(value: str, _days: int = 0) -> str:
    """Return a time of day as it is.

    Raises:
        MalformedDateError: it is none.
    """
    if _TIME.fullmatch(value) is None:
        raise MalformedDateError
    return value


def check_zone(value: str, _days: int = 0) -> str:
    """Return an offset from UTC as it is: it stays true when whole days pass.

    Raises:
        MalformedDateError: it is none.
    """
    if _ZONE.fullmatch(value) is None:
        raise MalformedDateError
    return value


_SHIFTS: dict[str, Callable[[str, int], str]] = {
    "DA": shift_date,
    "DT": shift_datetime,
    "TM": check_time,
    "SH": check_zone,
}


@lru_cache(maxsize=8192)
def shift_value(vr: str, value: bytes, days: int) -> bytes:
    """Move every date of a value of VR DA or DT by whole days.

    Values of VR TM and SH (offsets from UTC) stay; it is checked that they are what they should be.

    Several values, ranges (`20240101-20240131`) and padding are understood.

    Raises:
        MalformedDateError: a part of it is no date or time.
    """
    shift = _SHIFTS[vr]
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedDateError from None
    parts = [part.strip(" \0") for part in text.split("\\")]
    return "\\".join(_shift_range(shift, part, days) for part in parts).encode()


def _shift_range(shift: Callable[[str, int], str], part: str, days: int) -> str:
    if not part:
        return ""
    try:
        return shift(part, days)
    except MalformedDateError:
        if "-" not in part or part == "-":
            raise
    # A minus may begin a time zone too, so the range is cut where both sides are dates.
    for index in (i for i, character in enumerate(part) if character == "-"):
        sides = part[:index], part[index + 1 :]
        try:
            return "-".join(shift(side, days) if side else "" for side in sides)
        except MalformedDateError:
            continue
    raise MalformedDateError
