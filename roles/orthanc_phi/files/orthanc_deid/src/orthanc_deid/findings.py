# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds a study back until a person has looked: findings, and the person's word on them.

A finding is kept as a mark: the digest of exactly what it was found in, and what was found there.
So what a person accepts counts for that content only. An instance that comes later, or is sent
again with a change, waits for a person anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from orthanc_deid.errors import Quarantine

DIGITS: Final = 32
REVIEW: Final = "review"


class Accepted:
    """What persons have accepted of one study; `marks` are as the crosswalk keeps them."""

    def __init__(self, marks: Iterable[str] = ()) -> None:
        self._marks = frozenset(marks)
        self._by_content: dict[str, set[str]] = {}
        for mark in self._marks:
            digest, _, finding = mark.partition(" ")
            self._by_content.setdefault(digest, set()).add(finding)

    def __contains__(self, mark: str) -> bool:
        return mark in self._marks

    def of_instance(self, data: bytes) -> frozenset[str]:
        """Return the findings that are accepted in this file."""
        if not self._by_content:
            return frozenset()
        return frozenset(self._by_content.get(_digest(data), ()))


def mark_instance(data: bytes, held: Quarantine) -> Quarantine:
    """Return what holds an instance back with findings that count for this file only."""
    digest = _digest(data)
    return Quarantine(held.code, held.message, {f"{digest} {what}" for what in held.findings})


def merge(held: Iterable[Quarantine]) -> Quarantine:
    """Return what holds a study back of which several instances are held back."""
    first, *others = held
    findings = first.findings.union(*(other.findings for other in others))
    more = len(findings) - 1
    message = f"{first.message} ({more} more such findings in the study)" if more else first.message
    return Quarantine(first.code, message, findings)


def mark_result(files: Mapping[str, Path]) -> str:
    """Return the mark of a whole result that a person is to see before it goes out."""
    whole = sha256()
    for uid in sorted(files):
        whole.update(uid.encode() + sha256(files[uid].read_bytes()).digest())
    return f"{whole.hexdigest()[:DIGITS]} {REVIEW}"


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:DIGITS]
