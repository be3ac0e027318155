# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a text together again without what was cut, so that it reads as if it had been written so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Stands for a moved date while the rest is cleaned; no text may carry it.
MOVED = "\ue000"
SEPARATORS = " \t_-,;:/^|=&+"

_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"'}
_NOTHING_BETWEEN = re.compile(r"[^\w\n\ue000()\[\]{}<>]{0,4}|_{1,4}")


class Cut(NamedTuple):
    """A part of the text to leave out, its kind, and the moved date that stands there instead."""

    start: int
    end: int
    kind: str
    instead: str | None = None


def rebuilt(text: str, cuts: list[Cut], moved: list[str]) -> tuple[str, list[Cut], list[str]]:
    """Return the text without the cuts, the cuts as merged, and the dates behind its MOVED marks.

    `moved` are the dates behind the marks in the text that comes in.
    """
    merged = list(_merged(text, cuts))
    earlier = iter(moved)
    dates: list[str] = []
    kept: list[str] = []
    position = 0
    for cut in merged:
        before = text[position : cut.start]
        dates += [next(earlier) for _ in range(before.count(MOVED))]
        kept.append(before)
        for _ in range(text.count(MOVED, cut.start, cut.end)):
            next(earlier)
        position = cut.end
        if cut.instead is None:
            position = _close_gap(kept, text, position)
        else:
            dates.append(cut.instead)
            kept.append(MOVED)
    kept.append(text[position:])
    dates += earlier
    result = "".join(kept)
    if not re.search(r"[^\W_]|\ue000", result):
        result = ""
    return result, merged, dates


def _merged(text: str, cuts: list[Cut]) -> Iterator[Cut]:
    """Yield the cuts in order, those that overlap or have nothing between them as one."""
    current: Cut | None = None
    for cut in sorted(cuts, key=lambda c: (c.start, -c.end)):
        if current is None:
            current = cut
        elif cut.start < current.end:
            if cut.end > current.end or (current.instead is not None and cut.end == current.end):
                current = Cut(current.start, max(cut.end, current.end), current.kind)
        elif (
            current.instead is None
            and cut.instead is None
            and _NOTHING_BETWEEN.fullmatch(text, current.end, cut.start)
        ):
            current = Cut(current.start, cut.end, current.kind)
        else:
            yield current
            current = cut
    if current is not None:
        yield current


def _close_gap(kept: list[str], text: str, position: int) -> int:
    """End `kept` as the text must go on at the position that is returned."""
    trailing = _take_trailing(kept)
    separators, position = _separators(text, position)
    while kept and text[position : position + 1] == _BRACKETS.get(kept[-1][-1]):
        kept[-1] = kept[-1][:-1]
        trailing = _take_trailing(kept)
        separators, position = _separators(text, position + 1)
    following = text[position : position + 1]
    if following and following in ".!?" and not kept:
        # The end of a sentence of which nothing is left.
        return _separators(text, position + 1)[1]
    if following and following in ".!?" and kept[-1][-1] in ".!?":
        return position + 1
    if kept and kept[-1][-1] not in "([{\n\r" and following and following not in ".!?)]}\n\r":
        kept.append(next((s for s in (trailing, separators) if s.strip()), " "))
    return position


def _separators(text: str, position: int) -> tuple[str, int]:
    """Return the separators from here on, and where they end."""
    end = position
    while end < len(text) and text[end] in SEPARATORS:
        end += 1
    return text[position:end], end


def _take_trailing(kept: list[str]) -> str:
    """Take the separators off the end of what is kept and return them."""
    taken = ""
    while kept:
        stripped = kept[-1].rstrip(SEPARATORS)
        taken = kept[-1][len(stripped) :] + taken
        if stripped:
            kept[-1] = stripped
            break
        kept.pop()
    return taken
