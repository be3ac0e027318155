# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of a project: who is in none of them sees nothing of it and changes nothing in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import sqlalchemy as sa

from orthanc_deid.api import Api, Request
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.downloads import Downloads
from orthanc_deid.orthanc_client import OrthancClient, SourceStudy
from orthanc_deid.project_access import ProjectAccess
from orthanc_deid.rectangles import Rectangle
from orthanc_deid.rest import Offer, Site, StudyRoutes
from orthanc_deid.rest_instances import InstanceRoutes
from orthanc_deid.rest_lookup import LookupRoutes
from orthanc_deid.rest_patients import PatientRoutes
from orthanc_deid.rest_review import ReviewRoutes
from orthanc_deid.rest_search import SearchRoutes
from orthanc_deid.states import State

KNEE_STUDY, OPEN_STUDY, OLD_STUDY = (f"0000000{n}" + "-00000000" * 4 for n in (1, 2, 3))
KNEE, OPEN = Offer("knee", "KNEE", ("anon",)), Offer("open", "OPEN", ("anon", "disk"))
AREA = Rectangle(0, 0, 2, 2)
ACCESS = ProjectAccess({"knee": ["surgeons", "cn=knee,ou=x"], "open": []})


@dataclass
class Told:
    patient_id: str
    study_instance_uid: str
    patient_name: str = "Public^John"
    issuer: str = ""
    accession_number: str = "ACC1"
    study_date: str = "20260101"


class Phi:
    """The PHI Orthanc, which holds a study and its one instance."""

    def describe(self, orthanc_id: str) -> dict[str, Any]:
        tags = {"PatientID": f"MRN-{orthanc_id[7]}", "StudyInstanceUID": f"1.2.{orthanc_id[7]}"}
        return {"LastUpdate": "1", "Series": ["s"], "MainDicomTags": tags}

    def source(self, _orthanc_id: str) -> str:
        return "CT1"

    def contents(self, _orthanc_id: str) -> tuple[list[Any], list[Any]]:
        return [], []

    def find(self, orthanc_id: str) -> SourceStudy:
        return SourceStudy(orthanc_id, f"1.2.{orthanc_id[7]}", "1", stable=True)


class Desk:
    """The API of a site with a study in each of three projects; `old` is not in its settings."""

    def __init__(self, url: sa.URL) -> None:
        self.crosswalk = Crosswalk(url, base_name="KNEE", project="knee")
        self.downloads = Downloads()
        phi = Phi()
        client = cast(OrthancClient, phi)
        for orthanc_id, project in (
            (KNEE_STUDY, "knee"), (OPEN_STUDY, "open"), (OLD_STUDY, "old"),
        ):  # fmt: skip
            self._quarantined(orthanc_id, project)
            self.crosswalk.held.look(client, orthanc_id)
        studies = self.crosswalk.studies
        crosswalks = {
            offer.project: Crosswalk(
                self.crosswalk.engine, base_name=offer.base_name, project=offer.project
            )
            for offer in (KNEE, OPEN)
        }
        routes = (
            StudyRoutes(studies, self, phi.find, Site(projects=[KNEE, OPEN])),
            LookupRoutes(self.crosswalk, self.downloads),
            ReviewRoutes(self.crosswalk, self, client),
            SearchRoutes(self.crosswalk.held),
            PatientRoutes(self.crosswalk, crosswalks),
            InstanceRoutes(client, studies, lambda: b"x" * 32),
        )
        self.api = Api([route for part in routes for route in part.routes()], ACCESS)

    def _quarantined(self, orthanc_id: str, project: str) -> None:
        own = Crosswalk(self.crosswalk.engine, base_name=project.upper(), project=project)
        number = orthanc_id[7]
        subject = own.subject(f"MRN-{number}")
        study = own.studies.add(orthanc_id=orthanc_id)
        own.studies.identify(
            study.id,
            study_instance_uid=f"1.2.{number}",
            anonymous_study_uid=f"2.25.{number}",
            subject=subject,
        )
        told = Told(f"MRN-{number}", f"1.2.{number}")
        own.lookup.identified(study.id, told, subject, f"2.25.{number}")
        for state in (State.QUEUED, State.WORKING):
            own.studies.move(study.id, state)
        own.studies.move(study.id, State.QUARANTINED, reason="text-in-pixels: look")
        image = {"StudyInstanceUID": f"1.2.{number}", "Rows": "9", "Columns": "9"}
        own.drawn_rules.add(study.id, image, [AREA], scope="study", actor="x")

    def put(self, study_id: int, delay: float = 0) -> None:
        """Take a job."""

    def ask(
        self, path: str, content: Any = None, *, method: str = "", account: str = "honest_broker",
        groups: tuple[str, ...] = (), **query: str,
    ) -> tuple[int, Any]:  # fmt: skip
        body = "" if content is None else json.dumps(content)
        request = Request.of(
            {
                "method": method or ("GET" if content is None else "POST"),
                "path": path, "query": query, "body": body, "account": account, "user": "ann",
                "groups": list(groups), "may": ["anonymize"],
            }
        )  # fmt: skip
        return self.api.answer(request)


