# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: DICOM bytes, a profile and a subject in; de-identified bytes and a record out."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from orthanc_deid import __version__, uids
from orthanc_deid.actions import Rule
from orthanc_deid.attribute_types import SPECIES, TypeTree, types_of_sop_class
from orthanc_deid.cleaning import cleaner, known_in
from orthanc_deid.elements import Element, Syntax, Walker, by_tag
from orthanc_deid.identity import (
    SERIES,
    SOP_INSTANCE,
    STUDY,
    check_identity,
    top_values,
)
from orthanc_deid.keys import Keys
from orthanc_deid.leak_watch import check, check_bytes
from orthanc_deid.object_kinds import admit
from orthanc_deid.part10 import close_dataset, file_head, is_deflated, open_instance
from orthanc_deid.pixel_cleaning import PixelCleaner
from orthanc_deid.pixel_comments import PIXEL_DATA, hidden_bytes
from orthanc_deid.pixel_decision import Blank
from orthanc_deid.pixel_risks import BURNED_IN_ANNOTATION, MODALITY
from orthanc_deid.pixel_rules import PixelRule
from orthanc_deid.places import Place
from orthanc_deid.plan import LOOK, SOP_CLASS, make_tables
from orthanc_deid.report import Record
from orthanc_deid.rules import Profile
from orthanc_deid.subject import Subject
from orthanc_deid.text_encoding import DEFAULT
from orthanc_deid.text_known import Known
from orthanc_deid.treatment import Context, Treatment, charset_of

UID_CACHE: Final = 65536
STUDIES: Final = 4  # that a process works on at a time; what it remembers of each takes room
DRAWN_CACHE: Final = 8
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


class _Alike(NamedTuple):
    """What instances have in common of which the same bytes become the same bytes."""

    syntax: Syntax
    charset: bytes
    types: TypeTree | None
    subject: Subject
    identifiers: frozenset[str]
    known: Known


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
        self._own = lru_cache(STUDIES)(self._own_elements)
        self._top = lru_cache(STUDIES)(self._new_top)
        self._with_drawn = lru_cache(DRAWN_CACHE)(self._make_with_drawn)

    def _rule(self, tag: int, vr: str) -> Rule | None:
        return self.profile.rule(tag, vr) or (LOOK if tag in self._pixels.tags else None)

    def _new_uid(self, old: str) -> str:
        if self.profile.keeps_uids and uids.is_valid(old):
            return old
        return uids.map_uid(self._keys.uid, old)

    def with_drawn(self, drawn: tuple[PixelRule, ...]) -> Engine:
        """Return the engine that also blanks what persons drew; the same one for the same rules."""
        return self._with_drawn(drawn) if drawn else self

    def _make_with_drawn(self, drawn: tuple[PixelRule, ...]) -> Engine:
        rules = replace(self.profile.pixel_rules, drawn=drawn)
        return Engine(replace(self.profile, pixel_rules=rules), self._keys)

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
        accepted: frozenset[str] = frozenset(),
    ) -> Output:
        """De-identify one instance.

        Args:
            data: a DICOM file.
            subject: the patient's new identity.
            identifiers: terms that must not be found in the output, besides those that the
                instance itself tells; see `leaks`.
            known: what the instances of the study tell, this one among them, for text cleaning;
                if not given, what this one tells.
            accepted: findings that a person has looked at and accepted in this instance.

        Raises:
            Dropped: it has no place in the output, and the rest of its study goes without it.
            Quarantine: a person must look at it; nothing of it may leave.
        """
        instance = open_instance(data)
        walker = Walker(instance.data, self._tables)
        end = len(instance.data)
        elements = walker.walk(instance.start, end, instance.syntax)
        top = by_tag(elements)
        old = top_values(instance.data, top)
        check_identity(old)
        unread = admit(self.profile, instance.data, top, accepted)
        decision = self._pixels.decide(instance.data, top, instance.syntax, accepted)
        blanks = isinstance(decision, Blank) and bool(decision.rectangles)
        codes = self.profile.codes_with_pixels if blanks else self.profile.codes
        study = self._map_uid(old[STUDY])
        if known is None:
            known = known_in(instance.data, elements)
        charset = charset_of(instance.data, elements, DEFAULT)
        types = types_of_sop_class(old[SOP_CLASS], animal=not SPECIES.isdisjoint(top))
        alike = _Alike(instance.syntax, charset, types, subject, identifiers, known)
        context = Context(
            profile=self.profile,
            subject=subject,
            map_uid=self._map_uid,
            scrub_tables=self._scrub_tables,
            iod_known=types is not None,
            identifiers=identifiers,
            cleaner=lambda codes: cleaner(
                known,
                subject.date_offset if self.profile.moves_dates else None,
                codes=codes,
            ),
            own=self._own(instance.syntax, subject, study, codes, blanks),
        )
        treatment = Treatment(context, instance.data, walker)
        dataset = treatment.data_set(elements, instance.start, end, self._top(alike))
        effects = treatment.effects()
        hidden = hidden_bytes(instance.data, top, instance.syntax)
        check(treatment.parts, effects, identifiers, accepted, hidden)
        record = Record(
            self.profile.name,
            self.profile.digest,
            tuple(code for code, _ in codes),
            changes=Counter(effects.changes),
            problems=Counter(effects.problems),
            cleaned=Counter(effects.cleaned),
            unread=unread,
        )
        sop_instance = self._map_uid(old[SOP_INSTANCE])
        head = file_head(old[SOP_CLASS], sop_instance, instance.transfer_syntax)
        output = b"".join([head, *close_dataset(instance.transfer_syntax, dataset)])
        if not accepted and not unread:
            plain = b"".join(dataset) if is_deflated(instance.transfer_syntax) else output
            for part in _without_pixels(plain, top.get(PIXEL_DATA), end):
                check_bytes(part, effects, identifiers)
        if decision is not None:
            modality = old.get(MODALITY, "")
            output = self._pixels.clean(output, decision, modality, record, accepted)
        return Output(
            data=output,
            record=record,
            sop_instance_uid=sop_instance,
            series_instance_uid=self._map_uid(old[SERIES]),
            study_instance_uid=study,
            uid_mapping=effects.uids,
        )

    def _offset(self, subject: Subject) -> int | None:
        return subject.date_offset if self.profile.moves_dates else None

    def _new_top(self, alike: _Alike) -> Place:
        return Place(alike.syntax, alike.types or TypeTree(), alike.charset)

    def _own_elements(
        self,
        syntax: Syntax,
        subject: Subject,
        study: str,
        codes: Iterable[tuple[str, str]],
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


def _without_pixels(output: bytes, pixels: Element | None, end: int) -> Iterator[bytes]:
    """Yield the bytes of an output before and behind its pixel data.

    Args:
        output: the file, not deflated.
        pixels: the pixel data in the input, which pass as they are.
        end: where the input ends.
    """
    if pixels is None:
        yield output
        return
    # What stands behind pixel data may have gone, but nothing comes there.
    yield output[: len(output) - (pixels.end - pixels.start)]
    yield output[len(output) - (end - pixels.end) :]


def _code_item(syntax: Syntax, code: str, meaning: str) -> bytes:
    content = b"".join(
        (
            syntax.element(0x00080100, "SH", code.encode()),
            syntax.element(0x00080102, "SH", b"DCM"),
            syntax.element(0x00080104, "LO", meaning.encode()),
        )
    )
    return syntax.tag_bytes(0xFFFEE000) + syntax.u32.pack(len(content)) + content
