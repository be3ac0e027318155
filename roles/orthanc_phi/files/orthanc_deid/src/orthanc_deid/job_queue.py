# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of jobs in PostgreSQL (Procrastinate), and who may work on a study.

A job's only argument is the study's number in the crosswalk: Procrastinate logs arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import procrastinate
import sqlalchemy as sa
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

ANONYMIZE = "anonymize_study"
RECONCILE = "reconcile"
RECONCILE_PRIORITY = 10
POOL: dict[str, Any] = {"min_size": 0, "max_size": 4, "timeout": 15.0}
CLAIM_SPACE = 0x64656964 << 32  # keeps the advisory locks of studies apart from all others


QUEUE_ERRORS = (ConnectorException, PoolTimeout)
"""What is raised while the queue's database is away."""


class JobQueue:
    """Puts jobs into the queue."""

    def __init__(self, app: procrastinate.App) -> None:
        self._app = app

    def put(self, study_id: int, delay: float = 0) -> None:
        """Queue a study, to be begun after `delay` seconds; once, however often it is asked for.

        Without a delay, a job that waits for its next attempt is begun now.
        """
        lock = f"study-{study_id}"
        if not delay:
            for job in self._app.job_manager.list_jobs(queueing_lock=lock, status="todo"):
                if job.scheduled_at is not None and job.id is not None:
                    self._app.job_manager.cancel_job_by_id(job.id, delete_job=True)
        with suppress(AlreadyEnqueued):
            self._app.configure_task(
                ANONYMIZE,
                lock=lock,
                queueing_lock=lock,
                schedule_in={"seconds": round(delay)} if delay else None,
            ).defer(study=study_id)

    def reconcile(self) -> None:
        """Queue a look for studies without a job."""
        with suppress(AlreadyEnqueued):
            self._app.configure_task(
                RECONCILE, queueing_lock=RECONCILE, priority=RECONCILE_PRIORITY
            ).defer(timestamp=0)


def connect_worker(parameters: dict[str, Any]) -> procrastinate.PsycopgConnector:
    """Return the connection of a worker, which runs an event loop; `parameters` are libpq's."""
    return procrastinate.PsycopgConnector(
        pool_factory=AsyncConnectionPool, kwargs=parameters, **POOL
    )


@contextmanager
def open_queue(parameters: dict[str, Any]) -> Iterator[JobQueue]:
    """Open the queue for putting jobs in, from any thread; `parameters` are libpq's.

    Opening waits for nothing; putting raises one of `QUEUE_ERRORS` while the database is away.
    """
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
    pool = ConnectionPool(
        kwargs=parameters, open=False, check=ConnectionPool.check_connection, **POOL
    )
    with pool, app.open(pool):
        yield JobQueue(app)


class Claims:
    """Makes sure that no two processes work on the same study.

    The job's lock in the queue says who should work on a study; this one, held by a session of the
    database, says who does. It ends with its process, so what a dead one left can be taken up.
    """

    def __init__(self, engine: sa.Engine, space: int = CLAIM_SPACE) -> None:
        self._engine = engine
        self._space = space  # keeps what is claimed apart from all others

    @contextmanager
    def claim(self, study_id: int) -> Iterator[bool]:
        """Hold the study while the context lasts; yields whether it was free."""
        with self._engine.connect() as pooled:
            connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
            key = sa.literal(self._space + study_id, sa.BigInteger)
            free = False
            try:
                free = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
                yield free
            finally:
                if free:
                    self._give_back(connection, key)

    @staticmethod
    def _give_back(connection: sa.Connection, key: sa.ColumnElement[int]) -> None:
        """Unlock; where that fails, end the session, by which the lock goes back for sure."""
        try:
            unlocked = connection.scalar(sa.select(sa.func.pg_advisory_unlock(key)))
        except sa.exc.SQLAlchemyError:
            unlocked = False
        if not unlocked:
            connection.invalidate()

    def is_free(self, study_id: int) -> bool:
        """Whether nobody works on the study now."""
        with self.claim(study_id) as free:
            return free