@pytest.fixture
def desk(embedded: sa.URL) -> Iterator[Desk]:
    desk = Desk(embedded)
    yield desk
    desk.crosswalk.close()


SURGEON = ("staff", "cn=knee,ou=x")


def test_a_project_with_groups_is_for_those_who_are_in_one() -> None:
    assert ACCESS.visible("honest_broker", SURGEON) == frozenset({"knee", "open"})
    assert ACCESS.visible("honest_broker", ("staff",)) == frozenset({"open"})
    assert ACCESS.visible("administrator", ()) is None
    assert ProjectAccess({"a": [], "b": []}).visible("viewer", ()) is None


@pytest.mark.parametrize(
    ("account", "groups", "seen"),
    [
        ("honest_broker", (), {"open"}),
        ("honest_broker", SURGEON, {"knee", "open"}),
        ("administrator", (), {"knee", "open", "old"}),
    ],
)
def test_every_list_shows_the_rows_of_the_projects_that_are_seen(
    desk: Desk, account: str, groups: tuple[str, ...], seen: set[str]
) -> None:
    def rows(path: str, name: str, content: Any = None) -> list[Any]:
        status, answer = desk.ask(path, content, account=account, groups=groups)
        assert status == 200
        return list(answer[name])

    assert {row["project"] for row in rows("/lookup", "rows", {})} == seen
    assert {row["project"] for row in rows("/studies", "studies")} == seen
    standings = [one["project"] for row in rows("/search", "studies") for one in row["projects"]]
    assert sorted(standings) == sorted(seen)
    assert len(rows("/review", "studies")) == len(seen)
    assert len(rows("/drawn-rules", "rules")) == len(seen)
    assert set(rows("/status", "projects")) == seen - {"old"}


def test_an_export_has_the_rows_that_are_seen(desk: Desk) -> None:
    _, answer = desk.ask("/lookup/export", {"format": "csv"})
    piece, text = answer["download"], b""
    while not piece["last"]:
        text += base64.b64decode(piece["data"])
        _, piece = desk.downloads.more(piece["number"])
    assert b'"MRN-2"' in text
    assert not {b'"MRN-1"', b'"MRN-3"'} & set(text.replace(b"\r\n", b",").split(b","))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"/studies/{KNEE_STUDY}", None),
        (f"/studies/{KNEE_STUDY}/review", None),
        (f"/studies/{KNEE_STUDY}/retry", {}),
        (f"/studies/{KNEE_STUDY}/release", {}),
        (f"/studies/{KNEE_STUDY}/reject", {}),
        (f"/studies/{KNEE_STUDY}/withdraw", {}),
        (f"/studies/{KNEE_STUDY}/withdraw", {"project": "knee"}),
        (f"/studies/{KNEE_STUDY}/blank", {"instance": "i"}),
    ],
)
def test_a_study_of_a_project_that_is_not_seen_is_not_there(
    desk: Desk, path: str, content: Any
) -> None:
    assert desk.ask(path, content)[0] == 404
    found = desk.crosswalk.studies.find_orthanc(KNEE_STUDY)
    assert found
    assert found.state == State.QUARANTINED


