# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: takes jobs from the queue until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import procrastinate
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid.anonymization import StudyRunner
from orthanc_deid.config import Config
from orthanc_deid.courier import Courier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destinations import open_destinations, open_review, wanted_destinations
from orthanc_deid.engines import Engines
from orthanc_deid.heartbeat import Heartbeat
from orthanc_deid.job_queue import QUEUE_ERRORS, JobQueue, connect_worker, open_queue
from orthanc_deid.jobs import Service, register_tasks
from orthanc_deid.mailer import Mailer
from orthanc_deid.memory_room import MemoryRoom
from orthanc_deid.orthanc_client import OrthancClient
from orthanc_deid.project_runners import ProjectRunners
from orthanc_deid.projects import Projects, join_by_rule

log = logging.getLogger(__name__)

HEARTBEAT = Path(tempfile.gettempdir()) / "orthanc-deid-worker.heartbeat"
HEARTBEAT_SECONDS = 10.0
GRACE_SECONDS = 5.0
RESTART_PAUSE = 5.0
# While one study waits for the disks of the destinations, another one is read and de-identified.
STUDIES_AT_ONCE = 2


def run(config: Config) -> None:
    """Work until SIGTERM or SIGINT; a study under way then goes back into the queue."""
    asyncio.run(_Worker(config).run())


async def beat(heartbeat: Heartbeat) -> None:
    """Touch `HEARTBEAT` for as long as the database answers; the container's health looks at it.

    The database is told at the same time, for those who look at all workers.

    A look at a file's age costs nothing, where a program of its own would load the whole package.
    """
    while True:
        with contextlib.suppress(SQLAlchemyError):
            await asyncio.to_thread(heartbeat.beat)
            HEARTBEAT.touch()
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def send_mails(mailer: Mailer) -> None:
    """Write and send mails now and then; whatever goes wrong with them, studies go on."""
    while True:
        try:
            await asyncio.to_thread(mailer.run)
        except Exception:
            log.exception("mails wait: the program failed")
        await asyncio.sleep(mailer.SECONDS)


class _Worker:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = asyncio.Event()
        self._stop_at: float | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)
        service = _open_service(self._config, self._must_stop)
        crosswalk = Crosswalk.from_config(self._config)
        heartbeat = Heartbeat(crosswalk.engine, self._config.spool_dir)
        beside = [asyncio.create_task(beat(heartbeat))]
        if self._config.mail:
            mailer = Mailer(self._config.mail, self._config.timezone, crosswalk.engine)
            beside.append(asyncio.create_task(send_mails(mailer)))
        log.info("the worker has started")
        with open_queue(self._config.database.parameters()) as queue:
            while not self._stop.is_set():
                try:
                    await self._work(service, queue)
                except QUEUE_ERRORS as error:
                    # The database is away. Every job that was under way is found by reconcile.
                    log.warning("the database does not answer", exc_info=error)
                    await self._pause(RESTART_PAUSE)
        for task in beside:
            task.cancel()
        HEARTBEAT.unlink(missing_ok=True)
        with contextlib.suppress(SQLAlchemyError):
            await asyncio.to_thread(heartbeat.end)
        log.info("the worker has stopped")

    async def _work(self, service: Service, queue: JobQueue) -> None:
        app = procrastinate.App(connector=connect_worker(self._config.database.parameters()))
        register_tasks(app, service, queue)
        async with app.open_async():
            await asyncio.to_thread(queue.reconcile)
            working = asyncio.create_task(
                app.run_worker_async(
                    concurrency=STUDIES_AT_ONCE,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    shutdown_graceful_timeout=GRACE_SECONDS,
                )
            )
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self._stop.is_set():
                working.cancel()
            await asyncio.gather(working, return_exceptions=self._stop.is_set())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _request_stop(self) -> None:
        self._stop_at = time.monotonic()
        self._stop.set()

    def _must_stop(self) -> bool:
        """Whether a study that is under way must give up: a short one may still be finished."""
        return self._stop_at is not None and time.monotonic() - self._stop_at > GRACE_SECONDS


def _open_service(config: Config, stopping: Callable[[], bool]) -> Service:
    projects = Projects.of(config)
    crosswalk = Crosswalk.from_config(projects.all[0].config)
    source = OrthancClient("the PHI Orthanc", config.orthanc)
    review = open_review(config) if config.forward else None
    destinations = open_destinations(config)
    filters = {one.name: one.where for one in wanted_destinations(config)}
    room = MemoryRoom.of_container()

    def runner_of(project: Config) -> StudyRunner:
        names = {one.name for one in wanted_destinations(project)}
        engines = Engines(project)
        engines()  # a profile that cannot be used ends the worker here, not at the first study
        own = Crosswalk.from_config(project, crosswalk.engine)
        served = [one for one in destinations if one.name in names]
        return StudyRunner(
            crosswalk=own,
            source=source,
            deidentification=engines,
            courier=Courier(
                own.studies, served, review=review, filters=filters, former=destinations
            ),
            always_review=project.review,
            spool_dir=config.spool_dir,
            room=room,
            stopping=stopping,
        )

    runner = ProjectRunners(
        crosswalk.studies,
        {project.name: runner_of(project.config) for project in projects.all},
        Courier(crosswalk.studies, destinations, review=review),
    )
    join = join_by_rule(projects, source)
    return Service(crosswalk, source, runner, join, config.reconcile_minutes)
