# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a planted file: leaks, wrong actions, and what was lost or changed for nothing."""

from __future__ import annotations

import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import Final, NamedTuple

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from .expectation import (
    OWN,
    TEXT_VRS,
    Outcome,
    Path,
    Types,
    expected,
    row,
    safe_private,
    types_of,
)
from .planting import SAFE_WORD, TOKEN, Planted

PIXELS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_CONCEPT_NAME: Final = (
    0x0040A043  # of which the option cleans local codes, as all structured content
)
WELL_KNOWN: Final = "1.2.840.10008."
_DATE: Final = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_ANY_TYPE: Final = Types()
_CLEAN_PIXEL_DATA: Final = "113101"
# What describes how pixels are encoded, which may change where they are blanked.
_ENCODING: Final = frozenset((0x00280004, 0x00280006))


@dataclass
class Verdict:
    """What was found in one output; each finding names a path.

    Attributes:
        judged: how many attributes were looked at.
        leaks: planted text that came out.
        wrong: attributes that became what the table does not allow.
        lost: attributes that no rule touches and that are gone or changed.
        pixels: pixel data that are not the same bytes.
        uids: UIDs that became two, or two that became one.
        dates: dates that moved by other than the other dates of the file.
        uid_pairs: every old UID with its new one.
    """

    judged: int = 0
    leaks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    uid_pairs: set[tuple[str, str]] = field(default_factory=set, repr=False)


class _Scope(NamedTuple):
    path: Path
    types: Types
    iod_known: bool
    cleaned: bool = False  # whether all text is cleaned here


def judge(planted: Planted, output: bytes, options: frozenset[str]) -> Verdict:
    """Compare a planted file with what a de-identifier made of it.

    Args:
        planted: the input.
        output: a DICOM file.
        options: the columns of Table E.1-1 that the de-identifier claims.
    """
    return _Judge(planted, output, options).verdict


