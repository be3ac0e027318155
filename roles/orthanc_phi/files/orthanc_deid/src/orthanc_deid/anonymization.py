# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one study through a worker: read, de-identify, check, deliver, verify."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid.courier import Courier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import DeidError, ProfileError, Quarantine
from orthanc_deid.findings import Accepted, mark_result
from orthanc_deid.logs import describe
from orthanc_deid.memory_room import MemoryRoom
from orthanc_deid.orthanc_client import (
    GoneError,
    OrthancClient,
    OrthancError,
    RefusedError,
    SourceStudy,
    TransientError,
)
from orthanc_deid.patient import NotListed, Patient
from orthanc_deid.progress import Progress
from orthanc_deid.spool import Spool
from orthanc_deid.states import DECIDED, UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Study
from orthanc_deid.study_deidentification import (
    Deidentification,
    DeidentifiedStudy,
    StudyDeidentifier,
)

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds
UNSTABLE_PAUSE = 15.0  # seconds
WITHDRAW_PAUSE = 60.0  # seconds
LOOK_EVERY = 2.0  # seconds between looks whether the study was withdrawn meanwhile


class StoppedError(DeidError):
    """The worker has to end; the study goes back into the queue."""


class DecidedError(DeidError):
    """A person decided meanwhile that the study does not go out."""


class ChangedError(DeidError):
    """The study is still being received, or changed while it was processed."""


