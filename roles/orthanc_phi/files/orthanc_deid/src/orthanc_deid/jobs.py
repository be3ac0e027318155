# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of jobs: anonymize one study, and find what no job takes care of."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

import procrastinate
import sqlalchemy as sa
from procrastinate.jobs import Status

from orthanc_deid.admission import Admission, Join, Queue
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.events import now
from orthanc_deid.job_queue import ANONYMIZE, RECONCILE, RECONCILE_PRIORITY, Claims
from orthanc_deid.orthanc_client import OrthancClient, OrthancError
from orthanc_deid.phi_changes import REACH, PhiChanges, Position
from orthanc_deid.states import WITH_JOB

log = logging.getLogger(__name__)

CLAIM_SECONDS = 5.0  # a job that was taken longer ago holds its study
OCCUPIED_PAUSE = 30.0


class Runner(Protocol):
    """What takes one study as far as it goes; see `anonymization.StudyRunner`."""

    def run(self, study_id: int, job: int | None = None) -> float | None:
        """Return the seconds after which to try again, or None."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the jobs work with."""

    crosswalk: Crosswalk
    source: OrthancClient
    runner: Runner
    join: Join
    reconcile_minutes: int


def register_tasks(app: procrastinate.App, service: Service, queue: Queue) -> None:
    """Make the jobs known to `app`; those that follow from them go into `queue`."""

    @app.task(name=ANONYMIZE, pass_context=True)
    def anonymize_study(context: procrastinate.JobContext, study: int) -> None:
        anonymize(service, queue, study, context.job.id)

    @app.periodic(cron=f"*/{service.reconcile_minutes} * * * *")
    @app.task(name=RECONCILE, queueing_lock=RECONCILE, priority=RECONCILE_PRIORITY)
    async def reconcile_all(timestamp: int) -> None:
        with_job = await release_abandoned(app, Claims(service.crosswalk.engine))
        # Orthanc's start and that of a worker ask with 0, see `JobQueue.reconcile`.
        complete = timestamp == 0
        await asyncio.to_thread(reconcile, service, queue, with_job, complete=complete)


def anonymize(service: Service, queue: Queue, study_id: int, job: int | None = None) -> None:
    """Work on a study and, if that has to be continued, queue it again.

    A job is never retried in place: Procrastinate could not put it back while another job of the
    same study waits.
    """
    with Claims(service.crosswalk.engine).claim(study_id) as free:
        pause = service.runner.run(study_id, job) if free else OCCUPIED_PAUSE
    if pause is not None:
        queue.put(study_id, pause)


async def release_abandoned(
    app: procrastinate.App, claims: Claims, pause: float = CLAIM_SECONDS
) -> set[int]:
    """End the jobs that nobody runs any more; returns the studies that have a job.

    Such are the jobs of workers that died, and jobs whose end could not be written down because
    the database was away. Nobody holds their studies, and still nobody does after `pause` seconds,
    in which a job that was just taken claims its study.
    """
    if suspects := await _unclaimed(app, claims):
        await asyncio.sleep(pause)
        for job, study in suspects.items() & (await _unclaimed(app, claims)).items():
            await app.job_manager.finish_job_by_id_async(job, Status.FAILED, delete_job=True)
            log.warning("released an abandoned job", extra={"study": study, "job": job})
    return {*(await _studies_by_job(app, Status.TODO)).values()} | {
        *(await _studies_by_job(app, Status.DOING)).values()
    }


async def _unclaimed(app: procrastinate.App, claims: Claims) -> dict[int, int]:
    """Return the studies of jobs that should run, but do not hold them."""
    running = await _studies_by_job(app, Status.DOING)
    return {
        job: study
        for job, study in running.items()
        if await asyncio.to_thread(claims.is_free, study)
    }


async def _studies_by_job(app: procrastinate.App, status: Status) -> dict[int, int]:
    jobs = await app.job_manager.list_jobs_async(task=ANONYMIZE, status=status.value)
    return {job.id: int(str(job.task_kwargs["study"])) for job in jobs if job.id is not None}


def reconcile(service: Service, queue: Queue, with_job: set[int], *, complete: bool = True) -> None:
    """Give a job to every study that should have one, and look at what PHI holds.

    `complete` has all of it looked at, else that is done where it is due, see `phi_changes`.
    """
    for study in service.crosswalk.studies.in_states(WITH_JOB):
        if study.id not in with_job:
            queue.put(study.id)
    admission = Admission(service.crosswalk.studies, queue, join=service.join)
    try:
        look_at_phi(service, admission, complete=complete)
        service.crosswalk.lookup.refill(service.source)
    except OrthancError as error:
        log.warning("the next look at PHI will be complete", extra={"reason": str(error)})
    except sa.exc.SQLAlchemyError as error:
        log.warning("the crosswalk does not answer", exc_info=error)


def look_at_phi(service: Service, admission: Admission, *, complete: bool) -> None:
    """Consider every study that PHI holds, or only those that have changed since the last look.

    The position moves on only after everything before it was considered.
    """
    source, held = service.source, service.crosswalk.held
    changes = PhiChanges(service.crosswalk.engine, source)
    last = source.last_change()
    known = changes.position()
    if known is None or complete or changes.is_complete_due(last):
        position, complete_at = last, now()
        for study in held.watch(source, source.studies()):
            admission.consider(study)
            if not study.stable:
                position = max(last - REACH, 0)
    else:
        position, complete_at = last, known.complete_at
        for number, study in changes.changed(known.change, last):
            held.look(source, study.orthanc_id)
            admission.consider(study)
            if not study.stable:
                position = min(position, number - 1)
    changes.keep(Position(position, complete_at))
