# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about studies and about the service as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from orthanc_deid.admission import Admission, Queue
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.orthanc_client import GoneError, OrthancClient, OrthancError, SourceStudy
from orthanc_deid.states import UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Studies, Study


class StudyRoutes:
    """The answers to requests about studies, by Orthanc's identifier of the study."""

    def __init__(
        self, studies: Studies, queue: Queue, find: Callable[[str], SourceStudy | None]
    ) -> None:
        self._studies = studies
        self._admission = Admission(studies, queue, automatic=True)
        self._find = find

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/status", self.status),
            Route("GET", "/studies/{orthanc_id}", self.study),
            Route("POST", "/studies/{orthanc_id}/anonymize", self.anonymize),
        ]

    def anonymize(self, request: Request, orthanc_id: str) -> Answer:
        """Have a study anonymized, and again with `{"force": true}`."""
        force = request.content().get("force", False)
        if not isinstance(force, bool):
            raise ApiError(400, 'the body must be {"force": true} or {"force": false}')
        found = self._find(orthanc_id)
        if found is None:
            raise ApiError(404, "this Orthanc does not hold such a study")
        if self._studies.is_anonymous(found.study_instance_uid):
            raise ApiError(409, "this study is anonymized already and never anonymized again")
        study = self._studies.add(orthanc_id=found.orthanc_id)
        done = study.state is State.DELIVERED and study.source_last_update == found.last_update
        if not done or force:
            try:
                self._admission.request(study, actor=request.user, reason="asked for")
            except IllegalTransitionError as error:
                raise ApiError(409, str(error)) from None
        return 202, self._describe(self._studies.get(study.id) or study)

    def study(self, _request: Request, orthanc_id: str) -> Answer:
        """Tell how far a study has come."""
        study = self._studies.find_orthanc(orthanc_id)
        if study is None:
            raise ApiError(404, "this study is not known to the crosswalk yet")
        return 200, self._describe(study)

    def status(self, _request: Request) -> Answer:
        """Tell how many studies are in each state, and what waits."""
        length, oldest = self._studies.backlog()
        age = None if oldest is None else round((datetime.now(UTC) - oldest).total_seconds())
        return 200, {
            "states": {str(state): count for state, count in self._studies.counts().items()},
            "queue_length": length,
            "oldest_age_seconds": age,
        }

    def _describe(self, study: Study) -> dict[str, Any]:
        return {
            "study": study.id,
            "state": study.state,
            "reason": study.reason,
            "attempts": study.attempts,
            "subject_number": study.number,
            "anonymous_study_uid": study.anonymous_study_uid,
            "finished": study.state not in UNFINISHED,
            "destinations": [
                {
                    **asdict(delivery),
                    "delivered_at": delivery.delivered_at and delivery.delivered_at.isoformat(),
                }
                for delivery in self._studies.deliveries(study.id)
            ],
        }


def study_finder(phi: OrthancClient) -> Callable[[str], SourceStudy | None]:
    """Return the function that asks the PHI Orthanc for a study; None if it does not hold it."""

    def find(orthanc_id: str) -> SourceStudy | None:
        try:
            return phi.study(orthanc_id)
        except GoneError:
            return None
        except OrthancError as error:
            raise ApiError(503, f"{error}; try again later") from None

    return find
