# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the lookup table, about what is held back, and about the work."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid.api import Api, ApiError, Request
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destination_config import DestinationConfig, DicomNode, DicomWeb, Server
from orthanc_deid.downloads import AT_ONCE, Downloads
from orthanc_deid.errors import Quarantine, Spot
from orthanc_deid.orthanc_client import GoneError
from orthanc_deid.rest_lookup import LookupRoutes
from orthanc_deid.rest_review import ReviewRoutes
from orthanc_deid.rest_work import WorkRoutes
from orthanc_deid.states import State

from .test_lookup import kept

AWAY = Server("https://localhost:9", "", "", "")
ONE = "00000001" + "-00000000" * 4
GONE = "00000002" + "-00000000" * 4
IMAGE = {
    "StudyInstanceUID": "1.2.3",
    "Modality": "US",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "X1",
    "Rows": "480",
    "Columns": "640",
    "OtherPatientIDs": ["a", "b"],
}


@dataclass
class Phi:
    """The PHI Orthanc with one image."""

    tags: dict[str, Any] = field(default_factory=lambda: dict(IMAGE))

    def instance_ids(self, orthanc_id: str) -> list[str]:
        if orthanc_id != ONE:
            raise GoneError("gone")
        return ["i-1"]

    def instance_tags(self, instance_id: str) -> dict[str, Any]:
        assert instance_id == "i-1"
        return self.tags


class Desk:
    """The routes with their crosswalk."""

    def __init__(self, url: sa.URL) -> None:
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self.queued: list[int] = []
        self.downloads = Downloads()
        config: Any = SimpleNamespace(
            timezone="Europe/Berlin",
            orthanc=AWAY,
            destinations=[
                DestinationConfig("anon", "orthanc", AWAY),
                DestinationConfig("web", "dicomweb", DicomWeb("https://localhost:9", "")),
                DestinationConfig("pacs", "dicom", DicomNode("pacs", 104, "PACS", "US")),
            ],
        )
        self.api = Api(
            [
                *LookupRoutes(self.crosswalk, self.downloads).routes(),
                *self.downloads.routes(),
                *ReviewRoutes(self.crosswalk, self, Phi()).routes(),  # type: ignore[arg-type]
                *WorkRoutes(config, self.crosswalk).routes(),
            ]
        )

    def put(self, study_id: int, delay: float = 0) -> None:
        assert not delay
        self.queued.append(study_id)

    def ask(self, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        body = "" if content is None else json.dumps(content)
        return self.api.answer(Request(method, path, body=body, user="ann"))

    def hold_back(self, *spots: Spot, orthanc_id: str = ONE) -> None:
        study = self.crosswalk.studies.add(orthanc_id=orthanc_id)
        held = Quarantine("text-in-pixels", "look at the image").at(spots)
        self.crosswalk.held_instances.keep(study.id, [("i-1", held)])
        for state in (State.QUEUED, State.WORKING):
            self.crosswalk.studies.move(study.id, state)
        reason = "text-in-pixels: look at the image"
        self.crosswalk.studies.move(study.id, State.QUARANTINED, reason=reason)

    def events(self) -> list[tuple[str, str, str | None]]:
        with self.crosswalk.engine.connect() as connection:
            query = "SELECT actor, action, detail FROM events WHERE actor = 'ann' ORDER BY id"
            return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture
def desk(embedded: sa.URL) -> Iterator[Desk]:
    desk = Desk(embedded)
    yield desk
    desk.crosswalk.close()


def test_each_look_leaves_who_looked_and_what_was_seen_but_no_filter(desk: Desk) -> None:
    study = kept(desk.crosswalk, patient_name="Secret^Sue")
    status, answer = desk.ask("POST", "/lookup", {"filters": {"patient_name": "sue"}})
    assert (status, answer["total"], answer["next"]) == (200, 1, None)
    assert answer["rows"][0]["patient_name"] == "Secret^Sue"
    desk.ask("POST", "/lookup", {"filters": {"patient_id": "nobody"}})
    assert desk.events() == [
        ("ann", "lookup viewed", f"studies {study}; by patient_name"),
        ("ann", "lookup viewed", "studies none; by patient_id"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"filters": []}, "filters: "),
        ({"filters": {"patient_name": 7}}, "filters: "),
        ({"colour": 1}, "colour: the body knows"),
        ({"limit": "x"}, "limit: it is a int"),
        ({"limit": True}, "limit: "),
        ({"limit": 100_000}, "limit: a page has"),
        ({"descending": 1}, "descending: "),
        ({"filters": {"subject_number": "x"}}, "subject_number: "),
        ({"after": "x"}, "after: "),
    ],
)
def test_a_search_that_makes_no_sense_is_400(desk: Desk, content: Any, problem: str) -> None:
    status, answer = desk.ask("POST", "/lookup", content)
    assert (status, problem in answer["error"]) == (400, True)
    assert desk.events() == []


