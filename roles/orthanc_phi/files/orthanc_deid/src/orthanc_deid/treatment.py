# SPDX-License-Identifier: GPL-3.0-or-later
"""The treatment of one instance: each noted element by its rule, the bytes between as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from orthanc_deid.actions import Action, Rule, choose
from orthanc_deid.attribute_types import TypeTree
from orthanc_deid.cleaning import cap_age, clean_value
from orthanc_deid.content_items import CONTENT_SEQUENCES, ContentTree, ItemRule, content_tree
from orthanc_deid.dates import MalformedDateError, shift_value
from orthanc_deid.dummies import dummy_code_item, dummy_value
from orthanc_deid.elements import Element, Item, Syntax, Table, Walker
from orthanc_deid.leak_watch import LeakWatch
from orthanc_deid.leaks import is_searched, tag_label
from orthanc_deid.plan import CHARSET, LOOK
from orthanc_deid.private import BY_CREATOR, with_rules
from orthanc_deid.public_codes import CODE_ATTRIBUTES, is_public_code
from orthanc_deid.report import Change, Record
from orthanc_deid.rules import CODE_SEQUENCES, Profile, table_row
from orthanc_deid.subject import Subject
from orthanc_deid.text import VR_LENGTH, TextCleaner
from orthanc_deid.text_encoding import DEFAULT
from orthanc_deid.uids import is_valid

# Cleaned whole, with nothing that must be there missing afterwards.
_GRAPHIC_ANNOTATIONS: Final = 0x00700001
_CONCEPT_NAME: Final = 0x0040A043
_SHAPED: Final = CONTENT_SEQUENCES | {_GRAPHIC_ANNOTATIONS, _CONCEPT_NAME}
_UNFORMATTED_TEXT: Final = 0x00700006  # listed for itself, and cleaned as all text beside it
_MAPPINGS: Final = frozenset({Action.SHIFT, Action.REMAP, Action.KEEP_UID, Action.CAP_AGE})
_CLEAN_INSIDE: Final = Rule(Action.CLEAN, "text inside a sequence that is cleaned")
_NO_TYPES: Final = TypeTree()

Chunks = list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Context:
    """What is the same for every element of an instance.

    Attributes:
        map_uid: gives the new UID of a UID.
        scrub_tables: the entries for sequences that are made anonymous in their own shape.
        types: the Types in the IOD of the instance, or None if that is not known.
        record: where what is done is noted.
        cleaner: gives the rules of text cleaning for the study; only called if text is cleaned.
        own: encoded elements, in order of their tags, that stand at the top level whatever the
            input says there.
    """

    profile: Profile
    subject: Subject
    map_uid: Callable[[str], str]
    scrub_tables: Mapping[Syntax, Table]
    types: TypeTree | None
    record: Record
    cleaner: Callable[[], TextCleaner]
    own: Mapping[int, bytes]


@dataclass(slots=True)
class _Scope:
    """Where in the instance an element stands."""

    syntax: Syntax
    types: TypeTree
    charset: bytes = DEFAULT
    path: str = ""
    public_code: bool = False
    clean: bool = False  # whether all text is cleaned here
    shaped: bool = False  # whether a text of which nothing is left becomes a dummy
    tree: ContentTree | None = None  # whose content items are here
    item_rule: ItemRule | None = None  # for the value of the content item


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
        leaks: learns which values go and which stay.
    """

    context: Context
    data: bytes
    walker: Walker
    leaks: LeakWatch
    _view: memoryview = field(init=False)
    _cleaner: TextCleaner | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._view = memoryview(self.data)

    def data_set(self, elements: list[Element], start: int, end: int, syntax: Syntax) -> Chunks:
        """Return the new data set, with the engine's own elements in their places."""
        scope = _Scope(syntax, self.context.types or _NO_TYPES)
        own = iter(self.context.own.items())
        pending = next(own, None)
        chunks: Chunks = []
        for element in self._ruled(elements):
            while pending is not None and pending[0] <= element.entry.tag:
                place = self.walker.first_after(pending[0], start, element.start, syntax)
                chunks += (self._view[start:place], pending[1])
                start = place
                pending = next(own, None)
            if element.entry.tag in self.context.own:
                self.leaks.goes(element, scope.charset)
                treated: Chunks | None = []
            else:
                treated = self._treat(element, scope)
            if treated is not None:
                chunks.append(self._view[start : element.start])
                chunks += treated
                start = element.end
        while pending is not None:
            place = self.walker.first_after(pending[0], start, end, syntax)
            chunks += (self._view[start:place], pending[1])
            start = place
            pending = next(own, None)
        chunks.append(self._view[start:end])
        return chunks

    def _ruled(self, elements: list[Element]) -> list[Element]:
        """Give private elements their rules, which depend on their creators."""
        if any(element.entry.rule is BY_CREATOR for element in elements):
            return with_rules(self.context.profile.private, self.data, elements)
        return elements

    def _content(self, item: Item, scope: _Scope) -> Chunks | None:
        """Return the new content of an item, or None if it stays as it is."""
        chunks: Chunks = []
        start = item.value
        for element in self._ruled(item.elements):
            treated = self._treat(element, scope)
            if treated is not None:
                chunks.append(self._view[start : element.start])
                chunks += treated
                start = element.end
        if not chunks:
            return None
        chunks.append(self._view[start : item.stop])
        return chunks

    def _treat(self, element: Element, scope: _Scope) -> Chunks | None:
        """Return what stands for an element, nothing if it goes, or None if it stays."""
        rule = self._rule(element, scope)
        if rule is None:
            return self._items(element, element.items, scope)
        kind = scope.types.types.get(element.entry.tag)
        action = choose(rule.code, kind, iod_known=self.context.types is not None)
        if action is Action.KEEP or self._is_code(element, scope):
            return self._keep(element, scope)
        if action is Action.CLEAN:
            return self._clean(element, rule, scope)
        if action in _MAPPINGS:
            return self._transform(element, action, rule, scope)
        return self._take(element, action, rule, scope)

    def _rule(self, element: Element, scope: _Scope) -> Rule | None:
        """Return the rule for an element where it stands, None for a sequence without one."""
        tag, rule = element.entry.tag, element.entry.rule
        if scope.item_rule is not None and tag in scope.item_rule.attributes:
            return scope.item_rule.rule
        unruled = rule is LOOK or (scope.shaped and tag == _UNFORMATTED_TEXT)
        if scope.clean and unruled and element.entry.vr in VR_LENGTH:
            return _CLEAN_INSIDE
        return rule if isinstance(rule, Rule) else None

    def _is_code(self, element: Element, scope: _Scope) -> bool:
        return scope.public_code and element.entry.tag in CODE_ATTRIBUTES

    def _clean(self, element: Element, rule: Rule, scope: _Scope) -> Chunks | None:
        """Clean a text, or all texts in a sequence."""
        tag, vr = element.entry.tag, element.entry.vr
        if vr == "SQ":
            return self._items(element, element.items, self._cleaning_scope(element, scope))
        value = self.data[element.value : element.stop]
        if not value:
            return None
        new, kinds = clean_value(self._text_cleaner(), vr, value, scope.charset)
        if self.leaks.finds(vr, new, scope.charset):
            # What the rules for text did not see for what it is.
            new, kinds = b"", (*kinds, "identifier")
        if not kinds:
            self._look(element, scope)
            return None
        self.leaks.goes(element, scope.charset)
        path = scope.path + tag_label(tag)
        self.context.record.cleaned.update((path, kind) for kind in kinds)
        if not new.strip():
            return self._take(element, self._of_nothing(tag, scope), rule, scope)
        self._note(element, Action.CLEAN, rule, scope)
        self.leaks.stays(scope.path, tag, vr, new, scope.charset)
        return self._encode(element, new, scope)

    def _of_nothing(self, tag: int, scope: _Scope) -> Action:
        """Return what becomes of a text of which cleaning leaves nothing."""
        kind = scope.types.types.get(tag)
        if kind is None and (scope.shaped or table_row(tag) is None):
            return Action.REPLACE  # its Type is not known, and a dummy is valid for each
        return choose("X/Z/D", kind, iod_known=self.context.types is not None)

    def _cleaning_scope(self, element: Element, scope: _Scope) -> _Scope:
        """Return the scope for the items of a sequence in which all text is cleaned."""
        tag, tree = element.entry.tag, scope.tree
        if tag in CONTENT_SEQUENCES and tree is None:
            tree = content_tree(self.context.profile.options, element)
        return replace(scope, clean=True, shaped=scope.shaped or tag in _SHAPED, tree=tree)

    def _text_cleaner(self) -> TextCleaner:
        if self._cleaner is None:
            self._cleaner = self.context.cleaner()
        return self._cleaner

    def _keep(self, element: Element, scope: _Scope) -> Chunks | None:
        if element.entry.vr == "SQ" and element.entry.tag >> 16 & 1:
            # Private sequences are walked only where they stay.
            return self._items(element, self.walker.items_of(element), scope)
        if element.items is not None:
            return self._items(element, element.items, scope)
        self._look(element, scope)
        return None

    def _look(self, element: Element, scope: _Scope) -> None:
        """Remember a value that stays, for the leak check."""
        tag, vr = element.entry.tag, element.entry.vr
        if tag == CHARSET:
            scope.charset = self.data[element.value : element.stop]
        elif is_searched(tag, vr, element.stop - element.value):
            value = self.data[element.value : element.stop]
            self.leaks.stays(scope.path, tag, vr, value, scope.charset)

    def _transform(
        self, element: Element, action: Action, rule: Rule, scope: _Scope
    ) -> Chunks | None:
        """Shift dates, remap UIDs, or cap ages."""
        if element.entry.sequence:
            return self._scrub(element, scope)
        value = self.data[element.value : element.stop]
        try:
            new = self._mapped(element.entry.vr, value, action)
        except MalformedDateError:
            path = scope.path + tag_label(element.entry.tag)
            self.context.record.problems[path, "not a date, time or age by the standard"] += 1
            kind = scope.types.types.get(element.entry.tag)
            fallback = choose("X/Z/D", kind, iod_known=True)
            return self._take(element, fallback, rule, scope)
        if new == value.rstrip(b" \0"):
            return None
        self._note(element, action, rule, scope)
        return self._encode(element, new, scope)

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
            uid if not uid or (keep and is_valid(uid)) else self.context.map_uid(uid) for uid in old
        ).encode()

    def _take(self, element: Element, action: Action, rule: Rule, scope: _Scope) -> Chunks | None:
        """Take the value away: with the attribute, or leaving it empty or with a dummy."""
        tag, vr = element.entry.tag, element.entry.vr
        if action is Action.REPLACE and vr == "UI":
            return self._transform(element, Action.REMAP, rule, scope)
        self.leaks.goes(element, scope.charset)
        self._note(element, action, rule, scope)
        if action is Action.REMOVE:
            return []
        if action is Action.EMPTY:
            return self._encode(element, b"", scope)
        if tag in CODE_SEQUENCES:
            return self._encode(element, dummy_code_item(element.syntax), scope)
        if vr == "SQ":
            return self._scrub(element, scope)
        return self._encode(element, dummy_value(tag, vr), scope)

    def _scrub(self, element: Element, scope: _Scope) -> Chunks | None:
        """Let a sequence keep its shape, its references and public codes, and nothing else."""
        self.leaks.goes(element, scope.charset)
        walker = Walker(self.data, self.context.scrub_tables)
        return self._items(element, walker.items_of(element), scope)

    def _items(
        self, element: Element, items: Iterable[Item] | None, scope: _Scope
    ) -> Chunks | None:
        """Treat the items of a sequence, and give the sequence its new lengths."""
        if items is None:
            return None
        tag = element.entry.tag
        inner = replace(
            scope,
            syntax=element.syntax,
            types=scope.types.items.get(tag, _NO_TYPES),
            path=f"{scope.path}{tag_label(tag)}/",
        )
        chunks: Chunks = []
        start = element.value
        left = False
        for item in items:
            inner.charset = scope.charset
            inner.public_code = is_public_code(self.data, item)
            inner.item_rule = inner.tree.rule(self.data, item) if inner.tree else None
            if inner.item_rule is not None and inner.item_rule.removes:
                self._leave_out(element, item, inner.item_rule.rule, scope)
                chunks.append(self._view[start : item.start])
                start = item.end
                continue
            left = True
            content = self._content(item, inner)
            if content is not None:
                chunks.append(self._view[start : item.start])
                chunks += self._with_length(item.start, item.value, content, element.syntax)
                start = item.stop
        if not chunks:
            return None
        if not left:
            is_type_2 = scope.types.types.get(tag, "").startswith("2")
            return self._encode(element, b"", scope) if is_type_2 else []
        chunks.append(self._view[start : element.stop])
        new = self._with_length(element.start, element.value, chunks, scope.syntax)
        new.append(self._view[element.stop : element.end])
        return new

    def _leave_out(self, sequence: Element, item: Item, rule: Rule, scope: _Scope) -> None:
        """Take note of a content item that goes, with all that it holds."""
        for element in item.elements:
            self.leaks.goes(element, scope.charset)
        self._note(sequence, Action.REMOVE, rule, scope)

    def _with_length(self, start: int, value: int, content: Chunks, syntax: Syntax) -> Chunks:
        """Put a header before its changed content; an undefined length stays undefined."""
        head = self.data[start:value]
        if head[-4:] != b"\xff\xff\xff\xff":
            head = head[:-4] + syntax.u32.pack(sum(map(len, content)))
        return [head, *content]

    def _encode(self, element: Element, value: bytes, scope: _Scope) -> Chunks:
        return [scope.syntax.element(element.entry.tag, element.entry.written_vr, value)]

    def _note(self, element: Element, action: Action, rule: Rule, scope: _Scope) -> None:
        change = _change(scope.path, element.entry.tag, action, rule.source)
        self.context.record.changes[change] += 1
