# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one study through a worker: read, de-identify, check, deliver, verify."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid.conditions import Conditions
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destinations import Destination
from orthanc_deid.errors import DeidError, Quarantine
from orthanc_deid.logs import describe
from orthanc_deid.orthanc_client import (
    GoneError,
    OrthancClient,
    OrthancError,
    RefusedError,
    SourceStudy,
    TransientError,
)
from orthanc_deid.patient import NotListed, Patient
from orthanc_deid.spool import Spool
from orthanc_deid.states import UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Study
from orthanc_deid.study_deidentification import Deidentification, StudyDeidentifier

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds
UNSTABLE_PAUSE = 15.0  # seconds


class StoppedError(DeidError):
    """The worker has to end; the study goes back into the queue."""


class ChangedError(DeidError):
    """The study is still being received, or changed while it was processed."""


class StudyRunner:
    """Anonymizes and delivers studies, one after the other."""

    def __init__(  # noqa: PLR0913 - it joins all parts of the service
        self,
        *,
        crosswalk: Crosswalk,
        source: OrthancClient,
        deidentification: Deidentification,
        destinations: Iterable[Destination],
        filters: Mapping[str, Conditions] | None = None,
        spool_dir: Path,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._crosswalk = crosswalk
        self._studies = crosswalk.studies
        self._source = source
        self._deidentifier = StudyDeidentifier(crosswalk, source, deidentification, self._go_on)
        self._destinations = list(destinations)
        self._filters = filters or {}
        self._spool_dir = spool_dir
        self._stopping = stopping

    def run(self, study_id: int, job: int | None = None) -> float | None:
        """Take the study as far as it goes now.

        Returns the seconds after which to try again, or None if there is nothing more to do.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the crosswalk does not answer; the study stays as it
                is, and the reconcile job takes it up.
        """
        study = self._studies.get(study_id)
        if study is None or study.state not in UNFINISHED:
            return None
        self._begin(study)
        started = time.monotonic()
        try:
            instances = self._process(study)
        except Exception as error:
            return self._end_badly(study, job, error)
        seconds = round(time.monotonic() - started, 3)
        self._log("delivered", study, job, instances=instances, seconds=seconds)
        return None

    def _begin(self, study: Study) -> None:
        if study.state is not State.QUEUED:
            self._studies.move(study.id, State.QUEUED, reason="taken up after its worker ended")
        self._studies.move(study.id, State.WORKING)

    def _end_badly(self, study: Study, job: int | None, error: Exception) -> float | None:
        """Put the study into the state that follows from `error`."""
        match error:
            case SQLAlchemyError():
                raise error
            case StoppedError() | ChangedError() | TransientError() | OSError():
                return self._retry(study, job, error)
            case GoneError():
                self._studies.move(study.id, State.RECEIVED, reason="deleted before it was done")
                self._log("deleted", study, job)
            case NotListed():
                self._quarantine(study, job, error.code, error.message)
                return self._look_again(study, error.patient)
            case Quarantine():
                self._quarantine(study, job, error.code, error.message)
            case RefusedError():
                self._quarantine(study, job, "refused", str(error))
            case _:
                extra = {"study": study.id, "job": job}
                log.error("a fault of the program", exc_info=error, extra=extra)
                place = describe(type(error), error.__traceback__)
                message = f"the program failed ({place}); report this, then retry"
                self._quarantine(study, job, "internal-error", message)
        return None

    def _quarantine(self, study: Study, job: int | None, code: str, message: str) -> None:
        try:
            seen = self._source.study(study.orthanc_id or "").last_update
        except (GoneError, TransientError):
            seen = None  # then the next look at PHI takes it up once more
        reason = f"{code}: {message}"
        self._studies.move(study.id, State.QUARANTINED, reason=reason, source_last_update=seen)
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

    def _process(self, study: Study) -> int:
        pending = self._pending(study)
        if study.attempts:
            self._await_any(pending, study)
        seen, instance_ids = self._look(study)
        pending = self._filter(study, pending)
        with Spool(self._spool_dir, study.id) as spool:
            done = self._deidentifier.run(study, instance_ids, spool)
            if self._look(study) != (seen, instance_ids):
                raise ChangedError("it changed while it was processed")
            if not self._studies.begin_delivery(study.id, done.subject):
                raise ChangedError("its subject was merged with another one")
            self._deliver(study, done.study_instance_uid, pending, spool.files)
        self._studies.finish(
            study.id,
            source_instances=len(instance_ids),
            source_last_update=seen.last_update,
            record=done.record.to_dict(),
        )
        return done.record.instances

    def _pending(self, study: Study) -> list[Destination]:
        done = {
            item.destination
            for item in self._studies.deliveries(study.id)
            if item.state == "delivered"
        }
        return [item for item in self._destinations if item.name not in done]

    def _filter(self, study: Study, pending: list[Destination]) -> list[Destination]:
        """Return the destinations that take the study; the others are noted to leave it out.

        The originals are asked, since what a filter looks at may be gone afterwards.
        """
        keywords = frozenset().union(*(one.keywords for one in self._filters.values()))
        samples = self._deidentifier.samples(study, keywords)
        taking = []
        for destination in pending:
            if self._filters.get(destination.name, Conditions()).hold(samples):
                taking.append(destination)
            else:
                self._studies.leave_out(study.id, destination.name)
        if pending and not taking and len(pending) == len(self._destinations):
            raise Quarantine(
                "no-destination",
                "every destination leaves it out by its filter; change one, or withdraw the study",
            )
        return taking

    def _await_any(self, pending: list[Destination], study: Study) -> None:
        """Raise unless a destination can be reached: else the work would be done for nothing."""
        problems = []
        for destination in pending:
            try:
                destination.check()
            except TransientError as error:
                self._studies.set_delivery(study.id, destination.name, error=str(error))
                problems.append(str(error))
            else:
                return
        if problems:
            raise TransientError("; ".join(problems))

    def _look(self, study: Study) -> tuple[SourceStudy, list[str]]:
        seen = self._source.study(study.orthanc_id or "")
        # LastUpdate counts in seconds: only when a study rests does it tell all changes.
        if not seen.stable:
            raise ChangedError("it is still being received")
        return seen, sorted(self._source.instance_ids(seen.orthanc_id))

    def _deliver(
        self,
        study: Study,
        anonymous_uid: str,
        pending: list[Destination],
        files: dict[str, Path],
    ) -> None:
        """Deliver to all destinations at once; one that is slow or refuses holds up no other."""

        def deliver(destination: Destination) -> OrthancError | None:
            try:
                destination.deliver(anonymous_uid, files, self._go_on)
            except OrthancError as error:
                self._studies.set_delivery(study.id, destination.name, error=str(error))
                return error
            self._studies.set_delivery(study.id, destination.name, instances=len(files))
            return None

        with ThreadPoolExecutor(max(len(pending), 1), thread_name_prefix="delivery") as threads:
            errors = [error for error in threads.map(deliver, pending) if error]
        refused = [error for error in errors if isinstance(error, RefusedError)]
        transient = [error for error in errors if error not in refused]
        for kind, told in ((TransientError, transient), (RefusedError, refused)):
            if told:
                raise kind("; ".join(map(str, told)))

    def _go_on(self) -> None:
        if self._stopping():
            raise StoppedError("the worker stopped")

    def _log(self, event: str, study: Study, job: int | None, **values: Any) -> None:
        now = self._studies.get(study.id)
        anonymous_uid = now.anonymous_study_uid if now else None
        extra = {"study": study.id, "job": job, "anonymous_study_uid": anonymous_uid, **values}
        log.info(event, extra=extra)
