# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's way to the database: a process of its own, which may be slow, fail or die."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid.agent import Agent, serve
from orthanc_deid.agent_client import AgentClient
from orthanc_deid.api import Api
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.downloads import Downloads
from orthanc_deid.orthanc_client import SourceStudy, source_study
from orthanc_deid.rest import StudyRoutes
from orthanc_deid.rest_search import SearchRoutes
from orthanc_deid.states import State

from .fake_orthanc import FakeOrthanc

AGENT = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    match request["call"]:
        case "echo": answer = [request["number"], 200, request["study"]]
        case "fail": answer = [request["number"], 503, {}]
        case "die": os._exit(1)
        case "hang": continue
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def client(warnings: list[str]) -> Iterator[AgentClient]:
    started = AgentClient([sys.executable, "-c", AGENT], warnings.append, seconds=5)
    yield started
    started.stop(5)


def test_an_answer_belongs_to_its_question(client: AgentClient) -> None:
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = client.ask("echo", study={"ID": number})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: (200, {"ID": number}) for number in range(20)}


def test_an_agent_that_does_not_answer_holds_nobody_up(warnings: list[str]) -> None:
    client = AgentClient([sys.executable, "-c", AGENT], warnings.append, seconds=0.1)
    assert client.ask("hang")[0] == 503
    client.stop(5)


def test_an_agent_that_died_is_started_again(client: AgentClient) -> None:
    assert client.ask("die")[0] == 503
    assert client.ask("echo", study={}) == (200, {})


def test_an_agent_that_cannot_start_is_503(warnings: list[str]) -> None:
    client = AgentClient(["/nowhere/python3"], warnings.append)
    assert client.ask("echo", study={})[0] == 503


def test_what_was_not_taken_is_warned_of(client: AgentClient, warnings: list[str]) -> None:
    client.tell("fail")
    assert client.ask("echo", study={})[0] == 200
    assert warnings == ["the agent did not take 'fail' (503); reconcile makes up for it"]


def test_after_the_stop_nothing_is_started(client: AgentClient) -> None:
    client.ask("echo", study={})
    client.stop(5)
    assert client.ask("echo", study={})[0] == 503


class Recorder:
    """A queue that only remembers."""

    def __init__(self) -> None:
        self.queued: list[object] = []

    def put(self, study_id: int, delay: float = 0) -> None:
        assert delay == 0
        self.queued.append(study_id)

    def reconcile(self) -> None:
        self.queued.append("reconcile")


ONE, TWO, NINE = (f"{number:08d}" + "-00000000" * 4 for number in (1, 2, 9))
STUDY = {
    "ID": ONE,
    "IsStable": True,
    "LastUpdate": "20261123T120000",
    "MainDicomTags": {"StudyInstanceUID": "1.2.3"},
}


class Desk:
    """An agent with its crosswalk and queue."""

    def __init__(self, url: sa.URL, *, automatic: bool = True) -> None:
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self.queue = Recorder()
        self.held = {ONE: STUDY}
        studies = StudyRoutes(self.crosswalk.studies, self.queue, self.find)
        self.orthanc = FakeOrthanc()
        self.agent = Agent(
            self.crosswalk,
            self.queue,
            self.orthanc.client(),
            Api([*studies.routes(), *SearchRoutes(self.crosswalk.held).routes()]),
            Downloads(),
            automatic=automatic,
        )

    def find(self, orthanc_id: str) -> SourceStudy | None:
        return source_study(self.held[orthanc_id]) if orthanc_id in self.held else None

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, Any]:
        request = {"call": "api", "method": method, "path": path, "body": body, "user": "ann"}
        return self.agent.answer(request)

    def anonymize(self, body: str = "", orthanc_id: str = ONE) -> tuple[int, Any]:
        return self.ask("POST", f"/studies/{orthanc_id}/anonymize", body)


@pytest.fixture
def desk(embedded: sa.URL) -> Desk:
    return Desk(embedded)


def test_a_stable_study_is_queued(desk: Desk) -> None:
    assert desk.agent.answer({"call": "stable", "study": STUDY}) == (200, {})
    assert desk.queue.queued == [1]


def test_a_stable_study_waits_for_a_person_if_nothing_is_automatic(embedded: sa.URL) -> None:
    desk = Desk(embedded, automatic=False)
    desk.agent.answer({"call": "stable", "study": STUDY})
    assert desk.queue.queued == []
    status, answer = desk.anonymize()
    assert (status, answer["state"], answer["finished"]) == (202, "queued", False)
    assert desk.queue.queued == [1]
    assert desk.crosswalk.studies.events(1)[-1].actor == "ann"


def test_the_start_of_orthanc_asks_for_a_look_at_all_studies(desk: Desk) -> None:
    desk.agent.answer({"call": "reconcile"})
    assert desk.queue.queued == ["reconcile"]


