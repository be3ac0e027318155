# SPDX-License-Identifier: GPL-3.0-or-later
"""Spread a run over a directory tree over machines, through the queue of jobs in PostgreSQL.

A job says which study of which run, by their numbers only: Procrastinate logs arguments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import procrastinate
import sqlalchemy as sa
from procrastinate import sql
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status
from psycopg_pool import ConnectionPool

from orthanc_deid.archive import Archive
from orthanc_deid.archive_settings import Workplace
from orthanc_deid.job_queue import POOL, Claims, connect_worker

TASK: Final = "deidentify_archive_study"
# Keep the advisory locks apart from those of studies in the service, and from all others.
_STUDY_SPACE: Final = 0x61726368 << 32
_RUN_SPACE: Final = 0x61727568 << 32
_PAUSE: Final = 0.5


def queue_parameters(url: sa.URL) -> dict[str, Any]:
    """Return libpq's parameters for the address of a database."""
    given = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
        **url.query,
    }
    return {name: value for name, value in given.items() if value is not None}


def _queue_of(run_id: int) -> str:
    return f"archive-{run_id}"


def serve(place: Workplace, parameters: dict[str, Any]) -> None:
    """Take jobs of the run until none waits."""
    asyncio.run(_serve(place, parameters))


async def _serve(place: Workplace, parameters: dict[str, Any]) -> None:
    app = procrastinate.App(connector=connect_worker(parameters))
    claims = Claims(place.crosswalk.engine, _STUDY_SPACE)

    @app.task(name=TASK)
    def deidentify(study: int) -> None:
        with claims.claim(study) as free:
            if free:
                place.do(study)

    async with app.open_async():
        await app.run_worker_async(
            queues=[_queue_of(place.archive.id)],
            wait=False,
            concurrency=1,
            install_signal_handlers=False,
            listen_notify=False,
            delete_jobs="always",
        )


class RunJobs:
    """The jobs of one run."""

    def __init__(self, app: procrastinate.App, archive: Archive, engine: sa.Engine) -> None:
        self._app = app
        self._archive = archive
        self._studies = Claims(engine, _STUDY_SPACE)
        self._runs = Claims(engine, _RUN_SPACE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process looks through the tree."""
        while True:
            with self._runs.claim(self._archive.id) as free:
                if free:
                    yield
                    return
            time.sleep(_PAUSE)

    def put_waiting(self) -> None:
        """Queue every study that waits and has no job that waits."""
        for study_id in self._archive.waiting():
            self._put(study_id)

    def put_abandoned(self) -> None:
        """Queue again the studies whose jobs nobody runs any more."""
        jobs = self._app.job_manager.list_jobs(
            queue=_queue_of(self._archive.id), status=Status.DOING.value
        )
        for job in jobs:
            study_id = int(str(job.task_kwargs["study"]))
            if job.id is not None and self._studies.is_free(study_id):
                self._finish(job.id)
                if self._archive.is_waiting(study_id):
                    self._put(study_id)

    def _finish(self, job_id: int) -> None:
        # The job manager offers this to event loops only. It is refused where another machine,
        # or the end of the job itself, was quicker.
        with suppress(ConnectorException):
            self._app.connector.get_sync_connector().execute_query(
                sql.queries["finish_job"],
                job_id=job_id,
                status=Status.FAILED.value,
                delete_job=True,
            )

    def _put(self, study_id: int) -> None:
        lock = f"archive-study-{study_id}"
        with suppress(AlreadyEnqueued):
            self._app.configure_task(
                TASK, queue=_queue_of(self._archive.id), lock=lock, queueing_lock=lock
            ).defer(study=study_id)


@contextmanager
def open_jobs(parameters: dict[str, Any], archive: Archive, engine: sa.Engine) -> Iterator[RunJobs]:
    """Open the queue for the jobs of a run; `parameters` are libpq's."""
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
    pool = ConnectionPool(
        kwargs=parameters, open=False, check=ConnectionPool.check_connection, **POOL
    )
    with pool, app.open(pool):
        yield RunJobs(app, archive, engine)
