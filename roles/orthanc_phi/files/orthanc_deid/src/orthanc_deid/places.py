# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in an instance an element stands, and what became of the same bytes there before.

The instances of a series differ in a few elements only, and the frames of one in fewer still. What
becomes of an element depends on its bytes, on the place where it stands, and on what is the same
for all instances of a study (profile, subject, what the study tells of its people). So each place
remembers what became of which bytes, with all that was done on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from orthanc_deid.attribute_types import TypeTree
from orthanc_deid.content_items import ContentTree, ItemRule
from orthanc_deid.elements import Entry, Syntax
from orthanc_deid.report import Change
from orthanc_deid.text_encoding import DEFAULT

Chunks = list[bytes | memoryview]

MAX_REMEMBERED: Final = 16384  # bytes of one element
ROOM: Final = 6 << 20  # bytes, for all that is remembered of the instances of a study
_OVERHEAD: Final = 800  # bytes that one remembered element takes besides its own
_NO_TYPES: Final = TypeTree()


class Kept(NamedTuple):
    """A value that stays or was cleaned, and where it stands."""

    parent: str
    tag: int
    vr: str
    value: bytes
    charset: bytes


@dataclass(slots=True)
class Effects:
    """What the treatment of elements does besides their bytes.

    Attributes:
        changes, problems, cleaned: for the record, see `report.Record`.
        uids: old UIDs and what they became.
        gone: the terms that values told which are gone, see `leaks`.
        kept: the values in which none of those may be found.
        texts_with_uid: where a text that stays tells a UID, and which.
    """

    changes: list[Change] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    cleaned: list[tuple[str, str]] = field(default_factory=list)
    uids: dict[str, str] = field(default_factory=dict)
    gone: set[frozenset[str]] = field(default_factory=set)
    kept: list[Kept] = field(default_factory=list)
    texts_with_uid: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Effects) -> None:
        """Add what else was done."""
        if other.changes:
            self.changes += other.changes
        if other.problems:
            self.problems += other.problems
        if other.cleaned:
            self.cleaned += other.cleaned
        if other.uids:
            self.uids.update(other.uids)
        if other.gone:
            self.gone |= other.gone
        if other.kept:
            self.kept += other.kept
        if other.texts_with_uid:
            self.texts_with_uid += other.texts_with_uid


@dataclass(slots=True, eq=False)
class Treated:
    """What became of an element.

    Attributes:
        chunks: what stands for it, nothing if it goes, None if it stays as it is.
        effects: what else was done.
        clean_of: terms that what it keeps is known not to hold.
    """

    chunks: Chunks | None
    effects: Effects
    clean_of: frozenset[str] | None = None


@dataclass(slots=True)
class Room:
    """How many bytes may still be remembered of a study's instances."""

    left: int = ROOM


@dataclass(slots=True, eq=False)
class Place:
    """Where elements stand: at the top level, or in an item of a sequence.

    Attributes:
        syntax: how they are encoded.
        types: the Types of the attributes there.
        charset: the value of Specific Character Set (0008,0005) that holds there.
        path: the sequences that lead there, as it stands before a tag in a report.
        public_code: whether the item is a code of a public scheme.
        clean: whether all text is cleaned there.
        shaped: whether a text of which nothing is left becomes a dummy there.
        tree: whose content items are there.
        item_rule: for the value of the content item.
        room: shared by all places of a study's instances.
        treated: what became of elements here, by their entries and bytes.
    """

    syntax: Syntax
    types: TypeTree
    charset: bytes = DEFAULT
    path: str = ""
    public_code: bool = False
    clean: bool = False
    shaped: bool = False
    tree: ContentTree | None = None
    item_rule: ItemRule | None = None
    room: Room = field(default_factory=Room)
    treated: dict[tuple[Entry, bytes], Treated] = field(init=False, default_factory=dict)
    _others: dict[object, Place] = field(init=False, default_factory=dict)

    def cleaning(self, *, shaped: bool, tree: ContentTree | None) -> Place:
        """Return the place where all text is cleaned."""
        key = ("cleaning", shaped, tree)
        return self._others.get(key) or self._other(key, clean=True, shaped=shaped, tree=tree)

    def inside(self, tag: int, label: str, syntax: Syntax) -> Place:
        """Return the place of the items of a sequence that stands here."""
        key = (tag, syntax)
        return self._others.get(key) or self._other(
            key,
            syntax=syntax,
            types=self.types.items.get(tag, _NO_TYPES),
            path=f"{self.path}{label}/",
            public_code=False,
            item_rule=None,
        )

    def of_item(self, charset: bytes, item_rule: ItemRule | None, *, public_code: bool) -> Place:
        """Return the place of what stands in one item, by what the item says of itself."""
        if not public_code and item_rule is None and charset == self.charset:
            return self
        key = (charset, public_code, item_rule)
        return self._others.get(key) or self._other(
            key, charset=charset, public_code=public_code, item_rule=item_rule
        )

    def _other(self, key: object, **changes: object) -> Place:
        other: Place = replace(self, **changes)  # type: ignore[arg-type] # fields of this class
        self.room.left -= _OVERHEAD
        if self.room.left > 0:
            self._others[key] = other
        return other

    def remember(self, entry: Entry, raw: bytes, treated: Treated) -> None:
        """Remember what became of an element, as long as there is room."""
        if treated.chunks:
            treated.chunks = [b"".join(treated.chunks)]
        self.room.left -= _OVERHEAD + len(raw) + sum(map(len, treated.chunks or ()))
        if self.room.left > 0:
            self.treated[entry, raw] = treated