def _deliver(desk: Desk) -> None:
    desk.anonymize()
    for state in (State.WORKING, State.DELIVERING):
        desk.crosswalk.studies.move(1, state)
    desk.crosswalk.studies.identify(
        1,
        study_instance_uid="1.2.3",
        anonymous_study_uid="2.25.7",
        subject=desk.crosswalk.subject("MRN-1"),
    )
    desk.crosswalk.studies.set_delivery(1, "anon", instances=2)
    desk.crosswalk.studies.finish(1, source_last_update=STUDY["LastUpdate"])
    desk.queue.queued.clear()


def test_a_delivered_study_is_only_done_again_when_forced(desk: Desk) -> None:
    _deliver(desk)
    assert desk.anonymize()[1]["state"] == "delivered"
    assert desk.queue.queued == []
    status, answer = desk.anonymize('{"force": true}')
    assert (status, answer["state"]) == (202, "queued")
    assert desk.queue.queued == [1]
    assert [delivery["state"] for delivery in answer["destinations"]] == ["pending"]


def test_an_anonymized_study_is_never_anonymized_again(desk: Desk) -> None:
    _deliver(desk)
    desk.held[TWO] = {**STUDY, "ID": TWO, "MainDicomTags": {"StudyInstanceUID": "2.25.7"}}
    assert desk.anonymize('{"force": true}', TWO)[0] == 409
    assert desk.queue.queued == []


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"force": "yes"}', '{"forced": true}', f'{{"note": "{"n" * 1001}"}}']
)
def test_a_body_that_cannot_be_understood_is_refused(desk: Desk, body: str) -> None:
    assert desk.anonymize(body)[0] == 400
    assert desk.queue.queued == []


def test_every_operation_is_a_route_with_its_actor(desk: Desk) -> None:
    def ask(operation: str, body: str = "") -> tuple[int, Any]:
        return desk.ask("POST", f"/studies/{ONE}/{operation}", body)

    assert ask("withdraw")[0] == 404
    desk.anonymize()
    status, answer = ask("release", '{"note": "why"}')
    assert (status, "nothing to release" in answer["error"]) == (409, True)
    status, answer = ask("withdraw", '{"note": "consent withdrawn"}')
    assert (status, answer["state"], answer["reason"]) == (202, "withdrawing", "consent withdrawn")
    assert (answer["finished"], answer["other_projects"]) == (False, [])
    assert ask("withdraw")[0] == 202
    assert ask("retry")[0] == 409
    assert desk.anonymize('{"force": true}')[0] == 409
    assert [e.action for e in desk.crosswalk.studies.events(1) if e.actor == "ann"] == [
        "queued",
        "withdrawing",
    ]
    assert desk.ask("GET", f"/studies/{ONE}")[1]["events"][-1]["detail"] == "consent withdrawn"


def test_what_was_taken_back_by_hand_is_settled(desk: Desk) -> None:
    desk.anonymize()
    for state in (State.WITHDRAWING, State.WITHDRAWN):
        desk.crosswalk.studies.move(1, state)
    desk.crosswalk.studies.end_delivery(1, "pacs", left="tell them")
    assert desk.ask("GET", "/status")[1]["to_take_back_by_hand"] == 1
    path = f"/studies/{ONE}/settle"
    assert desk.ask("POST", path, '{"destination": "anon"}')[0] == 409
    status, answer = desk.ask("POST", path, '{"destination": "pacs"}')
    assert (status, answer["destinations"][0]["state"]) == (202, "withdrawn")
    assert desk.ask("GET", "/status")[1]["to_take_back_by_hand"] == 0


def test_a_study_tells_how_far_it_has_come(desk: Desk) -> None:
    _deliver(desk)
    status, answer = desk.ask("GET", f"/studies/{ONE}")
    assert (status, answer["state"], answer["subject_number"]) == (200, "delivered", 1)
    assert answer["destinations"][0]["instances"] == 2
    assert desk.ask("GET", f"/studies/{NINE}")[0] == 404
    assert desk.anonymize(orthanc_id=NINE)[0] == 404


def test_the_status_tells_states_and_backlog(desk: Desk) -> None:
    assert desk.ask("GET", "/status")[1]["oldest_age_seconds"] is None
    desk.anonymize()
    _, answer = desk.ask("GET", "/status")
    assert (answer["states"]["queued"], answer["queue_length"]) == (1, 1)
    assert answer["oldest_age_seconds"] >= 0


def test_without_the_database_the_answer_is_503(postgres: sa.URL) -> None:
    desk = Desk(postgres.set(database="nowhere"))
    status, answer = desk.ask("GET", "/status")
    assert status == 503
    assert "try again later" in answer["error"]


def test_every_request_gets_one_line_with_its_number() -> None:
    output = io.StringIO()
    requests = [json.dumps({"number": number, "call": "status"}) for number in range(9)]
    serve(requests, output, lambda request: (200, {"asked": request["number"]}))
    answers = sorted(json.loads(line) for line in output.getvalue().splitlines())
    assert answers == [[number, 200, {"asked": number}] for number in range(9)]
