# SPDX-License-Identifier: GPL-3.0-or-later
"""Content items of structured reports and the like: what is done to each by its concept name.

An item says what it is about by a code (its concept name) and what kind of value it has. Table
E.3.4-1 of PS3.15 lists the concepts that identify. What is not listed stays with its text cleaned,
and all other values follow the rules of their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from orthanc_deid.actions import Action, Rule, choose
from orthanc_deid.dictionary import load_table
from orthanc_deid.elements import Element, Item
from orthanc_deid.rules import EXCLUSIVE, OPTIONS, REFERENCED_ITEM

CONTENT_SEQUENCES: Final = frozenset(
    {
        0x00400555,  # Acquisition Context Sequence
        0x00400610,  # Specimen Preparation Sequence
        0x0040A730,  # Content Sequence
        0x0040B020,  # Waveform Annotation Sequence
    }
)

_VALUE_TYPE: Final = 0x0040A040
_CONCEPT_NAME: Final = 0x0040A043
_CODE_VALUES: Final = (0x00080100, 0x00080119, 0x00080120)
_SCHEME: Final = 0x00080102
_NUMERIC_VALUE: Final = 0x0040A30A
_MEASURED_VALUES: Final = 0x0040A300
_VALUE_TYPES: Final = {
    0x00700006: "TEXT",  # Unformatted Text Value, of waveform annotations
    0x0040A120: "DATETIME",
    0x0040A121: "DATE",
    0x0040A122: "TIME",
    0x0040A123: "PNAME",
    0x0040A124: "UIDREF",
    0x0040A160: "TEXT",
    0x0040A168: "CODE",
    _MEASURED_VALUES: "NUM",
    _NUMERIC_VALUE: "NUM",
}
VALUE_ATTRIBUTES: Final = frozenset(_VALUE_TYPES) - {_NUMERIC_VALUE}
_ATTRIBUTES: Final = {
    value_type: frozenset(tag for tag in VALUE_ATTRIBUTES if _VALUE_TYPES[tag] == value_type)
    for value_type in _VALUE_TYPES.values()
}
# What the rules of the attributes themselves come to in a sequence whose text is cleaned.
_AS_EVERYWHERE: Final = frozenset({Action.CLEAN, Action.SHIFT})
# A name or number is as telling if it is written as another one of these.
_WRITTEN: Final = frozenset({"TEXT", "PNAME", "UIDREF", "DATE", "TIME", "DATETIME"})
_DATES: Final = frozenset({"DATE", "TIME", "DATETIME"})
_SUBJECT_AGE: Final = "DCM 121033"
_AGES: Final = (_MEASURED_VALUES, 0x004008EA)  # Measurement Units Code Sequence
_YEARS: Final = {"a": 1.0, "mo": 1 / 12, "wk": 7 / 365.25, "d": 1 / 365.25, "h": 1 / 8766}
_OLDEST_TOLD: Final = 90


class ItemRule(NamedTuple):
    """The rule for a content item, and the attributes that can hold its value."""

    rule: Rule
    attributes: frozenset[int]

    @property
    def removes(self) -> bool:
        """Whether the whole item goes."""
        return self.rule.code == Action.REMOVE


@dataclass(frozen=True, slots=True)
class ContentTree:
    """How the content items of one tree are treated.

    Attributes:
        options: the profile's options.
        by_position: whether items are referred to by their place in the tree, so that none may
            leave it.
    """

    options: frozenset[str]
    by_position: bool

    def rule(self, data: bytes, item: Item) -> ItemRule | None:
        """Return the rule for an item, None if its attributes go by their own.

        Args:
            data: the bytes that hold the item.
            item: any item of a sequence in the tree; only content items have a rule.
        """
        concept, value_type = _described(data, item)
        rule = _rule_of(concept, value_type, self.options)
        if rule is None or rule.code in _AS_EVERYWHERE:
            return None
        if concept == _SUBJECT_AGE and rule.code == Action.KEEP and not _is_told(data, item):
            rule = Rule(Action.REMOVE, rule.source)
        if rule.code == Action.REMOVE and self.by_position:
            rule = Rule(Action.EMPTY if value_type == "NUM" else Action.REPLACE, rule.source)
        return ItemRule(rule, _ATTRIBUTES.get(value_type, frozenset()))


def content_tree(options: frozenset[str], sequence: Element) -> ContentTree:
    """Return how the items of a sequence are treated."""
    return ContentTree(options, _is_referenced(sequence))


def _is_referenced(sequence: Element) -> bool:
    return any(
        element.entry.tag == REFERENCED_ITEM or _is_referenced(element)
        for item in sequence.items or ()
        for element in item.elements
    )


@cache
def concepts() -> dict[str, dict[str, list[Any]]]:
    """Return Table E.3.4-1: scheme and code, then value type, to meaning, Basic and options."""
    return dict(load_table("structured_content.json")["concepts"])


@lru_cache(maxsize=4096)
def _rule_of(concept: str, value_type: str, options: frozenset[str]) -> Rule | None:
    rows = concepts().get(concept, {})
    row = rows.get(value_type)
    if row is None and value_type in _WRITTEN:
        row = next((rows[other] for other in rows if other in _WRITTEN), None)
    if row is None:
        return None
    _, basic, columns = row
    for wanted in ("K", "C"):
        for option in sorted(options):
            action = _granted(option, columns.get(OPTIONS[option].column), value_type, wanted)
            if action is not None:
                return Rule(action, f"PS3.15 Table E.3.4-1, {option}")
    # Which items a template demands is not known here: X/D leaves a dummy.
    action = choose(basic, None, iod_known=False)
    return Rule(action, "PS3.15 Table E.3.4-1, Basic Profile")


def _granted(option: str, code: str | None, value_type: str, wanted: str) -> Action | None:
    """Return what an option does to a value of this type, or None if it does not reach it."""
    if code != wanted:
        return None
    if option in EXCLUSIVE:
        return Action.SHIFT if value_type in _DATES else None
    if value_type == "PNAME":
        return None
    if code == "C":
        return Action.CLEAN if value_type == "TEXT" else None
    return Action.KEEP_UID if value_type == "UIDREF" else Action.KEEP


def _described(data: bytes, item: Item) -> tuple[str, str]:
    """Return scheme and code of an item's concept name, and its value type."""
    concept, written, found = "", "", ""
    for element in item.elements:
        tag = element.entry.tag
        if tag == _VALUE_TYPE:
            written = _text(data, element)
        elif tag == _CONCEPT_NAME:
            concept = next(_codes(data, element), "")
        else:
            found = found or _VALUE_TYPES.get(tag, "")
    return concept, written.upper() or found


def _codes(data: bytes, sequence: Element) -> Iterator[str]:
    for item in sequence.items or ():
        values = {element.entry.tag: _text(data, element) for element in item.elements}
        code = next((values[tag] for tag in _CODE_VALUES if values.get(tag)), "")
        yield f"{values.get(_SCHEME, '')} {code}"


def _text(data: bytes, element: Element) -> str:
    return data[element.value : element.stop].decode("latin-1").strip(" \0")


def _is_told(data: bytes, item: Item) -> bool:
    """Tell whether the age in an item is one that may be told: below 90 years."""
    elements = list(_nested(item.elements))
    numbers = [_text(data, e) for e in elements if e.entry.tag == _NUMERIC_VALUE]
    units = {_text(data, e) for e in elements if e.entry.tag in _CODE_VALUES} & _YEARS.keys()
    try:
        (number,), (unit,) = numbers, units
        return float(number) * _YEARS[unit] < _OLDEST_TOLD
    except ValueError:
        return False


def _nested(elements: Iterable[Element]) -> Iterator[Element]:
    for element in elements:
        yield element
        if element.entry.tag in _AGES:
            for item in element.items or ():
                yield from _nested(item.elements)
