# SPDX-License-Identifier: GPL-3.0-or-later
"""What the REST routes of the PHI Orthanc answer; `mod_phi.py` connects them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from orthanc_deid.admission import Admission, Queue
from orthanc_deid.agent_client import Answer
from orthanc_deid.orthanc_client import SourceStudy
from orthanc_deid.states import UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Studies, Study


class Routes:
    """The answers to requests about studies, by Orthanc's identifier of the study."""

    def __init__(self, studies: Studies, queue: Queue) -> None:
        self._studies = studies
        self._admission = Admission(studies, queue, automatic=True)

    def anonymize(self, found: SourceStudy, body: str, actor: str) -> Answer:
        """POST /deid/studies/{id}/anonymize with `{"force": false}`."""
        force = _read_force(body)
        if force is None:
            return 400, {"error": 'the body must be {"force": true} or {"force": false}'}
        if self._studies.is_anonymous(found.study_instance_uid):
            return 409, {"error": "this study is anonymized already and never anonymized again"}
        study = self._studies.add(orthanc_id=found.orthanc_id)
        done = study.state is State.DELIVERED and study.source_last_update == found.last_update
        if not done or force:
            try:
                self._admission.request(study, actor=actor, reason="asked for")
            except IllegalTransitionError as error:
                return 409, {"error": str(error)}
        return 202, self._describe(self._studies.get(study.id) or study)

    def study(self, orthanc_id: str) -> Answer:
        """GET /deid/studies/{id}."""
        study = self._studies.find_orthanc(orthanc_id)
        if study is None:
            return 404, {"error": "this study is not known to the crosswalk yet"}
        return 200, self._describe(study)

    def status(self) -> Answer:
        """GET /deid/status."""
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


def _read_force(body: str) -> bool | None:
    """Return what the body of a request says; None if it cannot be understood."""
    try:
        content = json.loads(body) if body.strip() else {}
    except ValueError:
        return None
    force = content.get("force", False) if isinstance(content, dict) else None
    return force if isinstance(force, bool) else None