class _Judge:
    def __init__(self, planted: Planted, output: bytes, options: frozenset[str]) -> None:
        self.verdict = Verdict()
        self._options = options
        self._tokens = planted.tokens
        self._offsets: list[tuple[str, int]] = []
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            before, after = read(planted.data), read(output)
            self._blanked = claims(after, _CLEAN_PIXEL_DATA)
            types = types_of(str(before.get("SOPClassUID", "")))
            scope = _Scope((), types or _ANY_TYPE, types is not None)
            self._data_set(before, after, scope)
            self._leaks(output)
            self._pixels(before, after)
            self._uids(before, after)
        self._intervals()

    def _data_set(self, before: Dataset, after: Dataset, scope: _Scope) -> None:
        for element in before:
            tag = int(element.tag)
            if tag & 0xFFFF == 0 or tag in OWN or tag in PIXELS or tag < 0x00080000:
                continue
            if element.tag.is_private:
                self._private(before, after, element, scope.path)
                continue
            kind = scope.types.types.get(tag)
            vr = _vr(element)
            allowed = expected(tag, vr, kind, self._options, iod_known=scope.iod_known)
            if allowed is None:
                self._untouched(element, after, scope)
            else:
                self._listed(element, after, allowed, scope)

    def _untouched(self, element: DataElement, after: Dataset, scope: _Scope) -> None:
        tag = int(element.tag)
        if not dictionary_has_tag(tag) or tag >> 24 == 0x60:
            return  # nobody can know what it is; an overlay plane goes as a whole
        self.verdict.judged += 1
        other = after.get(element.tag)
        if element.VR == "SQ" and other is not None:
            local = tag == _CONCEPT_NAME and "cleanStructCont" in self._options
            self._items(element, other, scope._replace(cleaned=scope.cleaned or local))
        elif (scope.cleaned and element.VR in TEXT_VRS) or (self._blanked and tag in _ENCODING):
            return
        elif other is None or not same(element, other):
            self.verdict.lost.append(label((*scope.path, tag)))

    def _listed(
        self, element: DataElement, after: Dataset, allowed: frozenset[Outcome], scope: _Scope
    ) -> None:
        self.verdict.judged += 1
        here = (*scope.path, int(element.tag))
        other = after.get(element.tag)
        if Outcome.CLEANED in allowed and not _is_judged_cleaned(element):
            return  # nobody can know what is left of it
        outcome = self._outcome(element, other, allowed, here)
        if outcome not in allowed and not _has_nothing(element, outcome):
            told = "/".join(sorted(allowed))
            self.verdict.wrong.append(f"{label(here)}: {outcome}, not {told}")
        elif outcome is Outcome.INSIDE and other is not None and element.VR == "SQ":
            cleaned = scope.cleaned or Outcome.GONE in allowed
            self._items(element, other, scope._replace(cleaned=cleaned))

    def _outcome(
        self,
        element: DataElement,
        other: DataElement | None,
        allowed: frozenset[Outcome],
        path: Path,
    ) -> Outcome:
        if other is None:
            return Outcome.GONE
        if Outcome.INSIDE in allowed and other.value:
            return Outcome.INSIDE
        if Outcome.MOVED in allowed and self._moved(element, other, path):
            return Outcome.MOVED
        if other.is_empty or (element.VR == "SQ" and not other.value):
            return Outcome.EMPTY
        if Outcome.CLEANED in allowed and SAFE_WORD in str(other.value):
            return Outcome.CLEANED
        return Outcome.SAME if same(element, other) else Outcome.OTHER

    def _moved(self, element: DataElement, other: DataElement, path: Path) -> bool:
        """Note by how many days a date moved; tell whether it may count as moved."""
        old, new = _text(element), _text(other)
        if element.VR == "TM":
            return old.strip() == new.strip()
        days = _days(old), _days(new)
        if len(days[0]) != len(days[1]) or not days[0]:
            return old.strip() == new.strip()
        self._offsets += [(label(path), b - a) for a, b in zip(*days, strict=True)]
        moves = "rtnLongModifDates" in self._options
        return (days[0] != days[1]) == moves and _DATE.sub("", old) == _DATE.sub("", new)

    def _items(self, element: DataElement, other: DataElement, scope: _Scope) -> None:
        here = (*scope.path, int(element.tag))
        if len(element.value) != len(other.value):
            self.verdict.lost.append(f"{label(here)}: {len(other.value)} of its items are left")
            return
        types = scope.types.items.get(int(element.tag), _ANY_TYPE)
        for before, after in zip(element.value, other.value, strict=True):
            self._data_set(before, after, scope._replace(path=here, types=types))

    def _private(self, before: Dataset, after: Dataset, element: DataElement, path: Path) -> None:
        tag = int(element.tag)
        if element.tag.is_private_creator:
            return
        self.verdict.judged += 1
        creator = str(getattr(before.get((tag >> 16) << 16 | (tag >> 8 & 0xFF)), "value", "") or "")
        safe = safe_private().get((tag >> 16, creator.strip()), {}) if self._keeps_private else {}
        other = after.get(element.tag)
        if f"{tag & 0xFF:02X}" not in safe:
            if other is not None:
                self.verdict.wrong.append(f"{label((*path, tag))}: private and not safe, but kept")
        elif not element.is_empty and (other is None or other.is_empty):
            self.verdict.wrong.append(f"{label((*path, tag))}: private and safe, but {other}")

    @property
    def _keeps_private(self) -> bool:
        return "rtnSafePriv" in self._options

    def _leaks(self, output: bytes) -> None:
        found = set(TOKEN.findall(inflated(output).lower()))
        for token, path in self._tokens.items():
            if token.lower() in found and not self._may_stay(path):
                self.verdict.leaks.append(label(path) if path else "file head")

    def _may_stay(self, path: Path) -> bool:
        """Tell whether an option retains an attribute, by itself or with its sequence."""
        for tag in reversed(path):
            found = row(tag)
            if found is not None:
                return any(found[4].get(option) == "K" for option in self._options)
        return False

    def _pixels(self, before: Dataset, after: Dataset) -> None:
        """Compare the bytes of pixels, unless the output says that they were cleaned."""
        for tag in PIXELS:
            if tag not in before or (tag in after and before[tag].value == after[tag].value):
                continue
            if tag not in after or not self._blanked:
                self.verdict.pixels.append(label((tag,)))

    def _uids(self, before: Dataset, after: Dataset) -> None:
        self.verdict.uid_pairs = set(_uid_pairs(before, after))
        self.verdict.uids = split_or_collided(self.verdict.uid_pairs)

    def _intervals(self) -> None:
        if self._offsets:
            ((usual, _),) = Counter(days for _, days in self._offsets).most_common(1)
            self.verdict.dates = [path for path, days in self._offsets if days != usual]


