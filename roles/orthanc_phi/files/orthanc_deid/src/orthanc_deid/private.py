# SPDX-License-Identifier: GPL-3.0-or-later
"""Private elements: which of them stay, by creator and block (PS3.15 E.3.10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Final, NamedTuple

from orthanc_deid.actions import Action, Rule
from orthanc_deid.dictionary import load_table
from orthanc_deid.elements import IMPLICIT_LITTLE, Element, Entry
from orthanc_deid.text import VR_LENGTH

# The lists that a profile can choose, each a table of its own.
LISTS: Final = {"standard": "safe_private.json", "tcia": "tcia_private.json"}
_SOURCES: Final = {
    "standard": "PS3.15 Table E.3.10-1",
    "tcia": "private elements that the curators of TCIA keep",
}
ANY: Final = "*"
_NAME: Final = re.compile(
    r'\(?([0-9A-Fa-f]{3}[13579BDFbdf]),\s*"([^"]+)"\s*,\s*(?:[xX]{2})?([0-9A-Fa-f]{2}|\*)\)?'
)
# A rule of this code waits for the element's creator.
BY_CREATOR: Final = Rule("private", "private attribute")
REMOVED: Final = Rule(Action.REMOVE, "private attribute")
_CREATOR: Final = Rule(Action.KEEP, "creator of private attributes that stay")


class PrivateName(NamedTuple):
    """A private element: its group, its creator, and the low byte of its number, or `ANY`."""

    group: int
    creator: str
    element: str


def parse_name(text: str) -> PrivateName | None:
    """Read `gggg,"CREATOR",ee`; creator and element may be `*`. None if it is something else."""
    match = _NAME.fullmatch(text)
    return None if match is None else PrivateName(int(match[1], 16), match[2], match[3].upper())


@cache
def _table(name: str) -> Mapping[tuple[int, str], Mapping[str, str | None]]:
    creators = load_table(LISTS[name])["creators"]
    return {(int(key[:4], 16), key[5:]): elements for key, elements in creators.items()}


@dataclass(frozen=True, eq=False)  # one per profile, and what the caches know it by
class PrivateRules:
    """What a profile keeps of private elements.

    Attributes:
        lists: names of `LISTS`.
        actions: the site's own decisions, which come first.
    """

    lists: tuple[str, ...] = ()
    actions: Mapping[PrivateName, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lists or self.actions)

    def rule(self, group: int, creator: str, element: str, vr: str) -> tuple[Rule, str]:
        """Return the rule for an element, and its VR, which a list may know where it is UN."""
        for asked in (
            PrivateName(group, creator, element),
            PrivateName(group, creator, ANY),
            PrivateName(group, ANY, ANY),
        ):
            if asked in self.actions:
                return Rule(self.actions[asked], "the site's tag_actions"), vr
        for name in self.lists:
            elements = _table(name).get((group, creator))
            if elements is not None and element in elements:
                known = elements[element] or "UN"
                vr = (known if vr == "UN" else vr).split("/")[0]
                return Rule(_action(vr), _SOURCES[name]), vr
        return REMOVED, vr


def _action(vr: str) -> Action:
    """Return what is done to a value that is safe as such: it may still hold what never is."""
    if vr == "PN":
        return Action.REMOVE
    if vr == "UI":
        return Action.REMAP
    if vr in ("DA", "DT", "TM"):
        return Action.SHIFT
    return Action.CLEAN if vr in VR_LENGTH else Action.KEEP


def ruled_entries(
    rules: PrivateRules, data: bytes, elements: Iterable[Element]
) -> tuple[Entry, ...]:
    """Return the entries of the elements of one data set or item, the private ones with rules.

    A creator stays where an element of its block does. What stands in a block without a creator
    belongs to nobody and goes.
    """
    entries = tuple([element.entry for element in elements])
    if not rules:
        return entries
    creators = tuple([data[e.value : e.stop] for e in elements if e.entry.creator])
    if not creators and not any(entry.rule is BY_CREATOR for entry in entries):
        return entries
    return _ruled(rules, entries, creators)


@lru_cache(maxsize=1024)
def _ruled(
    rules: PrivateRules, entries: tuple[Entry, ...], values: tuple[bytes, ...]
) -> tuple[Entry, ...]:
    tags = (entry.tag for entry in entries if entry.creator)
    creators = {
        (tag >> 16) << 8 | tag & 0xFF: value.decode("latin-1").strip(" \0")
        for tag, value in zip(tags, values, strict=True)
    }
    treated = [_with_rule(rules, creators, entry) for entry in entries]
    used = {
        entry.tag >> 8
        for entry in treated
        if entry.tag >> 16 & 1 and entry.rule is not REMOVED and not _is_removed(entry.rule)
    }
    return tuple(
        _entry(entry, _CREATOR, entry.vr)
        if entry.creator and (entry.tag >> 16 << 8 | entry.tag & 0xFF) in used
        else entry
        for entry in treated
    )


def with_entry(element: Element, entry: Entry) -> Element:
    """Return an element with the entry that `ruled_entries` gave it."""
    if entry is element.entry:
        return element
    if entry.vr == "SQ" and entry.written_vr == "UN":
        return element._replace(entry=entry, syntax=IMPLICIT_LITTLE)
    return element._replace(entry=entry)


def _is_removed(rule: object) -> bool:
    return isinstance(rule, Rule) and rule.code in ("X", Action.REMOVE)


def _with_rule(rules: PrivateRules, creators: Mapping[int, str], entry: Entry) -> Entry:
    if entry.rule is not BY_CREATOR:
        return entry
    creator = None if entry.creator else creators.get(entry.tag >> 8)
    return _ruled_entry(rules, entry, creator)


@lru_cache(maxsize=16384)
def _ruled_entry(rules: PrivateRules, entry: Entry, creator: str | None) -> Entry:
    if creator is None:
        return _entry(entry, REMOVED, entry.vr)
    low = f"{entry.tag & 0xFF:02X}"
    return _entry(entry, *rules.rule(entry.tag >> 16, creator, low, entry.vr))


@lru_cache(maxsize=16384)
def _entry(entry: Entry, rule: Rule, vr: str) -> Entry:
    return replace(entry, vr=vr, sequence=vr == "SQ", noted=True, rule=rule, plain=False)
