# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule holds for an attribute: the site's, then the options', then the Basic Profile's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any, Final, NamedTuple

from orthanc_deid.actions import Action, Rule
from orthanc_deid.dictionary import dictionary_vr, profile_table
from orthanc_deid.modifiers import NumberModifier
from orthanc_deid.pixel_rules import PixelRules, load_pixel_rules
from orthanc_deid.private import BY_CREATOR, REMOVED, PrivateRules
from orthanc_deid.text import VR_LENGTH
from orthanc_deid.uids import NAMES_A_CLASS
from orthanc_deid.unlisted_attributes import ALWAYS, FREE_TEXT


class Option(NamedTuple):
    """An option of PS3.15 Annex E.

    Attributes:
        column: its column in Table E.1-1; empty if it has none.
        code: its code in CID 7050; empty if the engine never claims it.
    """

    column: str
    code: str


OPTIONS: Final = {
    "retain_uids": Option("rtnUIDs", "113110"),
    "retain_device_identity": Option("rtnDevId", "113109"),
    "retain_institution_identity": Option("rtnInstId", "113112"),
    "retain_patient_characteristics": Option("rtnPatChars", "113108"),
    "retain_full_dates": Option("rtnLongFullDates", "113106"),
    "retain_modified_dates": Option("rtnLongModifDates", "113107"),
    "retain_safe_private": Option("rtnSafePriv", "113111"),
    "clean_descriptors": Option("cleanDesc", "113105"),
    "clean_pixel_data": Option("", "113101"),
    "clean_structured_content": Option("cleanStructCont", "113104"),
    "clean_graphics": Option("cleanGraph", "113103"),
    # Faces are refused and never made unrecognizable, so that 113102 would not be true.
    "clean_recognizable_visual_features": Option("", ""),
}
EXCLUSIVE: Final = ("retain_full_dates", "retain_modified_dates")
# What becomes of an instance that holds a document instead of attributes, see `object_kinds`.
DOCUMENTS: Final = ("quarantine", "drop", "pass")
ENCAPSULATED_DOCUMENT: Final = 0x00420011
REFERENCED_ITEM: Final = 0x0040DB73  # Referenced Content Item Identifier
_DRAWN: Final = (0x50, 0x60)
DATE_VRS: Final = frozenset({"DA", "DT", "TM"})
SECOND_LOOK: Final = frozenset({"blanked"})
# Whose items are codes and nothing else, so that a dummy of them is a code.
CODE_SEQUENCES: Final = frozenset({0x00080082, 0x00401101, 0x0040A168})

# Attributes that the IODs allow only beside another one, and that go where that one goes: the name
# of an ethics committee with the number of its approval.
_ONLY_BESIDE: Final = {0x00120081: 0x00120082}

