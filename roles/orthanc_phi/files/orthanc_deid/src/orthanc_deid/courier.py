# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring studies to the destinations of a project, and take them back from there.

The crosswalk notes what may be at a destination before the first instance goes there, so that
whatever happens then can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthanc_deid.conditions import Conditions, Sample
from orthanc_deid.destinations import Destination
from orthanc_deid.errors import Quarantine
from orthanc_deid.orthanc_client import (
    CannotWithdrawError,
    OrthancError,
    RefusedError,
    TransientError,
)
from orthanc_deid.progress import Progress
from orthanc_deid.states import State
from orthanc_deid.studies import Studies, Study
from orthanc_deid.study_deidentification import DeidentifiedStudy

Files = Mapping[str, Path]


class Courier:
    """Serves the destinations of one project.

    Args:
        studies: the crosswalk's.
        destinations: where the project's studies go.
        review: where a result waits for a person, if it has to; None if it never leaves PHI.
        filters: which studies a destination takes, by its name; all, if it has none.
        former: further destinations of the site, from which only something may be taken back.
    """

    def __init__(
        self,
        studies: Studies,
        destinations: Iterable[Destination],
        *,
        review: Destination | None = None,
        filters: Mapping[str, Conditions] | None = None,
        former: Iterable[Destination] = (),
    ) -> None:
        self._studies = studies
        self._destinations = list(destinations)
        self.review = review
        self._filters = filters or {}
        places = (*former, *self._destinations, *((review,) if review else ()))
        self._places = {destination.name: destination for destination in places}

    def pending(self, study: Study) -> list[Destination]:
        """Return the destinations that are to have the study, and do not have it yet.

        Raises:
            Quarantine: (code `no-destination`) those that a person chose are not there any more.
        """
        rows = self._studies.deliveries(study.id)
        done = {row.destination for row in rows if row.state == "delivered"}
        return [item for item in self._wanted(study) if item.name not in done]

    def _wanted(self, study: Study) -> list[Destination]:
        chosen = study.chosen_destinations
        wanted = [one for one in self._destinations if chosen is None or one.name in chosen]
        if chosen and len(wanted) < len(chosen):
            raise Quarantine(
                "no-destination",
                f"it is to go to {', '.join(chosen)}, which its project does not have any more; "
                "ask for it again with destinations that the project has",
            )
        return wanted

    def await_any(self, study: Study, pending: list[Destination]) -> None:
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

    @property
    def keywords(self) -> frozenset[str]:
        """What the filters look at."""
        return frozenset().union(*(one.keywords for one in self._filters.values()))

    def taking(
        self, study: Study, pending: list[Destination], samples: list[Sample]
    ) -> list[Destination]:
        """Return the destinations that take the study; the others are noted to leave it out.

        The originals are asked, since what a filter looks at may be gone afterwards.

        Args:
            study: as the crosswalk has it.
            pending: the destinations that do not have it yet.
            samples: what one instance of each series says in `keywords`.

        Raises:
            Quarantine: (code `no-destination`) none takes it.
        """
        wanted = self._wanted(study)
        for destination in self._destinations:
            if destination not in wanted:
                self._studies.leave_out(study.id, destination.name)
        taking = []
        for destination in pending:
            if self._filters.get(destination.name, Conditions()).hold(samples):
                taking.append(destination)
            else:
                self._studies.leave_out(study.id, destination.name)
        if pending and not taking and len(pending) == len(wanted):
            raise Quarantine(
                "no-destination",
                "every destination leaves it out by its filter; change one, or withdraw the study",
            )
        return taking

    def deliver(  # noqa: PLR0913 - a study, where it goes, and who is asked meanwhile
        self,
        study: Study,
        done: DeidentifiedStudy,
        pending: list[Destination],
        files: Files,
        going_on: Callable[[], None],
        *,
        progress: Progress,
    ) -> None:
        """Deliver to all destinations at once; one that is slow or refuses holds up no other.

        `progress` is told of each instance that goes, and what was verified.

        Raises:
            TransientError: some destinations have to be tried again.
            RefusedError: some do not take the study, and all others have it.
        """

        progress.going_to((one.name for one in pending), len(files))

        def bring(destination: Destination) -> OrthancError | None:
            def sending() -> None:
                going_on()
                progress.sent(destination.name)

            try:
                self._replace(study, done, destination)
                self._bring(study, done, destination, files, sending)
                progress.verified(destination.name)
            except OrthancError as error:
                self._studies.set_delivery(study.id, destination.name, error=str(error))
                return error
            return None

        with ThreadPoolExecutor(max(len(pending), 1), thread_name_prefix="delivery") as threads:
            errors = [error for error in threads.map(bring, pending) if error]
        refused = [error for error in errors if isinstance(error, RefusedError)]
        transient = [error for error in errors if error not in refused]
        for kind, told in ((TransientError, transient), (RefusedError, refused)):
            if told:
                raise kind("; ".join(map(str, told)))

    def show(
        self, study: Study, done: DeidentifiedStudy, files: Files, going_on: Callable[[], None]
    ) -> None:
        """Bring a result to where a person looks at it, in the place of an earlier one."""
        self.remove_shown(study)
        if self.review is not None:
            self._bring(study, done, self.review, files, going_on)

    def remove_shown(self, study: Study) -> None:
        """Remove the result that a person was to look at."""
        for row in self._studies.deliveries(study.id):
            if self.review is not None and row.destination == self.review.name:
                self.review.withdraw(row.anonymous_study_uid or "")
                self._studies.forget_delivery(study.id, row.destination)

    def withdraw(self, study: Study) -> None:
        """Delete the study wherever it went; it is `withdrawn` when nothing more can be done here.

        What only a person can take back stays on the study's list as `left`, with what to do.

        Raises:
            TransientError: a destination has to be asked again.
        """
        # What has no anonymous UID noted was never sent.
        places = [
            row.destination
            for row in self._studies.deliveries(study.id)
            if row.anonymous_study_uid and row.state not in {"withdrawn", "left"}
        ]
        problems = [problem for name in places if (problem := self._take_back(study, name))]
        if problems:
            raise TransientError("; ".join(problems))
        left = [row for row in self._studies.deliveries(study.id) if row.state == "left"]
        reason = "; ".join(row.last_error or row.destination for row in left) or None
        self._studies.move(study.id, State.WITHDRAWN, reason=reason)

    def _bring(
        self,
        study: Study,
        done: DeidentifiedStudy,
        destination: Destination,
        files: Files,
        going_on: Callable[[], None],
    ) -> None:
        self._studies.expect_delivery(
            study.id,
            destination.name,
            anonymous_study_uid=done.study_instance_uid,
            profile_digest=done.record.profile_digest,
        )
        destination.deliver(done.study_instance_uid, files, going_on)
        self._studies.set_delivery(study.id, destination.name, instances=len(files))

    def _replace(self, study: Study, done: DeidentifiedStudy, destination: Destination) -> None:
        """Take back what another profile made, so that the two never mix at a destination."""
        made = done.record.profile_digest, done.study_instance_uid
        for row in self._studies.deliveries(study.id):
            there = row.profile_digest, row.anonymous_study_uid
            if row.destination == destination.name and row.profile_digest and there != made:
                try:
                    destination.withdraw(row.anonymous_study_uid or "")
                except CannotWithdrawError as left:
                    self._studies.note("replaced", study_id=study.id, detail=str(left))

    def _take_back(self, study: Study, name: str) -> str | None:
        """Take the study back from one place; returns why that has to be tried again."""
        rows = self._studies.deliveries(study.id)
        there = {row.anonymous_study_uid for row in rows if row.destination == name}
        uids = sorted(uid for uid in {*there, study.anonymous_study_uid} if uid)
        destination = self._places.get(name)
        if destination is None:
            what = f"delete study {' and '.join(uids)} there by hand"
            left = f"{name} is not in the settings any more: {what}"
            self._studies.end_delivery(study.id, name, left=left)
            return None
        try:
            for uid in uids:
                destination.withdraw(uid)
        except CannotWithdrawError as error:
            self._studies.end_delivery(study.id, name, left=str(error))
        except OrthancError as error:
            self._studies.set_delivery(study.id, name, error=str(error))
            return str(error)
        else:
            self._studies.end_delivery(study.id, name)
        return None
