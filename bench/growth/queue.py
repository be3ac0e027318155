# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue as more and more studies wait in it."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

import procrastinate
import sqlalchemy as sa

from orthanc_deid import migrate
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.job_queue import ANONYMIZE, Claims, JobQueue, connect_worker, open_queue
from orthanc_deid.jobs import release_abandoned
from orthanc_deid.states import WITH_JOB
from postgres_server import running_postgres

from .curve import Curve, usual, usual_ms

_LENGTH = "its length and the oldest in it"
_LIST = "look for studies without a job, all of them"
_STUDIES = (
    "INSERT INTO studies (project, orthanc_id, state, created_at, updated_at) "
    "SELECT 'default', 'waits-' || n, 'queued', now(), now() FROM generate_series(:low, :high) n"
)
_JOBS = (
    "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args) "
    "SELECT 'default', :task, 0, 'study-' || id, 'study-' || id, "
    "jsonb_build_object('study', id) FROM studies s "
    "WHERE NOT EXISTS (SELECT FROM procrastinate_jobs WHERE queueing_lock = 'study-' || s.id)"
)


def measure(sizes: Sequence[int], progress: Callable[[str], None]) -> Curve:
    """Measure what is done for a study, and what is done for all, with so many studies waiting."""
    costs: dict[str, list[float]] = defaultdict(list)
    with running_postgres(fsync=True) as server:
        migrate.upgrade(server)
        crosswalk = Crosswalk(server, base_name="ANON")
        parameters = _parameters(server)
        low = 1
        with open_queue(parameters) as queue:
            for size in sizes:
                progress(f"queue of {size:,} studies")
                _fill(crosswalk.engine, low, size)
                low = size + 1
                for name, cost in _costs(crosswalk, queue, parameters, size).items():
                    costs[name].append(cost)
        crosswalk.close()
    return Curve("queue", "waiting studies", sizes, costs, frozenset({_LENGTH, _LIST}))


def _parameters(server: sa.URL) -> dict[str, object]:
    return {
        "host": server.host,
        "port": server.port,
        "dbname": server.database,
        "user": server.username,
    }


def _fill(engine: sa.Engine, low: int, high: int) -> None:
    with engine.begin() as connection:
        # Only the filling: what is measured waits for the disk, and tells the workers.
        connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text(_STUDIES), {"low": low, "high": high})
        connection.execute(sa.text(_JOBS), {"task": ANONYMIZE})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def _costs(
    crosswalk: Crosswalk, queue: JobQueue, parameters: dict[str, object], size: int
) -> dict[str, float]:
    new = itertools.count()
    studies = crosswalk.studies
    return {
        "a study put into it": usual_ms(
            lambda: queue.put(studies.add(orthanc_id=f"new-{size}-{next(new)}").id)
        ),
        "the next job taken and ended": asyncio.run(_take_and_end(parameters)),
        _LENGTH: usual_ms(studies.backlog, 10),
        _LIST: asyncio.run(_look(parameters, crosswalk)),
    }


async def _take_and_end(parameters: dict[str, object], rounds: int = 50) -> float:
    loop = asyncio.get_running_loop()
    app = procrastinate.App(connector=connect_worker(parameters))
    taken = []
    async with app.open_async():
        worker = await app.job_manager.register_worker()
        for _ in range(rounds):
            start = loop.time()
            job = await app.job_manager.fetch_job(queues=None, worker_id=worker)
            if job is None:
                raise RuntimeError("the queue of the bench is empty")
            await app.job_manager.finish_job(
                job, procrastinate.jobs.Status.SUCCEEDED, delete_job=True
            )
            taken.append(loop.time() - start)
    return usual(taken)


async def _look(parameters: dict[str, object], crosswalk: Crosswalk) -> float:
    loop = asyncio.get_running_loop()
    app = procrastinate.App(connector=connect_worker(parameters))
    async with app.open_async():
        start = loop.time()
        with_job = await release_abandoned(app, Claims(crosswalk.engine))
        waiting = await asyncio.to_thread(lambda: list(crosswalk.studies.in_states(WITH_JOB)))
        missing = [study for study in waiting if study.id not in with_job]
        taken = 1000 * (loop.time() - start)
    if len(missing) > len(waiting) // 2:
        raise RuntimeError("the jobs of the bench are not found")
    return round(taken, 3)