def test_a_member_works_on_the_study(desk: Desk) -> None:
    assert desk.ask(f"/studies/{KNEE_STUDY}/reject", {}, groups=SURGEON)[0] == 202


def test_nobody_anonymizes_into_a_project_that_is_not_seen(desk: Desk) -> None:
    path = f"/studies/{OPEN_STUDY}/anonymize"
    status, answer = desk.ask(path, {"project": "knee"})
    assert (status, answer["error"]) == (400, "there is no project 'knee', but open")
    assert desk.ask(path, {"project": "knee"}, groups=SURGEON)[0] == 202


def test_who_sees_no_project_is_told_so(desk: Desk) -> None:
    desk.api = Api(desk.api.routes, ProjectAccess({"knee": ["a"], "open": ["b"]}))
    status, answer = desk.ask(f"/studies/{OPEN_STUDY}/anonymize", {})
    assert (status, "groups" in answer["error"]) == (403, True)


def test_a_state_in_a_project_that_is_not_seen_finds_nothing(desk: Desk) -> None:
    _, answer = desk.ask("/search", state="quarantined")
    assert [study["orthanc_id"] for study in answer["studies"]] == [OPEN_STUDY]
    _, answer = desk.ask("/search", state="unknown")
    assert {study["orthanc_id"] for study in answer["studies"]} == {KNEE_STUDY, OLD_STUDY}


def test_the_patient_and_the_new_uids_are_told_to_members_only(desk: Desk) -> None:
    patient, instances = f"/studies/{KNEE_STUDY}/patient", f"/studies/{KNEE_STUDY}/instances"
    assert desk.ask(patient)[1]["subjects"] == []
    assert [one["number"] for one in desk.ask(patient, groups=SURGEON)[1]["subjects"]] == [1]
    assert desk.ask(instances)[0] == 409
    assert desk.ask(instances, groups=SURGEON)[1]["anonymous_study_uid"] == "2.25.1"


def test_a_rule_drawn_in_a_project_that_is_not_seen_cannot_be_ended(desk: Desk) -> None:
    assert desk.ask("/drawn-rules/1", method="DELETE")[0] == 404
    assert desk.ask("/drawn-rules/1", method="DELETE", groups=SURGEON)[0] == 200


def test_a_client_cannot_say_which_projects_it_sees(desk: Desk) -> None:
    assert desk.ask("/lookup", {"projects": ["knee"]})[0] == 400
    assert desk.ask("/studies", project="knee")[1]["studies"] == []


def test_what_may_be_chosen_is_told_of_the_projects_that_are_seen(desk: Desk) -> None:
    _, told = desk.ask("/status", groups=("surgeons",))
    assert [
        (one["project"], one["base_name"], *one["destinations"]) for one in told["choices"]
    ] == [
        ("knee", "KNEE", "anon"),
        ("open", "OPEN", "anon", "disk"),
    ]
    _, told = desk.ask("/status")
    assert [one["project"] for one in told["choices"]] == ["open"]


def test_the_pseudonym_is_told_in_each_project(desk: Desk) -> None:
    path = f"/studies/{OPEN_STUDY}/patient"

    def name(project: str = "", groups: tuple[str, ...] = ("surgeons",)) -> Any:
        status, told = desk.ask(path, groups=groups, project=project)
        return told["pseudonym"]["patient_name"] if status == 200 else status

    assert name() == name("open") == "OPEN^ID000001^^^"
    assert name("knee") == "KNEE^ID??????^^^", "the patient has no number there yet"
    assert name("knee", ()) == name("elsewhere") == 400


def test_destinations_are_chosen_and_what_is_none_is_refused(desk: Desk) -> None:
    path = f"/studies/{OPEN_STUDY}/anonymize"
    status, told = desk.ask(path, {"destinations": ["anon"]})
    assert (status, told["chosen_destinations"]) == (202, ["anon"])
    assert desk.ask(path, {"destinations": ["tape"]})[0] == 409
    assert desk.ask(path, {"destinations": "anon"})[0] == 400
    assert desk.ask(path, {"destinations": [7]})[0] == 400
