# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: DICOM bytes, a profile and a subject in; de-identified bytes and a record out."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from orthanc_deid import __version__, uids
from orthanc_deid.actions import Rule
from orthanc_deid.attribute_types import types_of_sop_class
from orthanc_deid.cleaning import cleaner, known_in, union
from orthanc_deid.elements import Element, Syntax, Walker
from orthanc_deid.identity import (
    SERIES,
    SOP_INSTANCE,
    STUDY,
    check_identity,
    top_values,
)
from orthanc_deid.keys import Keys
from orthanc_deid.leak_watch import LeakWatch
from orthanc_deid.object_kinds import admit
from orthanc_deid.part10 import close_dataset, file_head, open_instance
from orthanc_deid.pixel_cleaning import PixelCleaner
from orthanc_deid.pixel_decision import Blank
from orthanc_deid.pixel_risks import BURNED_IN_ANNOTATION, MODALITY
from orthanc_deid.plan import LOOK, SOP_CLASS, make_tables
from orthanc_deid.report import Record
from orthanc_deid.rules import Profile
from orthanc_deid.subject import Subject
from orthanc_deid.text import TextCleaner
from orthanc_deid.text_known import Known
from orthanc_deid.treatment import Context, Treatment

UID_CACHE: Final = 65536
_NUMBER_DIGITS: Final = 15  # fits SH (16 characters)


@dataclass(frozen=True, slots=True)
class Output:
    """A de-identified instance.

    Attributes:
        data: the DICOM file.
        record: what was done.
        sop_instance_uid, series_instance_uid, study_instance_uid: the new UIDs.
        uid_mapping: every UID that was remapped, of whatever kind, to the new one. As secret as
            the input.
    """

    data: bytes
    record: Record
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    uid_mapping: Mapping[str, str] = field(repr=False)


