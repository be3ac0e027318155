# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes and what stays of an instance: nothing of the one may be found in the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from orthanc_deid.elements import Element
from orthanc_deid.errors import Quarantine
from orthanc_deid.leaks import describe_leak, holds_term, is_searched, tag_label, terms_of


class _Kept(NamedTuple):
    parent: str
    tag: int
    vr: str
    value: bytes
    charset: bytes


@lru_cache(maxsize=1024)
def _union(sets: frozenset[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


@dataclass(slots=True)
class LeakWatch:
    """Watches the values of one instance.

    Args:
        data: the bytes that hold its data set.
        identifiers: terms that must not be found in the output, see `leaks`.
    """

    data: bytes
    identifiers: frozenset[str]
    _terms: set[frozenset[str]] = field(init=False, default_factory=set)
    _kept: list[_Kept] = field(init=False, default_factory=list)

    def goes(self, element: Element, charset: bytes) -> None:
        """Take note of the identifiers in a value that goes, a sequence with all its items."""
        entry = element.entry
        if element.items is not None:
            for item in element.items:
                for inner in item.elements:
                    self.goes(inner, charset)
            return
        value = self.data[element.value : element.stop]
        terms = terms_of(entry.tag, entry.vr, value, charset)
        if terms:
            self._terms.add(terms)

    def stays(self, parent: str, tag: int, vr: str, value: bytes, charset: bytes) -> None:
        """Take note of a value that stays or was cleaned."""
        if is_searched(tag, vr, len(value)):
            self._kept.append(_Kept(parent, tag, vr, value, charset))

    def finds(self, vr: str, value: bytes, charset: bytes) -> bool:
        """Tell whether a value holds one of the identifiers."""
        return bool(self.identifiers) and holds_term(vr, value, charset, self.identifiers)

    def check(self) -> None:
        """Look for identifiers in everything that stays.

        Raises:
            Quarantine: (code `leak`) one was found.
        """
        terms = _union(frozenset({*self._terms, self.identifiers}))
        if not terms:
            return
        for kept in self._kept:
            if holds_term(kept.vr, kept.value, kept.charset, terms):
                raise Quarantine("leak", describe_leak(kept.parent + tag_label(kept.tag)))