# What the engine itself writes at the top level, from the subject and the profile.
OWN_ATTRIBUTES: Final = frozenset(
    {
        0x00080018,  # SOP Instance UID
        0x0020000D,  # Study Instance UID
        0x0020000E,  # Series Instance UID
        0x00080050,  # Accession Number
        0x00100010,  # Patient's Name
        0x00100020,  # Patient ID
        0x00120062,  # Patient Identity Removed
        0x00120063,  # De-identification Method
        0x00120064,  # De-identification Method Code Sequence
        0x00200010,  # Study ID
        0x00280303,  # Longitudinal Temporal Information Modified
    }
)
_BASIC_CODE: Final = "113100"
# Claimed by the instances whose pixels were cleaned, and by no others.
CLEAN_PIXEL_DATA: Final = "113101"
_WRITTEN_VRS: Final = frozenset({"AE", "AS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})

_GROUP_LENGTH: Final = Rule(Action.REMOVE, "group length")
_NOT_A_DATASET: Final = Rule(Action.REMOVE, "attribute of another kind of data set")
_UNKNOWN: Final = Rule(Action.REMOVE, "unknown attribute")
_OTHER_VR: Final = Rule(Action.REMOVE, "sequence that is not encoded as one")
_BESIDE: Final = Rule(Action.REMOVE, "PS3.3: not without an attribute that goes")
_OVERLAY_FRAME: Final = Rule(Action.REMOVE, "overlay plane whose data go")
_DOCUMENT: Final = Rule(Action.KEEP, 'the profile\'s documents = "pass"')
_NOTED: Final = Rule(Action.KEEP, "place of another content item")
_UID_BY_VR: Final = Rule("U", "every UID")
_CLASS_UID: Final = Rule(Action.KEEP_UID, "UID that stays")
_SCRUBBED: Final = Rule(Action.REPLACE, "inside a sequence that is replaced")
_NAME_BY_VR: Final = Rule("X/Z/D", "every person's name")


@cache
def _fixed_rows() -> dict[int, list[Any]]:
    rows = profile_table()["rows"]
    return {int(tag, 16): row for tag, row in rows.items() if "x" not in tag and tag != "private"}


def table_tags() -> list[int]:
    """Return the attributes of Table E.1-1, without the repeating groups."""
    return sorted(_fixed_rows())


def table_row(tag: int) -> list[Any] | None:
    """Return the row of Table E.1-1 that an attribute falls under."""
    row = _fixed_rows().get(tag)
    if row is not None:
        return row
    rows = profile_table()["rows"]
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    if group[0] in "56" and group[1] == "0" and not tag >> 16 & 1:
        repeating = rows.get(f"{group[:2]}xx{element}") or rows.get(f"{group[:2]}xxxxxx")
        return list(repeating) if repeating else None
    return None


@dataclass(frozen=True)
class Profile:
    """What is done to each attribute.

    Attributes:
        name: the profile's name, which goes into the output.
        options: switches of PS3.15 Annex E, see `OPTIONS`.
        tag_actions: what the site decided for single attributes, which comes before all else.
        private: which private attributes stay.
        pixel_rules: where text is burned into images, by device.
        second_look: after which images text is looked for in the pixels that go out: `blanked`,
            `all`, or values of Modality (0008,0060).
        number_modifiers: what follows a subject's number in the pseudonyms of some studies.
        documents: one of `DOCUMENTS`.
    """

    name: str
    options: frozenset[str] = frozenset()
    tag_actions: Mapping[int, str] = field(default_factory=dict)
    private: PrivateRules = field(default_factory=PrivateRules)
    pixel_rules: PixelRules = field(default_factory=load_pixel_rules)
    second_look: frozenset[str] = SECOND_LOOK
    number_modifiers: tuple[NumberModifier, ...] = ()
    documents: str = DOCUMENTS[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the profile decides, to tell one from another."""
        content = [
            self.name,
            sorted(self.options),
            sorted(self.tag_actions.items()),
            self.private.lists,
            sorted(self.private.actions.items()),
            [asdict(modifier) for modifier in self.number_modifiers],
            self.documents,
            profile_table()["edition"],
            [repr(rule) for rule in (*self.pixel_rules.drawn, *self.pixel_rules.rules)],
            sorted(self.second_look),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning (CID 7050) of the profile and the options that it carries out.

        Of cleaned pixels it says nothing: see `codes_with_pixels`.
        """
        claimed = {_BASIC_CODE, *(OPTIONS[option].code for option in self.options)}
        return _method_codes(claimed - {CLEAN_PIXEL_DATA})

    @cached_property
    def codes_with_pixels(self) -> tuple[tuple[str, str], ...]:
        """The same for an instance whose pixels were cleaned."""
        return _method_codes({CLEAN_PIXEL_DATA, *(code for code, _ in self.codes)})

    @cached_property
    def keeps_dates(self) -> bool:
        """Whether dates stay, moved or not, and are not taken away."""
        return not self.options.isdisjoint(EXCLUSIVE)

    @cached_property
    def moves_dates(self) -> bool:
        """Whether dates are moved by the subject's offset."""
        return "retain_modified_dates" in self.options

    @cached_property
    def keeps_uids(self) -> bool:
        """Whether UIDs stay what they are."""
        return "retain_uids" in self.options

    @property
    def temporal_information(self) -> str:
        """What (0028,0303) says about the dates."""
        if self.moves_dates:
            return "MODIFIED"
        return "UNMODIFIED" if self.keeps_dates else "REMOVED"

    @cached_property
    def _decided(self) -> Mapping[int, Rule]:
        """The rules that the profile itself names, which come before all else."""
        rules = {tag: Rule(a, "the site's tag_actions") for tag, a in self.tag_actions.items()}
        if self.documents == "pass":
            rules.setdefault(ENCAPSULATED_DOCUMENT, _DOCUMENT)
        return rules

    def rule(self, tag: int, vr: str) -> Rule | None:
        """Return the rule for an attribute, or None if it stays as it is.

        Args:
            tag: its tag.
            vr: its VR as written; the dictionary's one in implicit VR, UN if unknown.
        """
        if tag in self._decided:
            return self._decided[tag]
        structural = _structural_rule(tag, vr)
        if structural is REMOVED and self.private:
            return BY_CREATOR
        if structural is not None:
            return structural
        row = table_row(tag)
        if row is None and tag >> 24 == 0x60 and self.rule(tag & ~0xFFFF | 0x3000, "OW"):
            return _OVERLAY_FRAME
        if row is not None:
            # Marks on the image cannot be told from burned-in text, so that overlays and curves
            # go whole, and no option cleans what comes with them.
            rule = self._row_rule(row, vr, {} if tag >> 24 in _DRAWN else row[4])
            alone = rule.code == "D" and self._goes(_ONLY_BESIDE.get(tag))
            return _BESIDE if alone else rule
        return self._unlisted_rule(tag, vr) or self._rule_by_vr(tag, vr)

    def _unlisted_rule(self, tag: int, vr: str) -> Rule | None:
        if tag == REFERENCED_ITEM and "clean_structured_content" in self.options:
            return _NOTED
        for option in sorted(self.options & FREE_TEXT.keys()):
            if tag in FREE_TEXT[option] and (vr == "SQ" or vr in VR_LENGTH):
                action = Action.CLEAN if vr == "SQ" else Action.CLEAN_LABEL
                return Rule(action, f"text that {option} cleans beyond Table E.1-1")
        return None

    def scrub_rule(self, tag: int, vr: str) -> Rule | None:
        """Return the rule inside a sequence that Table E.1-1 wants replaced by a dummy.

        Such a sequence keeps its shape, so that it stays valid, and loses everything that was
        written by people: text, names, dates and local codes. What the table lists goes by its row.
        """
        structural = _structural_rule(tag, vr)
        if structural is not None:
            return structural
        row = table_row(tag)
        listed = row is not None and (row[3] == "X" or tag in CODE_SEQUENCES)
        if vr in _WRITTEN_VRS and not listed:
            return _SCRUBBED
        if row is not None:
            return self._row_rule(row, vr, row[4])
        return self._rule_by_vr(tag, vr)

    def _row_rule(self, row: list[Any], vr: str, columns: Mapping[str, str]) -> Rule:
        granted = {
            option: columns[OPTIONS[option].column]
            for option in sorted(self.options)
            if OPTIONS[option].column in columns
        }
        # An option that keeps an attribute says more than one that keeps it cleaned.
        for wanted in ("K", "C"):
            for option, code in granted.items():
                action = _option_action(option, code, vr) if code == wanted else None
                if action is not None:
                    return Rule(action, f"PS3.15 Table E.1-1, {option}")
        return Rule(row[3], "PS3.15 Table E.1-1, Basic Profile")

    def _goes(self, tag: int | None) -> bool:
        if tag is None:
            return False
        rule = self.rule(tag, dictionary_vr(tag) or "UN")
        return rule is not None and rule.code in ("X", Action.REMOVE)

    def _rule_by_vr(self, tag: int, vr: str) -> Rule | None:
        if vr == "UI":
            return _CLASS_UID if tag in NAMES_A_CLASS or self.keeps_uids else _UID_BY_VR
        if vr == "PN":
            return _NAME_BY_VR
        if vr in DATE_VRS:
            return Rule(Action.SHIFT if self.keeps_dates else "X/Z/D", "every date and time")
        return None


def _method_codes(claimed: Set[str]) -> tuple[tuple[str, str], ...]:
    codes = profile_table()["method_codes"].items()
    return tuple((code, meaning) for code, (meaning, _) in codes if code in claimed)


def _option_action(option: str, code: str, vr: str) -> str | None:
    """Return what an option does to an attribute, or None if it cannot do it for this VR."""
    if option in EXCLUSIVE:
        # Kept dates go through the same check as moved ones: what is no date may be anything.
        # Time stamps in binary (OB) can be kept, but not moved.
        return Action.SHIFT if vr in DATE_VRS | {"SH"} else ("K" if code == "K" else None)
    if code == "K" and vr == "UI":
        return Action.KEEP_UID
    if code == "K":
        return Action.CAP_AGE if vr == "AS" else "K"
    return Action.CLEAN if vr in VR_LENGTH or vr == "SQ" else None


def _structural_rule(tag: int, vr: str) -> Rule | None:
    """Return the rule for what has no place in a de-identified data set whatever it says."""
    if tag & 0xFFFF == 0:
        return _GROUP_LENGTH
    if tag >> 16 & 1:
        return REMOVED
    if tag >> 16 < 0x0008:
        return _NOT_A_DATASET
    known = dictionary_vr(tag)
    if known is None and table_row(tag) is None:
        return _UNKNOWN
    if known == "SQ" and vr not in ("SQ", "UN"):
        return _OTHER_VR
    return ALWAYS.get(tag)
