# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands each study to what serves its project."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from orthanc_deid.anonymization import WITHDRAW_PAUSE
from orthanc_deid.courier import Courier
from orthanc_deid.jobs import Runner
from orthanc_deid.orthanc_client import OrthancError
from orthanc_deid.states import UNFINISHED, State
from orthanc_deid.studies import Studies, Study

log = logging.getLogger(__name__)


class ProjectRunners:
    """Runs the studies of all projects.

    Args:
        studies: the crosswalk's.
        runners: by the name of the project.
        courier: of all destinations, for studies whose project is not in the settings any more.
    """

    def __init__(self, studies: Studies, runners: Mapping[str, Runner], courier: Courier) -> None:
        self._studies = studies
        self._runners = runners
        self._courier = courier

    def run(self, study_id: int, job: int | None = None) -> float | None:
        """Take the study as far as it goes now; see `anonymization.StudyRunner`."""
        study = self._studies.get(study_id)
        if study is None:
            return None
        runner = self._runners.get(study.project)
        return runner.run(study_id, job) if runner else self._without_project(study)

    def _without_project(self, study: Study) -> float | None:
        """Take back what is to be withdrawn; hold back what could only be guessed at."""
        if study.state is State.WITHDRAWING:
            try:
                self._courier.withdraw(study)
            except OrthancError as error:
                log.info("postponed", extra={"study": study.id, "reason": str(error)})
                return WITHDRAW_PAUSE
        elif study.state in UNFINISHED:
            if study.state is State.QUEUED:
                self._studies.move(study.id, State.WORKING)
            self._studies.move(
                study.id,
                State.QUARANTINED,
                reason=f"no-project: project {study.project} is not in the settings any more; "
                "define it again, then retry, or withdraw the study",
            )
        return None
