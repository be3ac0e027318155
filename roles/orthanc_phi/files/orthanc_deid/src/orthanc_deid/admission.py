# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies of the PHI Orthanc are to be anonymized now."""

from __future__ import annotations

from typing import Any, Protocol

from orthanc_deid.events import SERVICE
from orthanc_deid.orthanc_client import SourceStudy
from orthanc_deid.states import UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Studies, Study


class Queue(Protocol):
    """Where jobs are put."""

    def put(self, study_id: int, delay: float = 0) -> None:
        """Queue a study."""


class Admission:
    """Decides on a study that the PHI Orthanc holds; asked by events and by the reconcile job."""

    def __init__(self, studies: Studies, queue: Queue, *, automatic: bool) -> None:
        self._studies = studies
        self._queue = queue
        self._automatic = automatic

    def consider(self, found: SourceStudy) -> None:
        """Queue the study if it is complete and its present content was not anonymized yet.

        What a person has decided about stays as it is.
        """
        # An anonymized study that was stored here for review is never anonymized again.
        if not found.stable or self._studies.is_anonymous(found.study_instance_uid):
            return
        study = self._studies.add(orthanc_id=found.orthanc_id)
        changed = study.source_last_update != found.last_update
        if study.state in {State.DELIVERED, State.QUARANTINED, State.REVIEW}:
            if changed:
                self.request(study, reason=f"it changed after it was {study.state}")
        elif study.state in {State.RECEIVED, State.STABLE}:
            if self._automatic:
                self.request(study)
            elif study.state is State.RECEIVED:
                self._studies.move(study.id, State.STABLE)

    def request(
        self, study: Study, *, actor: str = SERVICE, reason: str | None = None, **values: Any
    ) -> None:
        """Queue the study in whatever state it is, with all its destinations to be served.

        `values` are columns to set, unless it is on its way already.

        Raises:
            IllegalTransitionError: the study was withdrawn.
        """
        if study.state not in UNFINISHED:
            try:
                self._studies.requeue(study.id, actor=actor, reason=reason, **values)
            except IllegalTransitionError:
                now = self._studies.get(study.id)
                if now is None or now.state not in UNFINISHED:
                    raise  # else another process has just queued it
        self._queue.put(study.id)
