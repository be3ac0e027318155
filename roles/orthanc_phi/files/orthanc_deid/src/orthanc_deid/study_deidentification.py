# SPDX-License-Identifier: GPL-3.0-or-later
"""De-identify a study as a whole: what one instance tells of the patient is taken out of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orthanc_deid.cleaning import union
from orthanc_deid.conditions import REMOTE_AET, Sample, read_sample
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import Dropped, Quarantine
from orthanc_deid.findings import Accepted, mark_instance, merge
from orthanc_deid.leaks import terms_of_numbers
from orthanc_deid.memory_room import MemoryRoom
from orthanc_deid.modifiers import NumberModifier, keywords_of, modifier_of
from orthanc_deid.object_kinds import demand_some_left
from orthanc_deid.orthanc_client import GoneError, OrthancClient
from orthanc_deid.patient import Patient
from orthanc_deid.progress import Progress
from orthanc_deid.report import Record
from orthanc_deid.spool import Spool
from orthanc_deid.studies import Study
from orthanc_deid.subject import Subject
from orthanc_deid.text_known import Known

if TYPE_CHECKING:
    from orthanc_deid.engine import Engine
    from orthanc_deid.identity import Identity

READERS = 4


@dataclass(frozen=True, slots=True)
class Deidentification:
    """The parts of the engine that a study passes through."""

    engine: Engine
    read_identity: Callable[[bytes], Identity]
    number_modifiers: tuple[NumberModifier, ...] = ()


class DeidentifiedStudy(NamedTuple):
    """What became of a study: whose it is, its new Study Instance UID, and what was done."""

    subject: Subject
    study_instance_uid: str
    record: Record


class _Told(NamedTuple):
    """What is known of the people of a study: for the leak check, and for text cleaning."""

    identifiers: frozenset[str]
    known: Known

    def covers(self, other: _Told) -> bool:
        """Tell whether nothing that counts is known to the other alone."""
        # Dates only tell day from month in texts: they differ from instance to instance.
        mine, others = (replace(one.known, dates=frozenset()) for one in (self, other))
        return self.identifiers >= other.identifiers and mine == others


class _Done(NamedTuple):
    instance_id: str
    identity: Identity
    made: Record | Dropped | Quarantine


class StudyDeidentifier:
    """Reads studies from the PHI Orthanc and fills a spool with their de-identified instances."""

    def __init__(  # noqa: PLR0913 - what a study is read from, by whom, and with how much memory
        self,
        crosswalk: Crosswalk,
        source: OrthancClient,
        deidentification: Deidentification,
        go_on: Callable[[], None],
        accepted: Accepted | None = None,
        *,
        room: MemoryRoom,
    ) -> None:
        self._crosswalk = crosswalk
        self._source = source
        self._deid = deidentification
        self._engine = deidentification.engine
        self._held: list[tuple[str, Quarantine]] = []
        self._go_on = go_on
        self._accepted = accepted or Accepted()
        self._room = room
        self._sizes: Mapping[str, int] = {}

    def run(
        self, study: Study, instance_ids: list[str], spool: Spool, progress: Progress
    ) -> DeidentifiedStudy:
        """De-identify a study.

        Args:
            study: as the crosswalk has it.
            instance_ids: what Orthanc calls its instances.
            spool: where the de-identified instances go.
            progress: is told of each instance.

        Raises:
            Quarantine: a person must look at it; nothing of it may leave.
        """
        if not instance_ids:
            raise GoneError("the study has no instances")
        first = self._deid.read_identity(self._source.download(instance_ids[0]))
        _refuse_deidentified(first)
        self._sizes = self._source.instance_sizes(first.study_instance_uid)
        subject = self._subject(study, Patient.of(first))
        anonymous_uid = self._deid.engine.map_uid(first.study_instance_uid)
        self._crosswalk.studies.identify(
            study.id,
            study_instance_uid=first.study_instance_uid,
            anonymous_study_uid=anonymous_uid,
            subject=subject,
        )
        drawn = self._crosswalk.drawn_rules.of_study(study.id)
        self._engine = self._deid.engine.with_drawn(tuple(rule.pixel_rule() for rule in drawn))
        self._crosswalk.lookup.identified(study.id, first, subject, anonymous_uid)
        self._held = []
        self._progress = progress
        try:
            record = self._instances(instance_ids, subject, spool)
        finally:
            self._crosswalk.held_instances.keep(study.id, self._held)
        made = next(iter(spool.files.values())).read_bytes()
        self._crosswalk.lookup.anonymized(study.id, self._deid.read_identity(made))
        return DeidentifiedStudy(subject, anonymous_uid, record)

    def _subject(self, study: Study, patient: Patient) -> Subject:
        modifiers = self._deid.number_modifiers
        samples = self.samples(study, self._crosswalk.numbering.keywords | keywords_of(modifiers))
        # What has gone out in part keeps its pseudonym, whatever has come since.
        modifier = study.number_modifier
        return self._crosswalk.subject(
            patient.patient_id,
            patient.issuer,
            patient.accession,
            samples=samples,
            modifier=modifier_of(modifiers, samples) if modifier is None else modifier,
        )

    def samples(self, study: Study, keywords: frozenset[str]) -> list[Sample]:
        """Read what one instance of each series of the original says in these attributes."""
        if not keywords:
            return []
        samples: list[Sample] = []
        for instance_id in self._source.first_instances(study.orthanc_id or ""):
            sample = dict(read_sample(self._source.download(instance_id), keywords))
            if REMOTE_AET in keywords:
                sample[REMOTE_AET] = self._source.remote_aet(instance_id)
            samples.append(sample)
        return samples

    def _instances(self, instance_ids: list[str], subject: Subject, spool: Spool) -> Record:
        """De-identify each instance with what all instances of the study tell.

        Mostly they all tell the same, so each is done with what it tells itself, and only those
        that knew less than the others are done again.
        """
        former = terms_of_numbers(self._crosswalk.identifiers(subject))
        done = self._pass(instance_ids, subject, spool, former, None)
        identities = [one.identity for one in done]
        _demand_one_study(identities)
        self._crosswalk.demand_same(
            {Patient.of(identity) for identity in identities}, subject.modifier
        )
        told = _told_by(identities, former)
        knew_less = [
            one.instance_id for one in done if not _told_by([one.identity], former).covers(told)
        ]
        self._progress.again(len(knew_less))
        again = self._pass(knew_less, subject, spool, former, told)
        made = {one.instance_id: one.made for one in (*done, *again)}.values()
        # Every instance was looked at, so that a person is told of all findings at once.
        if held := [one for one in made if isinstance(one, Quarantine)]:
            raise merge(held)
        records = [one for one in made if isinstance(one, Record)]
        demand_some_left(len(records))
        if len(spool.files) != len(records):
            raise Quarantine(
                "sop-uid-reused",
                "several of its instances have the same SOP Instance UID (0008,0018); "
                "correct them at the source",
            )
        record = _merge(records)
        record.dropped.update(one.code for one in made if isinstance(one, Dropped))
        return record

    def _pass(
        self,
        instance_ids: list[str],
        subject: Subject,
        spool: Spool,
        former: frozenset[str],
        told: _Told | None,
    ) -> list[_Done]:
        def counted(instance_id: str) -> _Done:
            self._go_on()
            with self._room.hold(self._sizes.get(instance_id, 0)):
                data = self._source.download(instance_id)
                self._progress.read()
                done = one(instance_id, data)
            self._progress.deidentified()
            return done

        def one(instance_id: str, data: bytes) -> _Done:
            identity = self._deid.read_identity(data)
            _refuse_deidentified(identity)
            identifiers, known = told or _told_by([identity], former)
            try:
                output = self._engine.deidentify(
                    data, subject, identifiers, known, self._accepted.of_instance(data)
                )
            except Dropped as reason:
                return _Done(instance_id, identity, reason)
            except Quarantine as held:
                self._held.append((instance_id, held))
                if not held.findings:
                    raise
                return _Done(instance_id, identity, mark_instance(data, held))
            spool.add(output.sop_instance_uid, output.data)
            return _Done(instance_id, identity, output.record)

        with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as threads:
            futures = [threads.submit(counted, instance_id) for instance_id in instance_ids]
            try:
                return [future.result() for future in futures]
            finally:
                threads.shutdown(cancel_futures=True)


def _told_by(identities: Iterable[Identity], former: frozenset[str]) -> _Told:
    identities = list(identities)
    return _Told(
        former.union(*(identity.identifiers for identity in identities)),
        union(frozenset(identity.known for identity in identities)),
    )


def _refuse_deidentified(identity: Identity) -> None:
    if identity.deidentified:
        raise Quarantine(
            "already-deidentified",
            "Patient Identity Removed (0012,0062) is YES: it is not anonymized again; "
            "if that is wrong, correct it at the source and send again",
        )


def _merge(records: list[Record]) -> Record:
    first, *others = records
    for record in others:
        first.merge(record)
    return first


def _demand_one_study(identities: list[Identity]) -> None:
    if len({(one.patient_id.strip(), one.study_instance_uid) for one in identities}) > 1:
        raise Quarantine(
            "mixed-identity",
            "its instances do not agree on Patient ID (0010,0020) or Study Instance UID "
            "(0020,000D); correct them at the source",
        )
