# SPDX-License-Identifier: GPL-3.0-or-later
"""Who and what an instance is, before anything is done to it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from orthanc_deid.actions import Action, Rule
from orthanc_deid.cleaning import known_in
from orthanc_deid.elements import Element, Syntax, Walker, by_tag
from orthanc_deid.errors import Quarantine
from orthanc_deid.leaks import IDENTIFYING, terms_of
from orthanc_deid.part10 import open_instance
from orthanc_deid.plan import CHARSET, SOP_CLASS, EntryTable, make_tables
from orthanc_deid.text_encoding import DEFAULT, decode
from orthanc_deid.text_known import TELLING_TAGS, Known

SOP_INSTANCE: Final = 0x00080018
STUDY: Final = 0x0020000D
SERIES: Final = 0x0020000E
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
ISSUER: Final = 0x00100021
_WANTED: Final = {
    0x00080020: "study_date",
    0x00080050: "accession_number",
    0x00080060: "modality",
    SOP_CLASS: "sop_class_uid",
    SOP_INSTANCE: "sop_instance_uid",
    PATIENT_NAME: "patient_name",
    PATIENT_ID: "patient_id",
    ISSUER: "issuer",
    STUDY: "study_instance_uid",
    SERIES: "series_instance_uid",
}
_LAST_GROUP: Final = 0x0020FFFF  # all that tells who and what an instance is comes before
_IDENTITY_REMOVED: Final = 0x00120062
_TOP: Final = (*_WANTED, _IDENTITY_REMOVED)
_REQUIRED_UIDS: Final = {
    SOP_CLASS: "SOPClassUID",
    SOP_INSTANCE: "SOPInstanceUID",
    STUDY: "StudyInstanceUID",
    SERIES: "SeriesInstanceUID",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what an instance is.

    Attributes:
        identifiers: what must not be found in the output, see `leaks`.
        known: what text cleaning takes out of the study's texts.
        deidentified: whether Patient Identity Removed (0012,0062) says YES.
    """

    patient_name: str
    patient_id: str
    issuer: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    accession_number: str
    study_date: str
    modality: str
    identifiers: frozenset[str]
    known: Known
    deidentified: bool


def read_identity(data: bytes) -> Identity:
    """Read who and what an instance is.

    Raises:
        Quarantine: it cannot be read (`unreadable`, `unsupported`), or has no patient
            (`no-patient-id`) or no UIDs (`no-uid`).
    """
    instance = open_instance(data)
    elements = Walker(instance.data, _tables()).walk(
        instance.start, len(instance.data), instance.syntax
    )
    values = top_values(instance.data, by_tag(elements))
    check_identity(values)
    return Identity(
        **{name: values.get(tag, "") for tag, name in _WANTED.items()},
        identifiers=frozenset(_terms(instance.data, elements, DEFAULT)),
        known=known_in(instance.data, elements),
        deidentified=values.get(_IDENTITY_REMOVED, "").upper() == "YES",
    )


def read_study(head: bytes) -> str:
    """Return the Study Instance UID of a file of which this is the beginning.

    Raises:
        Quarantine: that beginning is not enough, or the file cannot be read, or says too little.
    """
    instance = open_instance(head)
    elements = Walker(instance.data, _tables()).walk_until(
        _LAST_GROUP, instance.start, len(instance.data), instance.syntax
    )
    values = top_values(instance.data, by_tag(elements))
    check_identity(values)
    return values[STUDY]


@cache
def _tables() -> dict[Syntax, EntryTable]:
    note = Rule(Action.KEEP, "identity")
    wanted = {*_WANTED, *IDENTIFYING, *TELLING_TAGS, CHARSET, _IDENTITY_REMOVED}
    return make_tables(
        lambda tag, vr: note if tag in wanted or vr in ("PN", "DA") else None, look=False
    )


def top_values(data: bytes, top: Mapping[int, Element]) -> dict[int, str]:
    """Return the text of the attributes that identify an instance, from its top level."""
    charset = top.get(CHARSET)
    encoding = DEFAULT if charset is None else data[charset.value : charset.stop]
    return {
        tag: decode(data[found.value : found.stop], encoding, is_name=tag == PATIENT_NAME).strip(
            " \0"
        )
        for tag in _TOP
        if (found := top.get(tag)) is not None
    }


def check_identity(values: dict[int, str]) -> None:
    """Refuse an instance that does not say who and what it is.

    Raises:
        Quarantine: with what to do about it.
    """
    for tag, name in _REQUIRED_UIDS.items():
        if not values.get(tag):
            raise Quarantine(
                "no-uid", f"{name} is missing or empty; correct it at the source and send again"
            )
    if not values.get(PATIENT_ID):
        raise Quarantine(
            "no-patient-id",
            "PatientID (0010,0020) is missing or empty; correct it at the source and send again",
        )


def _terms(data: bytes, elements: Iterable[Element], charset: bytes) -> Iterator[str]:
    for element in elements:
        value = data[element.value : element.stop]
        if element.entry.tag == CHARSET:
            charset = value
        elif element.items is not None:
            for item in element.items:
                yield from _terms(data, item.elements, charset)
        else:
            yield from terms_of(element.entry.tag, element.entry.vr, value, charset)