def received(desk: Desk, answer: Any) -> bytes:
    """The file as the plugin sends it on."""
    piece = answer["download"]
    content = base64.b64decode(piece["data"])
    while not piece["last"]:
        status, piece = desk.downloads.more(piece["number"])
        assert status == 200
        content += base64.b64decode(piece["data"])
    assert desk.downloads.more(piece["number"])[0] == 410
    assert desk.ask("GET", f"/downloads/{piece['number']}") == (200, {"bytes": len(content)})
    return content


@pytest.mark.parametrize(("kind", "begin"), [("csv", b'\xef\xbb\xbf"Project"'), ("xlsx", b"PK")])
def test_an_export_is_sent_in_pieces_and_leaves_events(desk: Desk, kind: str, begin: bytes) -> None:
    kept(desk.crosswalk)
    status, answer = desk.ask("POST", "/lookup/export", {"format": kind})
    assert status == 200
    assert answer["download"]["name"].endswith(f".{kind}")
    content = received(desk, answer)
    assert content.startswith(begin)
    assert desk.events() == [
        ("ann", "lookup exported", f"{kind}; by nothing"),
        ("ann", "lookup export ended", f"{len(content)} bytes"),
    ]


def test_a_file_that_broke_off_has_no_length(desk: Desk) -> None:
    kept(desk.crosswalk)
    _, answer = desk.ask("POST", "/lookup/export")
    number = answer["download"]["number"]
    assert desk.ask("GET", f"/downloads/{number}")[0] == 404


def test_an_export_that_makes_no_sense_is_400(desk: Desk) -> None:
    for content in ({"format": "pdf"}, {"filters": {"study_date": "x"}}, {"sort": "state"}):
        assert desk.ask("POST", "/lookup/export", content)[0] == 400
    assert desk.events() == []


def test_what_a_browser_gave_up_makes_room_for_others() -> None:
    now = [0.0]
    downloads = Downloads(clock=lambda: now[0])
    closed: list[int] = []

    def pieces(number: int) -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(number)

    for number in range(AT_ONCE):
        downloads.begin("x", "text/csv", pieces(number))
    with pytest.raises(ApiError, match="try again later"):
        downloads.begin("x", "text/csv", pieces(9))
    now[0] = 1000.0
    downloads.begin("x", "text/csv", pieces(10))
    assert closed == [0, 1, 2, 3]


def test_what_waits_is_listed_with_its_reason(desk: Desk) -> None:
    desk.hold_back(Spot(frame=1, box=(1, 2, 3, 4)), Spot(path="0008,1030"))
    status, answer = desk.ask("GET", "/review")
    assert (status, answer["more"]) == (200, False)
    (study,) = answer["studies"]
    assert study["orthanc_id"] == ONE
    assert (study["code"], study["reason"]) == ("text-in-pixels", "look at the image")
    assert (study["findings"], study["patient_name"]) == (2, "")


