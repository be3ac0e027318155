# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies on PHI: what is searched for is found, whatever was told, changed or deleted."""

from __future__ import annotations

from typing import Any

import pytest

from orthanc_deid.api import Api, Request
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.held_studies import Search
from orthanc_deid.orthanc_client import GoneError, SourceStudy
from orthanc_deid.rest_search import SearchRoutes
from orthanc_deid.states import State


class Phi:
    """What an Orthanc says of its studies."""

    def __init__(self) -> None:
        self.studies: dict[str, dict[str, Any]] = {}
        self.described: list[str] = []

    def add(self, orthanc_id: str, name: str = "", sent_by: str = "CT1", **tags: str) -> None:
        self.studies[orthanc_id] = {
            "LastUpdate": "1",
            "Series": ["a", "b"],
            "sent_by": sent_by,
            "MainDicomTags": {"StudyInstanceUID": f"1.{orthanc_id}", **tags},
            "PatientMainDicomTags": {"PatientName": name, "PatientID": f"MRN-{orthanc_id}"},
            "RequestedTags": {
                "ModalitiesInStudy": tags.get("Modalities", "CT"),
                "NumberOfStudyRelatedInstances": "12",
            },
        }

    def describe(self, orthanc_id: str) -> dict[str, Any]:
        self.described.append(orthanc_id)
        if orthanc_id not in self.studies:
            raise GoneError("gone")
        return self.studies[orthanc_id]

    def source(self, orthanc_id: str) -> str:
        return str(self.studies[orthanc_id]["sent_by"])

    def all(self) -> list[SourceStudy]:
        return [
            SourceStudy(key, f"1.{key}", study["LastUpdate"], stable=True)
            for key, study in self.studies.items()
        ]


@pytest.fixture
def phi(crosswalk: Crosswalk) -> Phi:
    phi = Phi()
    phi.add("1", "Müller^Jürgen", AccessionNumber="A-17", StudyDate="20260131")
    phi.add("2", "Yamada^Tarou=山田^太郎", StudyDescription="MR HEAD 100%", Modalities="MR\\SR")
    phi.add("3", "<script>'x'</script>", "PACS", StudyDate="20251224")
    watch(crosswalk, phi)
    return phi


def watch(crosswalk: Crosswalk, phi: Any) -> None:
    assert [one.orthanc_id for one in crosswalk.held.watch(phi, phi.all())] == list(phi.studies)


def found(crosswalk: Crosswalk, **wanted: Any) -> list[str]:
    page, total = crosswalk.held.search(Search(**wanted))
    assert total == len(page)
    return sorted(study.orthanc_id for study in page)


@pytest.mark.usefixtures("phi")
@pytest.mark.parametrize(
    ("wanted", "hits"),
    [
        ({}, ["1", "2", "3"]),
        ({"patient": "jurgen MÜLLER"}, ["1"]),
        ({"patient": "太郎"}, ["2"]),
        ({"patient": "mrn-3"}, ["3"]),
        ({"patient": "<script>"}, ["3"]),
        ({"patient": "%"}, []),
        ({"patient": "_RN"}, []),
        ({"accession": "A-1"}, ["1"]),
        ({"description": "100%"}, ["2"]),
        ({"modality": "SR"}, ["2"]),
        ({"modality": "S"}, []),
        ({"source": "PACS"}, ["3"]),
        ({"date_from": "20260101"}, ["1"]),
        ({"date_to": "20260101"}, ["3"]),
        ({"states": frozenset({"unknown"})}, ["1", "2", "3"]),
        ({"states": frozenset({"delivered"})}, []),
    ],
)
def test_what_is_looked_for_is_found(
    crosswalk: Crosswalk, wanted: dict[str, Any], hits: list[str]
) -> None:
    assert found(crosswalk, **wanted) == hits


def test_a_page_begins_anywhere_and_knows_how_many_there_are(
    crosswalk: Crosswalk, phi: Phi
) -> None:
    page, total = crosswalk.held.search(Search(sort="patient", descending=False, offset=1, limit=1))
    assert ([study.patient_name for study in page], total) == (["Müller^Jürgen"], 3)
    assert (page[0].series, page[0].instances, page[0].source) == (2, 12, "CT1")
    assert phi.described == ["1", "2", "3"]


def test_only_what_has_changed_is_looked_at_again(crosswalk: Crosswalk, phi: Phi) -> None:
    phi.described.clear()
    phi.studies["2"]["LastUpdate"] = "2"
    phi.studies["2"]["MainDicomTags"]["AccessionNumber"] = "NEW"
    watch(crosswalk, phi)
    assert phi.described == ["2"]
    assert found(crosswalk, accession="NEW") == ["2"]


def test_what_is_gone_is_not_found_any_more(crosswalk: Crosswalk, phi: Phi) -> None:
    del phi.studies["1"]
    watch(crosswalk, phi)
    assert found(crosswalk) == ["2", "3"]
    crosswalk.held.forget(["3"])
    assert found(crosswalk) == ["2"]


def test_a_study_is_found_by_its_state(crosswalk: Crosswalk, phi: Phi) -> None:
    study = crosswalk.studies.add(orthanc_id="2")
    crosswalk.studies.requeue(study.id)
    assert found(crosswalk, states=frozenset({State.QUEUED})) == ["2"]
    assert found(crosswalk, states=frozenset({State.QUEUED, "unknown"})) == ["1", "2", "3"]
    (standing,) = crosswalk.held.standings(["1", "2"])["2"]
    assert (standing.state, standing.project) == ("queued", "default")
    phi.add("4", "back")
    phi.studies["4"]["MainDicomTags"]["StudyInstanceUID"] = "2.25.7"
    crosswalk.studies.identify(
        study.id,
        study_instance_uid="1.2",
        anonymous_study_uid="2.25.7",
        subject=crosswalk.subject("MRN-2"),
    )
    watch(crosswalk, phi)
    page, _ = crosswalk.held.search(Search())
    assert [one.orthanc_id for one in page if one.anonymous] == ["4"]


@pytest.mark.parametrize("may", [["anonymize"], []])
def test_who_may_not_anonymize_is_not_told_the_subject(
    crosswalk: Crosswalk, phi: Phi, may: list[str]
) -> None:
    study = crosswalk.studies.add(orthanc_id="1")
    crosswalk.studies.identify(
        study.id,
        study_instance_uid="1.1",
        anonymous_study_uid="2.25.7",
        subject=crosswalk.subject("MRN-1"),
    )
    told = {"method": "GET", "path": "/search", "query": {"patient": "muller"}, "may": may}
    status, answer = Api(SearchRoutes(crosswalk.held).routes()).answer(Request.of(told))
    assert status == 200
    (shown,) = answer["studies"]
    assert shown["modalities"] == ["CT"]
    assert shown["projects"][0]["subject_number"] == (1 if may else None)
    assert phi.studies


@pytest.mark.parametrize(
    "query",
    [
        {"state": "lost"},
        {"sort": "name"},
        {"date_from": "2026-01-01"},
        {"limit": "0"},
        {"limit": "201"},
        {"offset": "-1"},
        {"patient": "x" * 1001},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    crosswalk: Crosswalk, query: dict[str, str]
) -> None:
    told = {"method": "GET", "path": "/search", "query": query}
    assert Api(SearchRoutes(crosswalk.held).routes()).answer(Request.of(told))[0] == 400
