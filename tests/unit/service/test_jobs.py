# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs in a real queue: one per study, one worker per study, none forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import procrastinate
import pytest
import sqlalchemy as sa

from orthanc_deid import phi_changes
from orthanc_deid.admission import Admission
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.job_queue import ANONYMIZE, Claims, JobQueue, connect_worker, open_queue
from orthanc_deid.jobs import Service, reconcile, register_tasks, release_abandoned
from orthanc_deid.states import IllegalTransitionError, State

from .fake_orthanc import FakeOrthanc, file


class Scripted:
    """A runner that does what the test says."""

    def __init__(self, *answers: float | Callable[[int], float | None] | None) -> None:
        self.answers = list(answers)
        self.ran: list[int] = []

    def run(self, study_id: int, job: int | None = None) -> float | None:
        assert job is not None
        self.ran.append(study_id)
        answer = self.answers.pop(0) if self.answers else None
        return answer(study_id) if callable(answer) else answer


class Bench:
    """A queue with what tests do to it."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self.phi = FakeOrthanc("phi")

    def service(self, runner: Scripted) -> Service:
        return Service(
            self.crosswalk,
            self.phi.client(),
            runner,
            lambda _: {"default": True},
            reconcile_minutes=5,
        )

    def parameters(self) -> dict[str, Any]:
        return {
            "host": self.url.host,
            "port": self.url.port,
            "user": self.url.username,
            "dbname": self.url.database,
        }

    def put(self, *studies: int) -> None:
        with open_queue(self.parameters()) as queue:
            for study in studies:
                queue.put(study)

    def work(self, runner: Scripted, *studies: int, workers: int = 1) -> None:
        """Queue the studies and let workers do all jobs that are due."""

        async def working(queue: JobQueue) -> None:
            app = procrastinate.App(connector=connect_worker(self.parameters()))
            register_tasks(app, self.service(runner), queue)
            app.periodic_registry.periodic_tasks.clear()
            async with app.open_async():
                await asyncio.gather(
                    *(
                        app.run_worker_async(
                            wait=False, install_signal_handlers=False, delete_jobs="always"
                        )
                        for _ in range(workers)
                    )
                )

        self.put(*studies)
        with open_queue(self.parameters()) as queue:
            asyncio.run(working(queue))

    def release_abandoned(self, claims: Claims) -> set[int]:
        async def releasing() -> set[int]:
            app = procrastinate.App(connector=connect_worker(self.parameters()))
            async with app.open_async():
                return await release_abandoned(app, claims, pause=0)

        return asyncio.run(releasing())

    def jobs(self) -> list[tuple[int, str, bool]]:
        """The study, status and whether it is delayed, of all jobs that anonymize."""
        query = sa.text(
            "SELECT (args->>'study')::int, status::text, scheduled_at > now() + interval '1 s' "
            f"FROM procrastinate_jobs WHERE task_name = '{ANONYMIZE}' ORDER BY id"
        )
        with self.crosswalk.engine.connect() as connection:
            return [
                (study, status, bool(late)) for study, status, late in connection.execute(query)
            ]

    def execute(self, statement: str) -> None:
        with self.crosswalk.engine.begin() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def bench(database: sa.URL) -> Bench:
    return Bench(database)


def test_a_study_is_queued_once_however_often_it_is_asked_for(bench: Bench) -> None:
    runner = Scripted()
    bench.work(runner, 1, 1, 2, 1)
    assert runner.ran == [1, 2]
    assert bench.jobs() == []


def test_a_study_that_could_not_be_finished_is_queued_again_later(bench: Bench) -> None:
    bench.work(Scripted(60.0), 1)
    assert bench.jobs() == [(1, "todo", True)]


def test_asking_for_a_study_that_waits_begins_it_now(bench: Bench) -> None:
    bench.work(Scripted(60.0), 1)
    runner = Scripted()
    bench.work(runner, 1)
    assert runner.ran == [1]


def test_asking_for_one_study_leaves_the_others_waiting(bench: Bench) -> None:
    bench.work(Scripted(60.0), 1)
    bench.put(2)
    assert bench.jobs() == [(1, "todo", True), (2, "todo", False)]


def test_a_study_asked_for_while_it_is_worked_on_is_done_again(bench: Bench) -> None:
    def ask_again(study_id: int) -> None:
        bench.put(study_id)

    runner = Scripted(ask_again)
    bench.work(runner, 1)
    assert runner.ran == [1, 1]


def test_and_it_is_not_lost_when_the_first_attempt_has_to_be_repeated(bench: Bench) -> None:
    def ask_again_and_fail(study_id: int) -> float:
        bench.put(study_id)
        return 60.0

    runner = Scripted(ask_again_and_fail)
    bench.work(runner, 1)
    assert runner.ran == [1, 1]


def test_two_workers_never_do_the_same_study_at_once(bench: Bench) -> None:
    at_once: list[int] = []
    most: list[int] = []
    both_there = threading.Event()

    def observe(study_id: int) -> None:
        at_once.append(study_id)
        most.append(at_once.count(study_id))
        both_there.wait(0.3)
        at_once.remove(study_id)

    def observe_and_ask_again(study_id: int) -> None:
        bench.put(study_id)
        observe(study_id)

    runner = Scripted(observe_and_ask_again, observe_and_ask_again, observe, observe)
    bench.work(runner, 1, 2, workers=3)
    assert sorted(runner.ran) == [1, 1, 2, 2]
    assert max(most) == 1


def test_a_study_that_another_process_holds_is_looked_at_later(bench: Bench) -> None:
    runner = Scripted()
    with Claims(bench.crosswalk.engine).claim(1) as free:
        assert free
        bench.work(runner, 1)
    assert runner.ran == []
    assert bench.jobs() == [(1, "todo", True)]


def test_a_claim_ends_with_its_session(bench: Bench) -> None:
    claims = Claims(bench.crosswalk.engine)
    with claims.claim(1):
        assert not claims.is_free(1)
        assert claims.is_free(2)
        bench.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        assert claims.is_free(1)


def _leave_a_job(bench: Bench) -> None:
    """Leave a job as a worker does that took it and then wrote nothing more."""
    bench.put(1)
    bench.execute("UPDATE procrastinate_jobs SET status = 'doing'")


def test_a_job_that_nobody_runs_any_more_is_released(bench: Bench) -> None:
    _leave_a_job(bench)
    assert bench.release_abandoned(Claims(bench.crosswalk.engine)) == set()
    assert bench.jobs() == []


def test_a_job_of_a_long_study_is_left_alone(bench: Bench) -> None:
    _leave_a_job(bench)
    claims = Claims(bench.crosswalk.engine)
    with claims.claim(1):
        assert bench.release_abandoned(claims) == {1}
    assert bench.jobs() == [(1, "doing", False)]


def test_a_job_that_was_just_taken_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave_a_job(bench)
    claims = Claims(bench.crosswalk.engine)
    looks = iter([True, False])  # free at first, then claimed
    monkeypatch.setattr(claims, "is_free", lambda _study: next(looks))
    assert bench.release_abandoned(claims) == {1}


def test_a_job_that_waits_is_left_alone(bench: Bench) -> None:
    bench.put(1)
    assert bench.release_abandoned(Claims(bench.crosswalk.engine)) == {1}


class Recorder:
    """A queue that only remembers."""

    def __init__(self) -> None:
        self.queued: list[int] = []

    def put(self, study_id: int, delay: float = 0) -> None:
        assert delay == 0
        self.queued.append(study_id)


def test_reconcile_gives_a_job_to_every_study_that_should_have_one(bench: Bench) -> None:
    path = [State.QUEUED, State.WORKING, State.DELIVERING, State.DELIVERED]
    for number in range(5):
        study = bench.crosswalk.studies.add(orthanc_id=f"gone-{number}")
        for step in path[:number]:
            bench.crosswalk.studies.move(study.id, step)
    queue = Recorder()
    reconcile(bench.service(Scripted()), queue, with_job={3})
    assert queue.queued == [2, 4]


def test_reconcile_finds_the_studies_that_no_event_announced(bench: Bench) -> None:
    bench.phi.store(file("MRN-1", "1.2", "1"), file("MRN-2", "1.3", "1"))
    queue = Recorder()
    reconcile(bench.service(Scripted()), queue, with_job=set())
    assert queue.queued == [1, 2]
    assert bench.crosswalk.studies.counts()[State.QUEUED] == 2


def look(bench: Bench, *, complete: bool = False) -> list[str]:
    """Reconcile once; returns what PHI was asked."""
    bench.phi.requests.clear()
    reconcile(bench.service(Scripted()), Recorder(), with_job=set(), complete=complete)
    return bench.phi.requests


def test_a_look_asks_only_for_what_has_changed_since_the_last_one(bench: Bench) -> None:
    bench.phi.store(*(file(f"MRN-{n}", f"1.{n}", "1") for n in range(5)))
    assert "GET /studies" in look(bench)  # the first one is complete
    assert "GET /studies" not in look(bench)
    bench.phi.store(file("MRN-9", "1.9", "1"), file("MRN-9", "1.9", "2"), file("MRN-1", "1.1", "2"))
    asked = look(bench)
    assert "GET /studies" not in asked
    # Two studies came or changed; of the others, only those are asked for that overlap.
    assert {study.orthanc_id for study in bench.crosswalk.studies.in_states()} == {
        f"s-MRN-{n}-1.{n}" for n in (0, 1, 2, 3, 4, 9)
    }
    assert "GET /studies" in look(bench, complete=True)


def test_only_the_new_changes_are_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phi_changes, "OVERLAP", 0)
    bench.phi.store(file("MRN-1", "1.1", "1"))
    look(bench)
    bench.phi.store(file("MRN-2", "1.2", "1"), file("MRN-2", "1.2", "2"))
    asked = [request for request in look(bench) if request.endswith("/study")]
    assert asked == ["GET /instances/i-MRN-2-1.2-1/study"]


def test_a_study_that_is_still_arriving_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phi_changes, "OVERLAP", 0)
    look(bench)
    bench.phi.store(file("MRN-1", "1.1", "1"))
    bench.phi.stable = False
    for _ in range(2):
        look(bench)
        assert bench.crosswalk.studies.in_states() == []
    bench.phi.stable = True
    look(bench)
    assert [study.state for study in bench.crosswalk.studies.in_states()] == [State.QUEUED]


def test_a_study_that_arrives_while_everything_is_looked_at_is_not_missed(bench: Bench) -> None:
    bench.phi.store(file("MRN-1", "1.1", "1"))
    bench.phi.stable = False
    look(bench)
    bench.phi.stable = True
    assert "GET /studies" not in look(bench)
    assert [study.state for study in bench.crosswalk.studies.in_states()] == [State.QUEUED]


def test_everything_is_looked_at_now_and_then_and_where_the_log_began_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.phi.store(file("MRN-1", "1.1", "1"))
    look(bench)
    bench.phi.log.clear()
    assert "GET /studies" in look(bench)
    monkeypatch.setattr(phi_changes, "COMPLETE_EVERY", timedelta(0))
    assert "GET /studies" in look(bench)


def test_what_could_not_be_looked_at_is_looked_at_the_next_time(bench: Bench) -> None:
    look(bench)
    bench.phi.store(file("MRN-1", "1.1", "1"))
    bench.phi.down = True
    look(bench)
    bench.phi.down = False
    look(bench)
    assert len(bench.crosswalk.studies.in_states()) == 1


def test_reconcile_goes_on_without_phi(bench: Bench) -> None:
    study = bench.crosswalk.studies.add(orthanc_id="a")
    bench.crosswalk.studies.move(study.id, State.QUEUED)
    bench.phi.down = True
    queue = Recorder()
    reconcile(bench.service(Scripted()), queue, with_job=set())
    assert queue.queued == [study.id]


def test_two_processes_that_see_a_stable_study_queue_it_once(bench: Bench) -> None:
    study = bench.crosswalk.studies.add(orthanc_id="a")
    queue = Recorder()
    admission = Admission(bench.crosswalk.studies, queue, automatic=True)
    admission.request(study)
    admission.request(study)  # with what it knew before the other one queued it
    found = bench.crosswalk.studies.get(study.id)
    assert found is not None
    assert found.state is State.QUEUED
    moves = [event.action for event in bench.crosswalk.studies.events(study.id)]
    assert moves == ["received", "queued"]


def test_a_withdrawn_study_is_never_queued(bench: Bench) -> None:
    study = bench.crosswalk.studies.add(orthanc_id="a")
    bench.crosswalk.studies.move(study.id, State.QUEUED)
    for state in (State.WITHDRAWING, State.WITHDRAWN):
        bench.crosswalk.studies.move(study.id, state)
    withdrawn = bench.crosswalk.studies.get(study.id)
    assert withdrawn is not None
    queue = Recorder()
    with pytest.raises(IllegalTransitionError):
        Admission(bench.crosswalk.studies, queue, automatic=True).request(withdrawn)
    assert queue.queued == []
