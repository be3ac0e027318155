# SPDX-License-Identifier: GPL-3.0-or-later
"""What a status of C-STORE, or a failure reason of STOW-RS, means for the instance.

PS3.4 section B.2.3 and PS3.7 annex C name the statuses; PS3.18 section 10.5.3 uses the same
numbers.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Verdict(Enum):
    """What became of an instance."""

    STORED = "stored"
    LATER = "not stored now"
    REFUSED = "refused"


class _Meaning(NamedTuple):
    first: int
    last: int
    verdict: Verdict
    words: str


_MEANINGS: Final = (
    _Meaning(0x0000, 0x0000, Verdict.STORED, "success"),
    # Warnings: stored, with elements changed or left out by the destination.
    _Meaning(0xB000, 0xBFFF, Verdict.STORED, "stored with a warning"),
    _Meaning(0x0111, 0x0111, Verdict.STORED, "it has the instance"),
    _Meaning(0x0110, 0x0110, Verdict.LATER, "processing failure"),
    _Meaning(0x0213, 0x0213, Verdict.LATER, "resource limitation"),
    _Meaning(0xA700, 0xA7FF, Verdict.LATER, "out of resources"),
    _Meaning(0x0122, 0x0122, Verdict.REFUSED, "SOP class not supported"),
    _Meaning(0x0124, 0x0124, Verdict.REFUSED, "not authorized"),
    _Meaning(0xA900, 0xA9FF, Verdict.REFUSED, "the data set does not match its SOP class"),
    _Meaning(0xC000, 0xCFFF, Verdict.REFUSED, "it cannot be understood"),
)


def judge(status: int) -> tuple[Verdict, str]:
    """Return what a status means, and words for people; what is not known counts as refused."""
    for meaning in _MEANINGS:
        if meaning.first <= status <= meaning.last:
            return meaning.verdict, f"{meaning.words} (status {status:04X})"
    return Verdict.REFUSED, f"status {status:04X}"