class StudyRunner:
    """Anonymizes and delivers the studies of one project; may be used by several threads.

    Args:
        crosswalk: the project's.
        source: the PHI Orthanc.
        deidentification: how the project's studies are de-identified; asked with the name of
            another profile where a person wants one, and raises `ProfileError` if the site does
            not allow it.
        courier: brings its studies to the destinations.
        always_review: whether every result waits for a person before it goes out.
        spool_dir: where results are kept on their way.
        room: for the instances of all studies that the process works on at once.
        stopping: whether the worker has to end.
    """

    def __init__(  # noqa: PLR0913 - it joins all parts of the service
        self,
        *,
        crosswalk: Crosswalk,
        source: OrthancClient,
        deidentification: Callable[[str | None], Deidentification],
        courier: Courier,
        spool_dir: Path,
        room: MemoryRoom | None = None,
        always_review: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._crosswalk = crosswalk
        self._studies = crosswalk.studies
        self._source = source
        self._deidentification = deidentification
        self._courier = courier
        self._always_review = always_review
        self._spool_dir = spool_dir
        self._room = room or MemoryRoom.of_container()
        self._stopping = stopping
        self._looked: dict[int, float] = {}

    def run(self, study_id: int, job: int | None = None) -> float | None:
        """Take the study as far as it goes now.

        Returns the seconds after which to try again, or None if there is nothing more to do.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the crosswalk does not answer; the study stays as it
                is, and the reconcile job takes it up.
        """
        study = self._studies.get(study_id)
        if study is None:
            return None
        if study.state in UNFINISHED:
            self._begin(study)
        started = time.monotonic()
        try:
            event, instances = self._take_on(study)
        except Exception as error:
            return self._end_badly(study, job, error)
        finally:
            self._looked.pop(study.id, None)
        seconds = round(time.monotonic() - started, 3)
        self._log(event, study, job, instances=instances, seconds=seconds)
        return None

    def _take_on(self, study: Study) -> tuple[str, int]:
        """Do what the study's state asks for; returns what happened, and to how many instances."""
        if study.state in UNFINISHED:
            return self._process(study)
        if study.state is State.WITHDRAWING:
            self._courier.withdraw(study)
            return "withdrawn", 0
        if study.state is State.REJECTED:
            self._courier.remove_shown(study)
        return "nothing to do", 0

    def _begin(self, study: Study) -> None:
        if study.state is not State.QUEUED:
            self._studies.move(study.id, State.QUEUED, reason="taken up after its worker ended")
        self._studies.move(study.id, State.WORKING)

    def _end_badly(self, study: Study, job: int | None, error: Exception) -> float | None:
        """Put the study into the state that follows from `error`."""
        match error:
            case SQLAlchemyError():
                raise error
            case _ if self._is_decided(study):
                return self._turn(study, job, error)
            case StoppedError() | ChangedError() | TransientError() | OSError():
                return self._retry(study, job, error)
            case GoneError():
                self._studies.move(study.id, State.RECEIVED, reason="deleted before it was done")
                self._log("deleted", study, job)
            case NotListed():
                self._quarantine(study, job, error.code, error.message)
                return self._look_again(study, error.patient)
            case Quarantine():
                self._quarantine(study, job, error.code, error.message, error.findings)
            case RefusedError():
                self._quarantine(study, job, "refused", str(error))
            case ProfileError():
                self._quarantine(study, job, "profile", str(error))
            case _:
                extra = {"study": study.id, "job": job}
                log.error("a fault of the program", exc_info=error, extra=extra)
                place = describe(type(error), error.__traceback__)
                message = f"the program failed ({place}); report this, then retry"
                self._quarantine(study, job, "internal-error", message)
        return None

    def _is_decided(self, study: Study) -> bool:
        now = self._studies.get(study.id)
        return now is not None and now.state in DECIDED

    def _turn(self, study: Study, job: int | None, error: Exception) -> float | None:
        """Go on with what a person decided about the study."""
        if isinstance(error, DecidedError | IllegalTransitionError):
            return 0.0
        if not isinstance(error, OrthancError | StoppedError):
            extra = {"study": study.id, "job": job}
            log.error("a fault of the program", exc_info=error, extra=extra)
        self._log("postponed", study, job, reason=str(error), seconds=LONGEST_PAUSE)
        return FIRST_PAUSE if isinstance(error, StoppedError) else WITHDRAW_PAUSE

    def _quarantine(
        self,
        study: Study,
        job: int | None,
        code: str,
        message: str,
        findings: Iterable[str] = (),
    ) -> None:
        try:
            seen = self._source.study(study.orthanc_id or "").last_update
        except (GoneError, TransientError):
            seen = None  # then the next look at PHI takes it up once more
        reason = f"{code}: {message}"
        self._studies.move(
            study.id,
            State.QUARANTINED,
            reason=reason,
            source_last_update=seen,
            findings=sorted(findings) or None,
        )
        self._log("quarantined", study, job, reason=code)

    def _look_again(self, study: Study, patient: Patient) -> float | None:
        """Go on if a list gave the patient a number just before the study began to wait."""
        if not self._crosswalk.is_listed(patient):
            return None
        try:
            self._studies.requeue(study.id, reason="listed meanwhile")
        except IllegalTransitionError:
            return None  # whoever loaded the list has queued it
        return 0.0

    def _retry(self, study: Study, job: int | None, error: Exception) -> float:
        message = error.strerror or "" if isinstance(error, OSError) else str(error)
        attempts = study.attempts
        match error:
            case StoppedError():
                pause = 0.0
            case ChangedError():
                pause = UNSTABLE_PAUSE
            case _:
                attempts += 1
                pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 10), LONGEST_PAUSE)
        self._studies.move(study.id, State.QUEUED, reason=message, attempts=attempts)
        self._log("postponed", study, job, reason=message, seconds=pause)
        return pause

    def _process(self, study: Study) -> tuple[str, int]:
        pending = self._courier.pending(study)
        if study.attempts:
            self._courier.await_any(study, pending)
        seen, instance_ids = self._look(study)
        accepted = Accepted(self._studies.accepted(study.id))
        deidentifier = self._deidentifier(study, accepted)
        samples = deidentifier.samples(study, self._courier.keywords)
        pending = self._courier.taking(study, pending, samples)
        with Spool(self._spool_dir, study.id) as spool:
            progress = Progress(self._studies, study.id, len(instance_ids))
            done = deidentifier.run(study, instance_ids, spool, progress)
            if self._look(study) != (seen, instance_ids):
                raise ChangedError("it changed while it was processed")
            facts: dict[str, Any] = {
                "source_instances": len(instance_ids),
                "source_last_update": seen.last_update,
                "record": done.record.to_dict(),
            }
            if self._has_review(study):
                _demand_new_uid(seen, done)
            if self._has_review(study) and (mark := mark_result(spool.files)) not in accepted:
                self._courier.show(study, done, spool.files, lambda: self._go_on(study))
                self._studies.move(study.id, State.REVIEW, findings=[mark], **facts)
                return "waits for review", done.record.instances
            if not self._studies.begin_delivery(study.id, done.subject):
                raise ChangedError("its subject was merged with another one")
            self._courier.deliver(
                study, done, pending, spool.files, lambda: self._go_on(study), progress=progress
            )
        self._courier.remove_shown(study)
        self._studies.finish(study.id, **facts)
        return "delivered", done.record.instances

    def _deidentifier(self, study: Study, accepted: Accepted) -> StudyDeidentifier:
        return StudyDeidentifier(
            self._crosswalk,
            self._source,
            self._deidentification(study.profile),
            lambda: self._go_on(study),
            accepted,
            room=self._room,
        )

    def _has_review(self, study: Study) -> bool:
        # What is not forwarded waits on PHI anyway.
        return self._courier.review is not None and (study.review or self._always_review)

    def _look(self, study: Study) -> tuple[SourceStudy, list[str]]:
        seen = self._source.study(study.orthanc_id or "")
        # LastUpdate counts in seconds: only when a study rests does it tell all changes.
        if not seen.stable:
            raise ChangedError("it is still being received")
        return seen, sorted(self._source.instance_ids(seen.orthanc_id))

    def _go_on(self, study: Study) -> None:
        if self._stopping():
            raise StoppedError("the worker stopped")
        if time.monotonic() - self._looked.get(study.id, 0.0) > LOOK_EVERY:
            self._looked[study.id] = time.monotonic()
            if self._is_decided(study):
                raise DecidedError("the study was withdrawn meanwhile")

    def _log(self, event: str, study: Study, job: int | None, **values: Any) -> None:
        now = self._studies.get(study.id)
        anonymous_uid = now.anonymous_study_uid if now else None
        extra = {"study": study.id, "job": job, "anonymous_study_uid": anonymous_uid, **values}
        log.info(event, extra=extra)


def _demand_new_uid(seen: SourceStudy, done: DeidentifiedStudy) -> None:
    """Refuse to put a result beside its original under the same UID: they would be one study."""
    if done.study_instance_uid == seen.study_instance_uid:
        raise Quarantine(
            "review-needs-new-uids",
            "the profile keeps UIDs, so the result cannot wait on PHI beside its original; "
            "ask for the study without review, or by another profile",
        )
