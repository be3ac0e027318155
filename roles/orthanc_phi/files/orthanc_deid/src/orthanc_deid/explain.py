# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile does to an attribute, and by which rule, told to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydicom._uid_dict import UID_dictionary

from orthanc_deid.actions import Action, Rule, choose
from orthanc_deid.attribute_types import TypeTree, known_sop_classes, types_of_sop_class
from orthanc_deid.content_items import CONTENT_SEQUENCES, VALUE_ATTRIBUTES
from orthanc_deid.dictionary import dictionary_vr, keyword_of, nearest_keyword, tag_of
from orthanc_deid.elements import format_tag
from orthanc_deid.errors import DeidError
from orthanc_deid.rules import ENCAPSULATED_DOCUMENT, OWN_ATTRIBUTES, Profile, table_tags
from orthanc_deid.text import VR_LENGTH

_WHAT = {
    Action.KEEP: "stays, and is searched for identifiers",
    Action.REMOVE: "is removed",
    Action.EMPTY: "is emptied",
    Action.REPLACE: "is replaced by a value that means nothing",
    Action.REMAP: "gets new UIDs, unless the profile retains them",
    Action.KEEP_UID: "stays if it is a UID, and is remapped if it is none",
    Action.SHIFT: "is checked, and moved by the subject's days if the profile moves dates",
    Action.CLEAN: "is cleaned of what identifies",
    Action.CLEAN_LABEL: "is cleaned of what identifies, but for short codes",
    Action.CAP_AGE: "stays, with ages over 89 as 90",
}
_DOCUMENTS = {
    "quarantine": "holds its study back until a person has looked at it",
    "drop": "is left out with its instance",
    "pass": "stays as it is, and nothing in it is looked at",
}


class Explanation(NamedTuple):
    """What happens to one attribute: where, its Type there, what, and by which rule."""

    attribute: str
    vr: str
    kind: str
    what: str
    rule: str


def explain(profile: Profile, sop_class: str, names: Sequence[str]) -> Iterator[Explanation]:
    """Explain attributes, or all of Table E.1-1 if none is named.

    Args:
        profile: the profile.
        sop_class: UID or keyword of a SOP Class, or the beginning of one, such as `CT`.
        names: keyword or `gggg,eeee`, with the sequences that it stands in before it and `/`
            between them, such as `RequestAttributesSequence/StudyInstanceUID`.

    Raises:
        DeidError: a name is not known.
    """
    types = types_of_sop_class(sop_class_uid(sop_class)) if sop_class else None
    for name in names or [f"{tag >> 16:04X},{tag & 0xFFFF:04X}" for tag in table_tags()]:
        yield _explain(profile, types, [_tag(part) for part in name.split("/")])


def _tag(name: str) -> int:
    tag = tag_of(name)
    if tag is None:
        raise DeidError(
            f"{name!r} is no keyword of DICOM and no tag written gggg,eeee{nearest_keyword(name)}"
        )
    return tag


def sop_class_uid(name: str) -> str:
    """Return the UID of a SOP Class whose UID, keyword or beginning of a keyword is given.

    Raises:
        DeidError: there is none whose Types are known, or the beginning fits more than one and
            none of them is `<name>ImageStorage` or `<name>Storage`.
    """
    keywords = {UID_dictionary[uid][4]: uid for uid in known_sop_classes() if uid in UID_dictionary}
    by_lower = {keyword.lower(): uid for keyword, uid in keywords.items()}
    for keyword in (name, f"{name}ImageStorage", f"{name}Storage"):
        if keyword.lower() in by_lower:
            return by_lower[keyword.lower()]
    if name in keywords.values():
        return name
    fitting = sorted(keyword for keyword in keywords if keyword.lower().startswith(name.lower()))
    if len(fitting) == 1:
        return keywords[fitting[0]]
    hint = f"; did you mean {', '.join(fitting[:5])}?" if fitting else ""
    raise DeidError(f"{name!r} is no SOP Class whose attribute Types are known{hint}")


def _explain(profile: Profile, types: TypeTree | None, path: list[int]) -> Explanation:
    *parents, tag = path
    here = types
    names = []
    around: set[int] = set()  # the sequences around it in which all text is cleaned
    for parent in parents:
        rule = profile.rule(parent, "SQ")
        names.append(f"{format_tag(parent)} {keyword_of(parent)}")
        if rule is not None and rule.code == Action.CLEAN:
            around.add(parent)
        if rule is not None and rule.code in ("X", Action.REMOVE):
            return Explanation(
                " > ".join(names), "SQ", "", "is removed with its items", rule.source
            )
        here = here.items.get(parent, TypeTree()) if here is not None else None
    names.append(f"{format_tag(tag)} {keyword_of(tag)}".strip())
    vr = dictionary_vr(tag) or "UN"
    kind = here.types.get(tag, "") if here is not None else ""
    if not parents and tag in OWN_ATTRIBUTES:
        return Explanation(names[0], vr, kind, "is written by the engine", "the new identity")
    told = _in_cleaned(profile, tag, vr, around)
    what, source = told or _by_rule(profile, tag, vr, kind, iod_known=types is not None)
    return Explanation(" > ".join(names), vr, kind, what, source)


def _by_rule(profile: Profile, tag: int, vr: str, kind: str, *, iod_known: bool) -> tuple[str, str]:
    """Say what the rule for an attribute does to it, and which it is."""
    if tag == ENCAPSULATED_DOCUMENT and tag not in profile.tag_actions:
        return _DOCUMENTS[profile.documents], f'documents = "{profile.documents}"'
    rule = profile.rule(tag, vr) or Rule(Action.KEEP, "")
    source = f"{rule.source}: {rule.code}" if rule.source else "no rule"
    if vr == "SQ" and rule.code in ("K", Action.KEEP):
        return "stays, and its items are treated attribute by attribute", source
    if vr == "SQ" and rule.code == Action.CLEAN:
        what = "stays, with the text in its items cleaned"
        if tag in CONTENT_SEQUENCES:
            what += ", and each content item treated by its concept name (Table E.3.4-1)"
        return what, source
    return _WHAT[choose(rule.code, kind or None, iod_known=iod_known)], source


def _in_cleaned(profile: Profile, tag: int, vr: str, around: set[int]) -> tuple[str, str] | None:
    """Say what the sequences around an attribute do to it, and by which rule, if anything."""
    if tag in VALUE_ATTRIBUTES and around & CONTENT_SEQUENCES:
        return (
            "goes, becomes a dummy, is cleaned or stays as Table E.3.4-1 says for the concept name "
            "of its item; text of a concept that it does not list is cleaned",
            "clean_structured_content",
        )
    if around and vr in VR_LENGTH and profile.rule(tag, vr) is None:
        return _WHAT[Action.CLEAN], "inside a sequence that is cleaned"
    return None
