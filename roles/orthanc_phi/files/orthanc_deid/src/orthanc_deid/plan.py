# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile made ready for the walk: the entry of each element by its first bytes.

The tables fill themselves as elements are met, so that each tag and VR is thought about once in
the life of a process.
"""

from collections.abc import Callable
from typing import Final

from orthanc_deid.actions import Action, Rule
from orthanc_deid.dictionary import dictionary_vr
from orthanc_deid.elements import (
    BINARY_VRS,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM_END,
    ITEM_END_ENTRY,
    LONG_VRS,
    VRS,
    Entry,
    Syntax,
    format_tag,
)
from orthanc_deid.errors import Quarantine
from orthanc_deid.text_encoding import NUMBER_VRS, TEXT_VRS

# Elements are kept in the tables up to this number; a file may hold any number of odd ones.
MAX_ENTRIES: Final = 65536
# VRs whose values are understood wherever they turn up, also if the VR as written says less.
_TELLING_VRS: Final = frozenset({"DA", "DT", "TM", "UI", "PN", "SQ"})
# A value that is kept and must still be looked at: by the leak check, or for the character set.
CHARSET: Final = 0x00080005
SOP_CLASS: Final = 0x00080016
LOOK: Final = Rule(Action.KEEP, "kept")

RuleOf = Callable[[int, str], Rule | None]


class EntryTable(dict[bytes, Entry | None]):
    """From the first bytes of an element to its entry, for one syntax and one set of rules."""

    def __init__(self, syntax: Syntax, rule_of: RuleOf, *, look: bool) -> None:
        super().__init__()
        self._look = look
        self._syntax = syntax
        self._rule_of = rule_of

    def __missing__(self, key: bytes) -> Entry | None:
        entry = self._entry(key)
        if len(self) < MAX_ENTRIES:
            self[key] = entry
        return entry

    def _entry(self, key: bytes) -> Entry | None:
        tag = self._syntax.tag_at(key, 0)
        if tag >> 16 == 0xFFFE:
            return _delimiter(tag)
        known = dictionary_vr(tag) or "UN"
        written = key[4:6].decode("latin-1") if self._syntax.explicit else known
        if written not in VRS:
            raise Quarantine(
                "unreadable",
                f"{format_tag(tag)} has a value representation that DICOM does not know; "
                "get the file again from its source",
            )
        vr = known if written == "UN" or known in _TELLING_VRS - {"SQ"} else written
        rule = self._rule_of(tag, vr)
        # What is private and goes is not walked: it may hold anything under any name.
        sequence = vr == "SQ" and not tag >> 16 & 1
        if self._look and rule is None and not sequence and _is_looked_at(tag, vr):
            rule = LOOK
        long = written in LONG_VRS or not self._syntax.explicit
        if rule is None and not sequence and not self._may_be_undefined(written):
            return None
        plain = not sequence and not (self._syntax.explicit and long)
        return Entry(tag, vr, written, long, sequence, rule is not None, rule, plain)

    def _may_be_undefined(self, written: str) -> bool:
        """Tell whether the length may be undefined, or takes another form than most."""
        if self._syntax.explicit:
            return written in LONG_VRS
        return written in BINARY_VRS


def _is_looked_at(tag: int, vr: str) -> bool:
    return vr in TEXT_VRS or vr in BINARY_VRS or vr in NUMBER_VRS or tag == SOP_CLASS


def _delimiter(tag: int) -> Entry:
    if tag == ITEM_END:
        return ITEM_END_ENTRY
    raise Quarantine(
        "unreadable",
        f"{format_tag(tag)} stands outside a sequence; get the file again from its source",
    )


def make_tables(rule_of: RuleOf, *, look: bool) -> dict[Syntax, EntryTable]:
    """Return the tables of all syntaxes for one set of rules.

    Args:
        rule_of: the rule of a tag and VR, or None if it is not to be noted.
        look: whether to note, besides, everything that holds text or unknown bytes.
    """
    syntaxes = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
    return {syntax: EntryTable(syntax, rule_of, look=look) for syntax in syntaxes}
