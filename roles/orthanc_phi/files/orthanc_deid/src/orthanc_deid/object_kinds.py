# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of objects that attributes do not describe: documents, raw data, labels of slides.

What is in a document cannot be told from its attributes. The profile decides what becomes of it:
it waits for a person, is left out, or passes as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from pydicom._uid_dict import UID_dictionary

from orthanc_deid.attribute_types import known_sop_classes
from orthanc_deid.elements import Element
from orthanc_deid.errors import Dropped, Quarantine
from orthanc_deid.faces import FACE, refuse_faces
from orthanc_deid.plan import SOP_CLASS
from orthanc_deid.rules import Profile

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_WHOLE_SLIDE: Final = f"{_STORAGE}77.1.6"
_IMAGE_TYPE: Final = 0x00080008
_MODALITY: Final = 0x00080060
_BODY_PART: Final = 0x00180015
_LABEL_IN_IMAGE: Final = 0x00480010  # Specimen Label in Image
# Study Description, Series Description, Protocol Name.
_DESCRIPTIONS: Final = (0x00081030, 0x0008103E, 0x00181030)
_WANTED: Final = frozenset(
    {SOP_CLASS, _IMAGE_TYPE, _MODALITY, _BODY_PART, _LABEL_IN_IMAGE, *_DESCRIPTIONS}
)
_ANATOMIC_REGIONS: Final = 0x00082218
_CODE_VALUE: Final = 0x00080100


class Kind(NamedTuple):
    """A kind of object whose content the engine cannot read: a word for it, and a sentence."""

    code: str
    what: str


_DOCUMENT: Final = Kind("document", "it is an encapsulated document, such as PDF, CDA or STL")
_RAW: Final = Kind("raw-data", "it holds raw data, in a form that only its maker knows")
_VOICE: Final = Kind("audio", "it holds recorded sound, which may be speech")
_UNKNOWN: Final = Kind("unknown-sop-class", "its SOP Class (0008,0016) is none of the standard's")
_KINDS: Final = {
    **{f"{_STORAGE}104.{number}": _DOCUMENT for number in range(1, 6)},
    f"{_STORAGE}66": _RAW,
    f"{_STORAGE}9.4.1": _VOICE,
    f"{_STORAGE}9.4.2": _VOICE,
}


def kind_of(sop_class: str) -> Kind | None:
    """Return the kind of a SOP Class, or None if its attributes say what an instance holds."""
    if sop_class in _KINDS:
        return _KINDS[sop_class]
    return None if sop_class in _standard_classes() else _UNKNOWN


@cache
def _standard_classes() -> frozenset[str]:
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and "Commitment" not in name
    }
    return frozenset(named | set(known_sop_classes()))


def admit(
    profile: Profile,
    data: bytes,
    top: Mapping[int, Element],
    accepted: frozenset[str] = frozenset(),
) -> Counter[str]:
    """Let an instance through whose kind the profile wants de-identified.

    Args:
        profile: whose setting `documents` and options decide.
        data: the bytes that hold the data set.
        top: the noted elements of its top level.
        accepted: findings that a person has looked at and accepted in this instance.

    Returns:
        the kind of what passes though it cannot be read, for the record.

    Raises:
        Dropped: it has no place in the output.
        Quarantine: a person must look at it.
    """
    seen = _Seen(data, top)
    kind = kind_of(seen.text(SOP_CLASS))
    if kind is not None:
        _decide(kind, profile.documents)
    _refuse_labels(seen)
    if "clean_recognizable_visual_features" in profile.options and FACE not in accepted:
        descriptions = " ".join(map(seen.text, _DESCRIPTIONS))
        refuse_faces(seen.text(_MODALITY), seen.text(_BODY_PART), seen.regions(), descriptions)
    return Counter() if kind is None else Counter({kind.code: 1})


def demand_some_left(instances: int) -> None:
    """Refuse a study of which nothing is in the output.

    Args:
        instances: how many are left.

    Raises:
        Quarantine: (code `nothing-left`) none is.
    """
    if not instances:
        raise Quarantine(
            "nothing-left",
            "every instance of it is dropped, by the profile's setting documents or as a slide's "
            "label; there is nothing to deliver",
        )


def _decide(kind: Kind, documents: str) -> None:
    if documents == "drop":
        raise Dropped(kind.code, f"{kind.what}, and the profile drops what it cannot read")
    if documents == "quarantine":
        raise Quarantine(
            kind.code,
            f"{kind.what}, and what identifies in it cannot be found; look at it and take it out "
            'of the study at the source, or set documents in the profile to "drop" or "pass"',
        )


def _refuse_labels(seen: _Seen) -> None:
    """Drop the images of a slide's label, which name the patient."""
    types = {part.strip().upper() for part in seen.text(_IMAGE_TYPE).split("\\")}
    if seen.text(SOP_CLASS) == _WHOLE_SLIDE and types & {"LABEL", "OVERVIEW"}:
        raise Dropped("slide-label", "it is the label or the overview of a slide")
    if seen.text(_LABEL_IN_IMAGE).upper() == "YES":
        raise Quarantine(
            "slide-label",
            "Specimen Label in Image (0048,0010) is YES, and a label names the patient; "
            "take the image out of the study at the source",
        )
    if seen.text(SOP_CLASS) == _WHOLE_SLIDE and not types - {""}:
        raise Quarantine(
            "slide-label",
            "without Image Type (0008,0008) it cannot be told whether a slide's label is shown; "
            "correct it at the source and send again",
        )


@dataclass(slots=True)
class _Seen:
    """What an instance says of itself."""

    data: bytes
    top: Mapping[int, Element]

    def text(self, tag: int) -> str:
        element = self.top.get(tag)
        return "" if element is None else self._read(element)

    def regions(self) -> set[str]:
        """Return the codes of the anatomic regions at every depth."""
        return {code for element in self.top.values() for code in self._regions(element)}

    def _read(self, element: Element) -> str:
        return self.data[element.value : element.stop].decode("latin-1").strip(" \0")

    def _regions(self, sequence: Element) -> Iterator[str]:
        is_region = sequence.entry.tag == _ANATOMIC_REGIONS
        for item in sequence.items or ():
            for element in item.elements:
                if is_region and element.entry.tag == _CODE_VALUE:
                    yield self._read(element)
                yield from self._regions(element)
