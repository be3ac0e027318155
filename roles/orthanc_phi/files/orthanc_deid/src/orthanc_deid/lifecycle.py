# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons decide about a study: the operations behind commands, routes and pages.

Each is safe to repeat: what has been done already changes nothing and leaves no second event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orthanc_deid.admission import Admission, Queue
from orthanc_deid.errors import DeidError
from orthanc_deid.states import UNFINISHED, WITH_JOB, IllegalTransitionError, State
from orthanc_deid.studies import Studies, Study


class NotPossibleError(DeidError):
    """The study's state does not allow what was asked for; the text says what can be done."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person asks for.

    Attributes:
        actor: who.
        note: why, in the person's own words.
        profile: by which other profile the study is to be anonymized; empty for the project's,
            None for the one that it had.
        review: whether the result waits for a person before it goes out; None leaves that.
        destinations: to which of its project's destinations the study goes; empty for all of
            them, None for those that it had.
    """

    actor: str
    note: str = ""
    profile: str | None = None
    review: bool | None = None
    destinations: Collection[str] | None = None


class Lifecycle:
    """Moves studies as persons decide.

    Args:
        studies: the crosswalk's.
        queue: where jobs are put.
        profiles: which profiles may be asked for besides the project's.
        destinations: of each project by its name.
    """

    def __init__(
        self,
        studies: Studies,
        queue: Queue,
        profiles: Collection[str] = (),
        destinations: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._studies = studies
        self._queue = queue
        self._profiles = profiles
        self._destinations = destinations or {}
        self._admission = Admission(studies, queue, automatic=True)

    def anonymize(
        self, study: Study, decision: Decision, *, last_update: str = "", force: bool = False
    ) -> Study:
        """Queue a study that is not done yet, and with `force` also one that is.

        `last_update` is what the PHI Orthanc says of the study: one that has changed since it was
        done is not done.

        Raises:
            NotPossibleError: a person has decided that it does not go out.
        """
        waits = study.state in {State.DELIVERED, State.REVIEW}
        done = waits and study.source_last_update == last_update
        if study.state is State.REJECTED and not force:
            raise NotPossibleError("the study was rejected; ask for it with force, or retry it")
        if not done or force or self._choices(study, decision):
            self._queue_again(study, decision, "asked for")
        return self._now(study)

    def retry(self, study: Study, decision: Decision) -> Study:
        """Anonymize and deliver a study again, whatever became of it before.

        What an earlier profile made is replaced at every destination.

        Raises:
            NotPossibleError: the study was withdrawn.
        """
        self._queue_again(study, decision, "asked for again")
        return self._now(study)

    def release(self, study: Study, decision: Decision) -> Study:
        """Accept why a study waits, so that it goes out; everything else is checked as ever.

        Raises:
            NotPossibleError: it does not wait for a person, what holds it back cannot be accepted,
                or the note is missing.
        """
        if study.state is State.QUARANTINED and not decision.note.strip():
            raise NotPossibleError("a release from quarantine needs a note that says why")
        if study.state in {State.QUARANTINED, State.REVIEW}:
            if not self._studies.release(study.id, actor=decision.actor, note=decision.note):
                raise NotPossibleError(
                    f"this cannot be released, only corrected: {study.reason}"
                    if study.reason
                    else "this cannot be released; retry it"
                )
            self._queue.put(study.id)
        elif study.state in {*UNFINISHED, State.DELIVERED} and self._studies.accepted(study.id):
            if study.state in UNFINISHED:
                self._queue.put(study.id)
        else:
            raise NotPossibleError(f"the study is {study.state}: there is nothing to release")
        return self._now(study)

    def reject(self, study: Study, decision: Decision) -> Study:
        """Keep a study from going out until somebody retries it; late instances change nothing.

        Raises:
            NotPossibleError: it is on its way or has gone out; withdraw it instead.
        """
        if study.state is not State.REJECTED:
            reason = decision.note.strip() or "rejected"
            self._move(study, State.REJECTED, decision, reason, "withdraw it instead")
        self._queue.put(study.id)  # to remove what a person looked at
        return self._now(study)

    def withdraw(self, study: Study, decision: Decision) -> Study:
        """Take a study back from everywhere, for good; nothing that arrives later goes out.

        A worker does it. What only a person can take back is told by the deliveries that are left.
        """
        if study.state not in {State.WITHDRAWING, State.WITHDRAWN}:
            reason = decision.note.strip() or "withdrawn"
            self._move(study, State.WITHDRAWING, decision, reason, "try again")
        now = self._now(study)
        if now.state is State.WITHDRAWING:
            self._queue.put(study.id)
        return now

    def settle(self, study: Study, destination: str, decision: Decision) -> Study:
        """Note that a person has taken a withdrawn study back from a destination.

        Raises:
            NotPossibleError: the study has nothing left there.
        """
        rows = {row.destination: row.state for row in self._studies.deliveries(study.id)}
        if rows.get(destination) == "left":
            self._studies.end_delivery(study.id, destination, actor=decision.actor)
        elif rows.get(destination) != "withdrawn":
            left = ", ".join(name for name, state in rows.items() if state == "left")
            raise NotPossibleError(
                f"nothing of the study is left at {destination!r}; "
                f"{left or 'no destination'} has something left"
            )
        return self._now(study)

    def _queue_again(self, study: Study, decision: Decision, reason: str) -> None:
        if decision.profile and decision.profile not in self._profiles:
            allowed = ", ".join(sorted(self._profiles)) or "none"
            raise NotPossibleError(
                f"profile {decision.profile!r} cannot be asked for; the site allows {allowed} "
                "besides the project's own"
            )
        known = self._destinations.get(study.project, ())
        if unknown := sorted(set(decision.destinations or ()) - set(known)):
            raise NotPossibleError(
                f"{', '.join(unknown)} is no destination of project {study.project}; "
                f"it has {', '.join(known) or 'none that can be chosen'}"
            )
        choices = self._choices(study, decision)
        if choices and study.state in WITH_JOB:
            raise NotPossibleError(
                f"the study is {study.state}; choose profile, review and destinations when that "
                "has ended"
            )
        if decision.destinations:
            reason = f"{reason} for {', '.join(sorted(decision.destinations))}"
        reason = f"{reason}: {decision.note}" if decision.note else reason
        try:
            self._admission.request(study, actor=decision.actor, reason=reason, **choices)
        except IllegalTransitionError as error:
            raise NotPossibleError(str(error)) from None

    @staticmethod
    def _choices(study: Study, decision: Decision) -> dict[str, Any]:
        """Return the columns that the decision changes."""
        choices: dict[str, Any] = {}
        if decision.profile is not None and (decision.profile or None) != study.profile:
            choices["profile"] = decision.profile or None
        if decision.review is not None and decision.review != study.review:
            choices["review"] = decision.review
        if decision.destinations is not None:
            chosen = sorted(set(decision.destinations)) or None
            if chosen != study.chosen_destinations:
                choices["chosen_destinations"] = chosen
        return choices

    def _move(
        self, study: Study, target: State, decision: Decision, reason: str, instead: str
    ) -> None:
        try:
            self._studies.move(study.id, target, actor=decision.actor, reason=reason, findings=None)
        except IllegalTransitionError as error:
            if self._now(study).state is not target:
                raise NotPossibleError(f"{error}: {instead}") from None

    def _now(self, study: Study) -> Study:
        return self._studies.get(study.id) or study