class Engine:
    """De-identifies instances by one profile, with the keys of one project.

    It holds no state but caches and may be used by several threads.
    """

    def __init__(self, profile: Profile, keys: Keys) -> None:
        self.profile = profile
        self._keys = keys
        self._pixels = PixelCleaner(profile)
        self._tables = make_tables(self._rule, look=True)
        self._scrub_tables = make_tables(profile.scrub_rule, look=True)
        self._map_uid = lru_cache(UID_CACHE)(self._new_uid)

    def _rule(self, tag: int, vr: str) -> Rule | None:
        return self.profile.rule(tag, vr) or (LOOK if tag in self._pixels.tags else None)

    def _new_uid(self, old: str) -> str:
        if self.profile.keeps_uids and uids.is_valid(old):
            return old
        return uids.map_uid(self._keys.uid, old)

    def map_uid(self, old: str) -> str:
        """Return the new UID of a UID, the same in every instance of the project."""
        return self._map_uid(old)

    def number_for(self, kind: str, study_instance_uid: str) -> str:
        """Return a new number for a study: 15 digits that tell nothing of the old one.

        Args:
            kind: what it numbers, such as `accession`.
            study_instance_uid: the study's new UID.
        """
        message = f"{kind}:{study_instance_uid}".encode()
        digest = hmac.digest(self._keys.number, message, "sha256")
        return f"{int.from_bytes(digest[:8]) % 10**_NUMBER_DIGITS:0{_NUMBER_DIGITS}d}"

    def deidentify(
        self,
        data: bytes,
        subject: Subject,
        identifiers: frozenset[str] = frozenset(),
        known: Known | None = None,
    ) -> Output:
        """De-identify one instance.

        Args:
            data: a DICOM file.
            subject: the patient's new identity.
            identifiers: terms that must not be found in the output, besides those that the
                instance itself tells; see `leaks`.
            known: what the other instances of the study tell, for text cleaning.

        Raises:
            Dropped: it has no place in the output, and the rest of its study goes without it.
            Quarantine: a person must look at it; nothing of it may leave.
        """
        instance = open_instance(data)
        walker = Walker(instance.data, self._tables)
        end = len(instance.data)
        elements = walker.walk(instance.start, end, instance.syntax)
        old = top_values(instance.data, elements)
        check_identity(old)
        unread = admit(self.profile, instance.data, elements)
        decision = self._pixels.decide(instance.data, elements, instance.syntax)
        blanks = isinstance(decision, Blank) and bool(decision.rectangles)
        codes = self.profile.codes_with_pixels if blanks else self.profile.codes
        study = self._map_uid(old[STUDY])
        mapping = _Mapping(self._map_uid)
        record = Record(
            self.profile.name,
            self.profile.digest,
            tuple(code for code, _ in codes),
            unread=unread,
        )
        context = Context(
            profile=self.profile,
            subject=subject,
            map_uid=mapping.__getitem__,
            scrub_tables=self._scrub_tables,
            types=types_of_sop_class(old[SOP_CLASS]),
            record=record,
            cleaner=lambda: self._cleaner(instance.data, elements, known, subject),
            own=self._own_elements(instance.syntax, subject, study, codes, blanked=blanks),
        )
        leaks = LeakWatch(instance.data, identifiers)
        treatment = Treatment(context, instance.data, walker, leaks)
        dataset = treatment.data_set(elements, instance.start, end, instance.syntax)
        leaks.check()
        sop_instance = self._map_uid(old[SOP_INSTANCE])
        head = file_head(old[SOP_CLASS], sop_instance, instance.transfer_syntax)
        output = b"".join([head, *close_dataset(instance.transfer_syntax, dataset)])
        if decision is not None:
            output = self._pixels.clean(output, decision, old.get(MODALITY, ""), record)
        return Output(
            data=output,
            record=record,
            sop_instance_uid=sop_instance,
            series_instance_uid=self._map_uid(old[SERIES]),
            study_instance_uid=study,
            uid_mapping=mapping,
        )

    def _cleaner(
        self, data: bytes, elements: list[Element], known: Known | None, subject: Subject
    ) -> TextCleaner:
        own = known_in(data, elements)
        offset = subject.date_offset if self.profile.moves_dates else None
        return cleaner(union(frozenset({own, known or own})), offset)

    def _own_elements(
        self,
        syntax: Syntax,
        subject: Subject,
        study: str,
        codes: Iterable[tuple[str, str]],
        *,
        blanked: bool,
    ) -> Mapping[int, bytes]:
        """Encode what the engine writes itself, in the order of tags."""
        method = f"orthanc_deid {__version__}, profile {self.profile.name}"
        values = {
            0x00080050: ("SH", self.number_for("accession", study)),
            0x00100010: ("PN", subject.patient_name),
            0x00100020: ("LO", subject.patient_id),
            0x00120062: ("CS", "YES"),
            0x00120063: ("LO", method),
            0x00200010: ("SH", self.number_for("study", study)),
            0x00280303: ("CS", self.profile.temporal_information),
        }
        if blanked:
            values[BURNED_IN_ANNOTATION] = ("CS", "NO")
        own = {tag: syntax.element(tag, vr, value.encode()) for tag, (vr, value) in values.items()}
        items = b"".join(_code_item(syntax, *code) for code in codes)
        own[0x00120064] = syntax.element(0x00120064, "SQ", items)
        return dict(sorted(own.items()))


class _Mapping(dict[str, str]):
    """The UIDs of one instance that were asked for, and what they became."""

    def __init__(self, map_uid: Callable[[str], str]) -> None:
        super().__init__()
        self._map_uid = map_uid

    def __missing__(self, old: str) -> str:
        new = self[old] = self._map_uid(old)
        return new


def _code_item(syntax: Syntax, code: str, meaning: str) -> bytes:
    content = b"".join(
        (
            syntax.element(0x00080100, "SH", code.encode()),
            syntax.element(0x00080102, "SH", b"DCM"),
            syntax.element(0x00080104, "LO", meaning.encode()),
        )
    )
    return syntax.tag_bytes(0xFFFEE000) + syntax.u32.pack(len(content)) + content