def test_what_holds_a_study_back_is_told_with_its_place(desk: Desk) -> None:
    desk.hold_back(Spot(frame=1, box=(1, 2, 3, 4)), Spot(path="0008,1030"))
    status, answer = desk.ask("GET", f"/studies/{ONE}/review")
    assert status == 200
    found = {"instance_id": "i-1", "code": "text-in-pixels", "message": "look at the image"}
    assert answer["findings"] == [
        {**found, "path": "", "frame": 1, "box": [1, 2, 3, 4]},
        {**found, "path": "0008,1030", "frame": 0, "box": None},
    ]
    assert desk.events() == [("ann", "review viewed", None)]
    assert desk.ask("GET", f"/studies/{GONE}/review")[0] == 404


def test_drawing_makes_a_rule_and_queues_the_study(desk: Desk) -> None:
    desk.hold_back()
    drawn = {"instance": "i-1", "rectangles": [[0, 0, 640, 30]], "note": "a name"}
    status, rule = desk.ask("POST", f"/studies/{ONE}/blank", drawn)
    assert (status, rule["scope"], rule["note"]) == (202, "study", "a name")
    assert rule["conditions"] == {"Rows": "480", "Columns": "640"}
    assert desk.queued == [1]
    study = desk.crosswalk.studies.get(1)
    assert study
    assert study.state is State.QUEUED
    status, _ = desk.ask("POST", f"/studies/{ONE}/blank", {**drawn, "scope": "device"})
    assert status == 202
    _, answer = desk.ask("GET", "/drawn-rules")
    assert [one["scope"] for one in answer["rules"]] == ["device", "study"]
    assert desk.ask("DELETE", "/drawn-rules/1") == (200, {"ended": 1})
    assert desk.ask("DELETE", "/drawn-rules/1")[0] == 404
    _, answer = desk.ask("GET", "/drawn-rules")
    assert [one["number"] for one in answer["rules"]] == [2]


@pytest.mark.parametrize(
    ("drawn", "status"),
    [
        ({}, 400),
        ({"instance": 7}, 400),
        ({"instance": "i-2"}, 400),
        ({"rectangles": []}, 400),
        ({"rectangles": [[0, 0, 1]]}, 400),
        ({"rectangles": [[0, 0, -1, 1]]}, 400),
        ({"rectangles": [[0, 0, True, 1]]}, 400),
        ({"rectangles": [[9000, 0, 1, 1]]}, 400),
        ({"scope": "site"}, 400),
        ({"note": 7}, 400),
    ],
)
def test_a_drawing_that_makes_no_sense_changes_nothing(
    desk: Desk, drawn: dict[str, Any], status: int
) -> None:
    desk.hold_back()
    whole = {"instance": "i-1", "rectangles": [[0, 0, 9, 9]], **drawn} if drawn else {}
    assert desk.ask("POST", f"/studies/{ONE}/blank", whole)[0] == status
    assert desk.queued == []
    assert desk.ask("GET", "/drawn-rules") == (200, {"rules": []})


def test_a_study_that_phi_lost_cannot_be_drawn_on(desk: Desk) -> None:
    desk.hold_back(orthanc_id=GONE)
    drawn = {"instance": "i-1", "rectangles": [[0, 0, 9, 9]]}
    assert desk.ask("POST", f"/studies/{GONE}/blank", drawn)[0] == 404


def test_the_work_is_told_as_figures(database: sa.URL) -> None:
    desk = Desk(database)
    kept(desk.crosswalk)
    status, answer = desk.ask("GET", "/work")
    assert (status, answer["studies"]["delivered"]) == (200, 1)
    assert [one["name"] for one in answer["certificates"]] == ["phi", "anon", "web"]
    assert answer["history"]["zone"] == "Europe/Berlin"
    assert json.loads(json.dumps(answer)) == answer
    desk.crosswalk.close()
