# SPDX-License-Identifier: GPL-3.0-or-later
"""The treatment of one instance: each noted element by its rule, the bytes between as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from orthanc_deid.actions import Action, Rule, choose
from orthanc_deid.cleaning import cap_age, clean_value
from orthanc_deid.content_items import CONTENT_SEQUENCES, content_tree
from orthanc_deid.dates import MalformedDateError, shift_value
from orthanc_deid.dummies import dummy_code_item, dummy_value
from orthanc_deid.elements import Element, Entry, Item, Syntax, Table, Walker, padded
from orthanc_deid.leak_watch import terms_in
from orthanc_deid.leaks import holds_term, is_number, is_searched, tag_label
from orthanc_deid.places import MAX_REMEMBERED, Chunks, Effects, Kept, Place, Treated
from orthanc_deid.plan import CHARSET, LOOK
from orthanc_deid.private import ruled_entries, with_entry
from orthanc_deid.public_codes import CODE_ATTRIBUTES, SCHEME, VERSION, is_public_code
from orthanc_deid.report import Change
from orthanc_deid.rules import CODE_SEQUENCES, Profile, table_row
from orthanc_deid.subject import Subject
from orthanc_deid.text import VR_LENGTH, TextCleaner
from orthanc_deid.text_encoding import NUMBER_VRS
from orthanc_deid.uids import is_valid

# Cleaned whole, with nothing that must be there missing afterwards.
_GRAPHIC_ANNOTATIONS: Final = 0x00700001
_CONCEPT_NAME: Final = 0x0040A043
_SHAPED: Final = CONTENT_SEQUENCES | {_GRAPHIC_ANNOTATIONS, _CONCEPT_NAME}
_UNFORMATTED_TEXT: Final = 0x00700006  # listed for itself, and cleaned as all text beside it
_SCHEME: Final = frozenset({SCHEME, VERSION})  # without which no code means anything
_MAPPINGS: Final = frozenset({Action.SHIFT, Action.REMAP, Action.KEEP_UID, Action.CAP_AGE})
_DOTS_OF_A_UID: Final = 4
_UID_IN_TEXT: Final = re.compile(rb"[0-9]+(?:\.[0-9]+){4,}")
_CLEAN_INSIDE: Final = Rule(Action.CLEAN, "text inside a sequence that is cleaned")


@dataclass(frozen=True, slots=True)
class Context:
    """What is the same for every element of an instance.

    Attributes:
        map_uid: gives the new UID of a UID.
        scrub_tables: the entries for sequences that are made anonymous in their own shape.
        iod_known: whether the Types in the IOD of the instance are known.
        identifiers: terms that must not be found in a text that was cleaned, see `leaks`.
        cleaner: gives the rules of text cleaning for the study, by whether short codes go; only
            called if text is cleaned.
        own: encoded elements, in order of their tags, that stand at the top level whatever the
            input says there.
    """

    profile: Profile
    subject: Subject
    map_uid: Callable[[str], str]
    scrub_tables: Mapping[Syntax, Table]
    iod_known: bool
    identifiers: frozenset[str]
    cleaner: Callable[[bool], TextCleaner]
    own: Mapping[int, bytes]


@lru_cache(maxsize=65536)
def _change(parent: str, tag: int, action: Action, source: str) -> Change:
    return Change(parent + tag_label(tag), str(action), source)


@dataclass(slots=True)
class Treatment:
    """Treats the elements of one instance.

    Args:
        context: what is the same for all of them.
        data: the bytes that hold the data set.
        walker: what found the elements.

    Attributes:
        parts: what became of the elements of the top level.
    """

    context: Context
    data: bytes
    walker: Walker
    parts: list[Treated] = field(init=False, default_factory=list)
    _effects: Effects = field(init=False, default_factory=Effects)
    _view: memoryview = field(init=False)
    _cleaners: dict[bool, TextCleaner] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._view = memoryview(self.data)

    def data_set(self, elements: list[Element], start: int, end: int, place: Place) -> Chunks:
        """Return the new data set, with the engine's own elements in their places."""
        own = self.context.own
        pending = list(own)[::-1]  # the next one last
        chunks: Chunks = []
        entries = ruled_entries(self.context.profile.private, self.data, elements)
        for element, entry in zip(elements, entries, strict=True):
            tag = entry.tag
            while pending and pending[-1] <= tag:
                start = self._insert(pending.pop(), start, element.start, place, chunks)
            treated = (
                self._gone(element, place) if tag in own else self._treated(element, entry, place)
            )
            self.parts.append(treated)
            if treated.chunks is not None:
                if start < element.start:
                    chunks.append(self._view[start : element.start])
                chunks += treated.chunks
                start = element.end
        while pending:
            start = self._insert(pending.pop(), start, end, place, chunks)
        chunks.append(self._view[start:end])
        return chunks

    def _insert(self, tag: int, start: int, end: int, place: Place, chunks: Chunks) -> int:
        """Put an element of the engine's own in its place between two offsets."""
        stop = self.walker.first_after(tag, start, end, place.syntax)
        if start < stop:
            chunks.append(self._view[start:stop])
        chunks.append(self.context.own[tag])
        return stop

    def effects(self) -> Effects:
        """Return all that was done besides the bytes of the data set."""
        effects = Effects()
        for part in self.parts:
            effects.add(part.effects)
        return effects

    def _content(self, item: Item, place: Place) -> Chunks | None:
        """Return the new content of an item, or None if it stays as it is."""
        chunks: Chunks = []
        start = item.value
        entries = ruled_entries(self.context.profile.private, self.data, item.elements)
        for element, entry in zip(item.elements, entries, strict=True):
            if element.items is None:
                new = self._treat(with_entry(element, entry), place)
            else:
                treated = self._treated(element, entry, place)
                self._effects.add(treated.effects)
                new = treated.chunks
            if new is not None:
                chunks.append(self._view[start : element.start])
                chunks += new
                start = element.end
        if not chunks:
            return None
        chunks.append(self._view[start : item.stop])
        return chunks

    def _treated(self, element: Element, entry: Entry, place: Place) -> Treated:
        """Treat an element, or recall what became of the same one."""
        if element.end - element.start > MAX_REMEMBERED:
            return self._treated_anew(element, entry, place)
        raw = self.data[element.start : element.end]
        treated = place.treated.get((entry, raw))
        if treated is None:
            treated = self._treated_anew(element, entry, place)
            place.remember(entry, raw, treated)
        return treated

    def _treated_anew(self, element: Element, entry: Entry, place: Place) -> Treated:
        outer, self._effects = self._effects, Effects()
        treated = Treated(self._treat(with_entry(element, entry), place), self._effects)
        self._effects = outer
        return treated

    def _gone(self, element: Element, place: Place) -> Treated:
        """Take away an element that the engine writes itself."""
        terms = terms_in(self.data, element, place.charset)
        return Treated([], Effects(gone=set(terms)))

    def _treat(self, element: Element, place: Place) -> Chunks | None:
        """Return what stands for an element, nothing if it goes, or None if it stays."""
        rule = self._rule(element, place)
        if rule is None:
            return self._items(element, element.items, place)
        kind = place.types.types.get(element.entry.tag)
        action = choose(rule.code, kind, iod_known=self.context.iod_known)
        if action is Action.KEEP or self._is_code(element, place):
            return self._keep(element, rule, place)
        if action is Action.CLEAN or action is Action.CLEAN_LABEL:
            return self._clean(element, rule, place)
        if action in _MAPPINGS:
            return self._transform(element, action, rule, place)
        return self._take(element, action, rule, place)

    def _rule(self, element: Element, place: Place) -> Rule | None:
        """Return the rule for an element where it stands, None for a sequence without one."""
        tag, rule = element.entry.tag, element.entry.rule
        if place.item_rule is not None and tag in place.item_rule.attributes:
            return place.item_rule.rule
        unlisted = rule is LOOK or (isinstance(rule, Rule) and rule.code == Action.CLEAN_LABEL)
        unruled = unlisted or (place.shaped and tag == _UNFORMATTED_TEXT)
        if place.clean and unruled and element.entry.vr in VR_LENGTH and tag not in _SCHEME:
            return _CLEAN_INSIDE
        return rule if isinstance(rule, Rule) else None

    def _is_code(self, element: Element, place: Place) -> bool:
        return place.public_code and element.entry.tag in CODE_ATTRIBUTES

    def _clean(self, element: Element, rule: Rule, place: Place) -> Chunks | None:
        """Clean a text, or all texts in a sequence."""
        tag, vr = element.entry.tag, element.entry.vr
        if vr == "SQ":
            return self._items(element, element.items, self._cleaned_place(element, place))
        value = self.data[element.value : element.stop]
        if not value:
            return None
        rules = self._text_cleaner(codes=rule.code != Action.CLEAN_LABEL)
        new, kinds = clean_value(rules, vr, value, place.charset)
        if holds_term(vr, new, place.charset, self.context.identifiers):
            # What the rules for text did not see for what it is.
            new, kinds = b"", (*kinds, "identifier")
        if not kinds:
            self._stays(element, value, place)
            return None
        self._goes(element, place)
        path = place.path + tag_label(tag)
        self._effects.cleaned += [(path, kind) for kind in kinds]
        if not new.strip():
            return self._take(element, self._of_nothing(tag, place), rule, place)
        self._note(element, Action.CLEAN, rule, place)
        self._stays(element, new, place)
        return self._encode(element, new, place)

    def _of_nothing(self, tag: int, place: Place) -> Action:
        """Return what becomes of a text of which cleaning leaves nothing."""
        kind = place.types.types.get(tag)
        if kind is None and (place.shaped or table_row(tag) is None):
            return Action.REPLACE  # its Type is not known, and a dummy is valid for each
        return choose("X/Z/D", kind, iod_known=self.context.iod_known)

    def _cleaned_place(self, element: Element, place: Place) -> Place:
        """Return the place for a sequence in which all text is cleaned."""
        tag, tree = element.entry.tag, place.tree
        if tag in CONTENT_SEQUENCES and tree is None:
            tree = content_tree(self.context.profile.options, element)
        return place.cleaning(shaped=place.shaped or tag in _SHAPED, tree=tree)

    def _text_cleaner(self, *, codes: bool) -> TextCleaner:
        rules = self._cleaners.get(codes)
        if rules is None:
            rules = self._cleaners[codes] = self.context.cleaner(codes)
        return rules

    def _keep(self, element: Element, rule: Rule, place: Place) -> Chunks | None:
        if element.entry.tag >> 16 & 1:
            if element.entry.vr == "SQ":
                # Private sequences are walked only where they stay.
                return self._items(element, self.walker.items_of(element), place)
            vr = element.entry.vr
            if vr in NUMBER_VRS and not is_number(vr, self.data[element.value : element.stop]):
                # What is safe as a number is not as anything else.
                return self._take(element, Action.REMOVE, rule, place)
        if element.items is not None:
            return self._items(element, element.items, place)
        if is_searched(element.entry.tag, element.entry.vr, element.stop - element.value):
            self._stays(element, self.data[element.value : element.stop], place)
        return None

    def _stays(self, element: Element, value: bytes, place: Place) -> None:
        """Remember a value that stays, for the leak check."""
        entry = element.entry
        if is_searched(entry.tag, entry.vr, len(value)):
            self._effects.kept.append(Kept(place.path, entry.tag, entry.vr, value, place.charset))
            if value.count(b".") >= _DOTS_OF_A_UID:
                path = place.path + tag_label(entry.tag)
                uids = _UID_IN_TEXT.findall(value)
                self._effects.texts_with_uid += [(path, uid.decode()) for uid in uids]

    def _goes(self, element: Element, place: Place) -> None:
        """Remember what a value that goes tells, for the leak check."""
        self._effects.gone.update(terms_in(self.data, element, place.charset))

    def _transform(
        self, element: Element, action: Action, rule: Rule, place: Place
    ) -> Chunks | None:
        """Shift dates, remap UIDs, or cap ages."""
        if element.entry.sequence:
            return self._scrub(element, place)
        value = self.data[element.value : element.stop]
        try:
            new = self._mapped(element.entry.vr, value, action)
        except MalformedDateError:
            path = place.path + tag_label(element.entry.tag)
            self._effects.problems.append((path, "not a date, time or age by the standard"))
            kind = place.types.types.get(element.entry.tag)
            fallback = choose("X/Z/D", kind, iod_known=True)
            return self._take(element, fallback, rule, place)
        if new == value.rstrip(b" \0"):
            return None
        self._note(element, action, rule, place)
        return self._encode(element, new, place)

    def _mapped(self, vr: str, value: bytes, action: Action) -> bytes:
        if action is Action.REMAP or action is Action.KEEP_UID:
            return self._map(value, keep=action is Action.KEEP_UID)
        if action is Action.CAP_AGE:
            age = cap_age(value)
            if age is None:
                raise MalformedDateError
            return age
        moves = self.context.profile.moves_dates
        return shift_value(vr, value, self.context.subject.date_offset if moves else 0)

    def _map(self, value: bytes, *, keep: bool) -> bytes:
        old = (uid.strip(" \0") for uid in value.decode("latin-1").split("\\"))
        return "\\".join(
            uid if not uid or (keep and is_valid(uid)) else self._new_uid(uid) for uid in old
        ).encode()

    def _new_uid(self, old: str) -> str:
        new = self._effects.uids[old] = self.context.map_uid(old)
        return new

    def _take(self, element: Element, action: Action, rule: Rule, place: Place) -> Chunks | None:
        """Take the value away: with the attribute, or leaving it empty or with a dummy."""
        tag, vr = element.entry.tag, element.entry.vr
        if action is Action.REPLACE and vr == "UI":
            return self._transform(element, Action.REMAP, rule, place)
        self._goes(element, place)
        self._note(element, action, rule, place)
        if action is Action.REMOVE:
            return []
        if action is Action.EMPTY:
            return self._encode(element, b"", place)
        if tag in CODE_SEQUENCES:
            return self._encode(element, dummy_code_item(element.syntax), place)
        if vr == "SQ":
            return self._scrub(element, place)
        return self._encode(element, dummy_value(tag, vr), place)

    def _scrub(self, element: Element, place: Place) -> Chunks | None:
        """Let a sequence keep its shape, its references and public codes, and nothing else."""
        self._goes(element, place)
        walker = Walker(self.data, self.context.scrub_tables)
        return self._items(element, walker.items_of(element), place)

    def _items(self, element: Element, items: Iterable[Item] | None, place: Place) -> Chunks | None:
        """Treat the items of a sequence, and give the sequence its new lengths."""
        if items is None:
            return None
        tag = element.entry.tag
        inside = place.inside(tag, tag_label(tag), element.syntax)
        chunks: Chunks = []
        start = element.value
        left = False
        for item in items:
            rule = inside.tree.rule(self.data, item) if inside.tree else None
            if rule is not None and rule.removes:
                self._leave_out(element, item, rule.rule, place)
                chunks.append(self._view[start : item.start])
                start = item.end
                continue
            left = True
            of_item = inside.of_item(
                charset_of(self.data, item.elements, place.charset),
                rule,
                public_code=is_public_code(self.data, item),
            )
            content = self._content(item, of_item)
            if content is not None:
                chunks.append(self._view[start : item.start])
                chunks += self._with_length(item.start, item.value, content, element.syntax)
                start = item.stop
        if not chunks:
            return None
        if not left:
            is_type_2 = place.types.types.get(tag, "").startswith("2")
            return self._encode(element, b"", place) if is_type_2 else []
        chunks.append(self._view[start : element.stop])
        new = self._with_length(element.start, element.value, chunks, place.syntax)
        new.append(self._view[element.stop : element.end])
        return new

    def _leave_out(self, sequence: Element, item: Item, rule: Rule, place: Place) -> None:
        """Take note of a content item that goes, with all that it holds."""
        for element in item.elements:
            self._goes(element, place)
        self._note(sequence, Action.REMOVE, rule, place)

    def _with_length(self, start: int, value: int, content: Chunks, syntax: Syntax) -> Chunks:
        """Put a header before its changed content; an undefined length stays undefined."""
        head = self.data[start:value]
        if head[-4:] != b"\xff\xff\xff\xff":
            head = head[:-4] + syntax.u32.pack(sum(map(len, content)))
        return [head, *content]

    def _encode(self, element: Element, value: bytes, place: Place) -> Chunks:
        tag, vr = element.entry.tag, element.entry.vr
        # By what the value is, also where the VR is written as unknown.
        return [place.syntax.element(tag, element.entry.written_vr, padded(vr, value))]

    def _note(self, element: Element, action: Action, rule: Rule, place: Place) -> None:
        self._effects.changes.append(_change(place.path, element.entry.tag, action, rule.source))


def charset_of(data: bytes, elements: Iterable[Element], outer: bytes) -> bytes:
    """Return the Specific Character Set of noted elements, or that of what they stand in."""
    for element in elements:
        if element.entry.tag == CHARSET:
            return data[element.value : element.stop]
    return outer
