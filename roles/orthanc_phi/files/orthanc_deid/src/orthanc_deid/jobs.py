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

from orthanc_deid.admission import Admission, Queue
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.job_queue import ANONYMIZE, RECONCILE, RECONCILE_PRIORITY, Claims, JobQueue
from orthanc_deid.orthanc_client import OrthancClient, OrthancError
from orthanc_deid.states import UNFINISHED

log = logging.getLogger(__name__)

CLAIM_SECONDS = 60  # a job that runs for longer must have claimed its study
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
    automatic: bool
    reconcile_minutes: int


def register_tasks(app: procrastinate.App, service: Service) -> None:
    """Make the jobs known to `app`."""
    queue = JobQueue(app)

    @app.task(name=ANONYMIZE, pass_context=True)
    def anonymize_study(context: procrastinate.JobContext, study: int) -> None:
        anonymize(service, queue, study, context.job.id)

    @app.periodic(cron=f"*/{service.reconcile_minutes} * * * *")
    @app.task(name=RECONCILE, queueing_lock=RECONCILE, priority=RECONCILE_PRIORITY)
    async def reconcile_all(timestamp: int) -> None:  # noqa: ARG001 - Procrastinate passes it
        with_job = await release_abandoned(app, Claims(service.crosswalk.engine))
        await asyncio.to_thread(reconcile, service, queue, with_job)


def anonymize(service: Service, queue: Queue, study_id: int, job: int | None = None) -> None:
    """Work on a study and, if that has to be continued, queue it again.

    A job is never retried in place: Procrastinate could not put it back while another job of the
    same study waits.
    """
    with Claims(service.crosswalk.engine).claim(study_id) as free:
        pause = service.runner.run(study_id, job) if free else OCCUPIED_PAUSE
    if pause is not None:
        queue.put(study_id, pause)


async def release_abandoned(app: procrastinate.App, claims: Claims) -> set[int]:
    """End the jobs that nobody runs any more; returns the studies that have a job.

    Such are the jobs of workers that died, and jobs whose end could not be written down because
    the database was away.
    """
    manager = app.job_manager
    dead = {job.id for job in await manager.get_stalled_jobs(task_name=ANONYMIZE)}
    old = {
        job.id
        for job in await manager.get_stalled_jobs(nb_seconds=CLAIM_SECONDS, task_name=ANONYMIZE)
    }
    with_job = set()
    for status in (Status.TODO, Status.DOING):
        for job in await manager.list_jobs_async(task=ANONYMIZE, status=status.value):
            study_id = int(str(job.task_kwargs["study"]))
            abandoned = status is Status.DOING and (
                job.id in dead
                or (job.id in old and await asyncio.to_thread(claims.is_free, study_id))
            )
            if abandoned and job.id is not None:
                await manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)
                log.warning("released an abandoned job", extra={"study": study_id, "job": job.id})
            else:
                with_job.add(study_id)
    return with_job


def reconcile(service: Service, queue: Queue, with_job: set[int]) -> None:
    """Give a job to every study that should have one, and look at all that PHI holds."""
    for study in service.crosswalk.studies.in_states(UNFINISHED):
        if study.id not in with_job:
            queue.put(study.id)
    admission = Admission(service.crosswalk.studies, queue, automatic=service.automatic)
    try:
        for found in service.source.studies():
            admission.consider(found)
    except OrthancError as error:
        log.warning("the next look at PHI will be complete", extra={"reason": str(error)})
    except sa.exc.SQLAlchemyError as error:
        log.warning("the crosswalk does not answer", exc_info=error)