def claims(dataset: Dataset, code: str) -> bool:
    """Tell whether (0012,0064) names a code of CID 7050."""
    items = dataset.get("DeidentificationMethodCodeSequence") or ()
    return any(item.get("CodeValue") == code for item in items)


def read(data: bytes) -> Dataset:
    """Read a DICOM file, whatever it lacks."""
    return pydicom.dcmread(BytesIO(data), force=True)


def inflated(data: bytes) -> bytes:
    """Return the bytes of a file, with those of its data set inflated if they are deflated."""
    meta = pydicom.dcmread(BytesIO(data), force=True, stop_before_pixels=True).file_meta
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return data
    start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
    return data + zlib.decompress(data[start:], -zlib.MAX_WBITS)


def split_or_collided(pairs: set[tuple[str, str]]) -> list[str]:
    """Return what is wrong with a mapping of UIDs that should be one to one."""
    wrong = []
    for side, what in ((0, "became two"), (1, "stands for two")):
        counted = Counter(pair[side] for pair in pairs)
        wrong += [f"a UID {what}" for count in counted.values() if count > 1]
    return wrong


def _uid_pairs(before: Dataset, after: Dataset) -> Iterator[tuple[str, str]]:
    for element in before:
        other = after.get(element.tag)
        if other is None or other.VR != element.VR or element.tag.is_private:
            continue
        if element.VR == "SQ" and len(element.value) == len(other.value):
            for item, new in zip(element.value, other.value, strict=True):
                yield from _uid_pairs(item, new)
        elif element.VR == "UI" and not element.is_empty and not other.is_empty:
            old, new = _values(element), _values(other)
            if len(old) == len(new):
                yield from (
                    p for p in zip(old, new, strict=True) if not p[0].startswith(WELL_KNOWN)
                )


def _values(element: DataElement) -> list[str]:
    value = element.value
    return [str(value)] if isinstance(value, str) else [str(one) for one in value]


def _vr(element: DataElement) -> str:
    """Return the VR, for what pydicom does not know yet by Table E.1-1."""
    found = row(int(element.tag)) if element.VR == "UN" else None
    return str(found[2] if found and found[2] else element.VR)


def _text(element: DataElement) -> str:
    value = element.value
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip(" \0")


def _days(value: str) -> list[int]:
    try:
        return [date(*map(int, found)).toordinal() for found in _DATE.findall(value)]
    except ValueError:
        return []


def _is_judged_cleaned(element: DataElement) -> bool:
    """Tell whether a text holds the word that must stay; sequences are judged by their items."""
    return element.VR == "SQ" or SAFE_WORD in str(element.value)


def _has_nothing(element: DataElement, outcome: Outcome) -> bool:
    """Tell whether there was nothing to treat: what was empty may stay so."""
    return _is_bare(element) and outcome in (Outcome.EMPTY, Outcome.SAME)


def _is_bare(element: DataElement) -> bool:
    if element.VR != "SQ":
        return bool(element.is_empty)
    return all(_is_bare(inner) for item in element.value for inner in item)


def same(one: DataElement, other: DataElement) -> bool:
    """Tell whether two elements say the same; not-a-number is as good as another."""
    if one.VR != other.VR:
        return False
    alike = one.VR != "SQ" and repr(one.value) == repr(other.value)
    return bool(alike or one.value == other.value)


def label(path: Path) -> str:
    """Write a path as people know it."""
    return "/".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)
