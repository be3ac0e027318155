# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies of the PHI Orthanc are to be anonymized now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from orthanc_deid.events import SERVICE
from orthanc_deid.orthanc_client import SourceStudy
from orthanc_deid.states import UNFINISHED, IllegalTransitionError, State
from orthanc_deid.studies import Studies, Study


class Queue(Protocol):
    """Where jobs are put."""

    def put(self, study_id: int, delay: float = 0) -> None:
        """Queue a study."""


Join = Callable[[SourceStudy], Mapping[str, bool]]
"""Tells which projects a study joins by itself, and whether it is anonymized there by itself."""


class Admission:
    """Decides on a study that the PHI Orthanc holds; asked by events and by the reconcile job.

    Args:
        studies: the crosswalk's.
        queue: where jobs are put.
        join: which projects a study joins; the one of `studies` if not given.
        automatic: whether it is anonymized there by itself, if `join` is not given.
    """

    def __init__(
        self, studies: Studies, queue: Queue, *, join: Join | None = None, automatic: bool = True
    ) -> None:
        self._studies = studies
        self._queue = queue
        self._join = join or (lambda _: {studies.project: automatic})

    def consider(self, found: SourceStudy) -> None:
        """Queue the study if it is complete and its present content was not anonymized yet.

        What a person has decided about stays as it is, and what was withdrawn joins nothing else.
        """
        # An anonymized study that was stored here for review is never anonymized again.
        if not found.stable or self._studies.is_anonymous(found.study_instance_uid):
            return
        known = {study.project: study for study in self._studies.of_orthanc(found.orthanc_id)}
        if known and all(one.source_last_update == found.last_update for one in known.values()):
            return
        joined = {} if is_withdrawn(known.values()) else self._join(found)
        for project in joined.keys() | known.keys():
            study = known.get(project) or self._studies.add(
                orthanc_id=found.orthanc_id, project=project
            )
            self._consider_in_project(study, found, joined.get(project))

    def _consider_in_project(
        self, study: Study, found: SourceStudy, automatic: bool | None
    ) -> None:
        changed = study.source_last_update != found.last_update
        if study.state in {State.DELIVERED, State.QUARANTINED, State.REVIEW}:
            if changed:
                self.request(study, reason=f"it changed after it was {study.state}")
        elif study.state in {State.RECEIVED, State.STABLE}:
            if automatic:
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


def is_withdrawn(known: Iterable[Study]) -> bool:
    """Tell whether a study was withdrawn from every project that it was in."""
    states = {study.state for study in known}
    return bool(states) and states <= {State.WITHDRAWING, State.WITHDRAWN}
