# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that belongs to a group of people, as they and others meet it through Apache."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

import deployed
from planted import planted_study
from test_front_door import page_token, person

PATIENT = "OF-THE-GROUP"
# Hana is an honest broker, and Rosa only a researcher, but in the group of the project.
API = "/e2e-phi/deid/v1"


@pytest.fixture(scope="module")
def study() -> str:
    """A study that the project `grouped` has beside `default`, by Orthanc's identifier."""
    instances, _ = planted_study("CT_small.dcm", 2, patient=PATIENT)
    assert set(deployed.send(instances)) == {0}
    uid = str(instances[0].StudyInstanceUID)
    deployed.delivered(uid, 2)
    orthanc_id = str(deployed.orthanc_id("phi", uid))
    with person("rosa") as rosa:
        answer = anonymize(rosa, orthanc_id)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    deployed.wait_for(
        "the study is delivered in the project too",
        lambda: states(orthanc_id, "adam").get("grouped") == "delivered",
    )
    return orthanc_id


def anonymize(who: httpx.Client, orthanc_id: str, **headers: str) -> httpx.Response:
    return who.post(
        f"{API}/studies/{orthanc_id}/anonymize",
        json={"project": "grouped"},
        headers={"X-Page-Token": page_token(who), **headers},
    )


def states(orthanc_id: str, name: str) -> dict[str, str]:
    """Return the state of a study in each project that a person sees."""
    with person(name) as who:
        told = who.get(f"{API}/studies/{orthanc_id}").raise_for_status().json()
    return {one["project"]: one["state"] for one in (told, *told["other_projects"])}


def rows(name: str, **headers: str) -> set[str]:
    """Return the projects in which a person finds the patient in the lookup table."""
    content: dict[str, Any] = {"filters": {"patient_id": PATIENT}}
    with person(name) as who:
        headers["X-Page-Token"] = page_token(who)
        found = who.post(f"{API}/lookup", json=content, headers=headers).raise_for_status().json()
    return {row["project"] for row in found["rows"]}


def projects(name: str) -> set[str]:
    with person(name) as who:
        return set(who.get(f"{API}/status").raise_for_status().json()["projects"])


def test_the_group_and_administrators_see_the_project_and_others_do_not(study: str) -> None:
    assert set(states(study, "rosa")) == {"default", "grouped"}
    assert set(states(study, "adam")) == {"default", "grouped"}
    assert set(states(study, "hana")) == {"default"}
    assert rows("adam") == {"default", "grouped"}
    assert rows("hana") == {"default"}
    assert {name for name in ("adam", "hana", "rosa") if "grouped" in projects(name)} == {
        "adam", "rosa",
    }  # fmt: skip


def test_nobody_else_works_on_it(study: str) -> None:
    with person("hana") as hana:
        refused = anonymize(hana, study)
        withdrawn = hana.post(
            f"{API}/studies/{study}/withdraw",
            json={"project": "grouped"},
            headers={"X-Page-Token": page_token(hana)},
        )
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert withdrawn.status_code == httpx.codes.NOT_FOUND
    assert states(study, "adam")["grouped"] == "delivered"


def test_nobody_becomes_a_member_by_saying_so(study: str) -> None:
    claimed = {"X-Remote-Groups": base64.b64encode(b"researchers").decode()}
    assert rows("hana", **claimed) == {"default"}
    hidden = {**claimed, "Connection": "close, X-Remote-User"}
    assert rows("hana", **hidden) == {"default"}
    with person("hana", **claimed) as hana:
        assert anonymize(hana, study).status_code == httpx.codes.BAD_REQUEST
