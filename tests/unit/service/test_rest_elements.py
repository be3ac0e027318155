# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements are found wherever they stand, by group, element, text, or for being private."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orthanc_deid.api import Api, Request
from orthanc_deid.orthanc_client import GoneError
from orthanc_deid.rest_elements import ElementRoutes

STUDY = "0123abcd" + "-0123abcd" * 4
TAGS = {
    "0010,0010": {"Name": "PatientName", "Type": "String", "Value": "Public^John"},
    "0009,1001": {"Name": "Unknown Tag & Data", "Type": "String", "Value": "private"},
    "0008,1140": {
        "Name": "ReferencedImageSequence",
        "Type": "Sequence",
        "Value": [
            {"0010,0010": {"Name": "PatientName", "Type": "String", "Value": "Nested^Jane"}},
            {"0011,0010": {"Name": "Private Creator", "Type": "Null", "Value": None}},
        ],
    },
}


class Phi:
    def instances_of(self, level: str, orthanc_id: str) -> list[str]:
        if level == "series":
            raise GoneError("gone")
        return ["i-1"] if orthanc_id == STUDY else []

    def tags(self, _instance: str) -> dict[str, Any]:
        return TAGS


def ask(level: str = "studies", **query: str) -> tuple[int, Any]:
    told = {"method": "GET", "path": f"/{level}/{STUDY}/elements", "query": query}
    return Api(ElementRoutes(cast(Any, Phi())).routes()).answer(Request.of(told))


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ({"group": "0010"}, ["0010,0010", "0008,1140[0]/0010,0010"]),
        ({"element": "0010,0010", "text": "JANE"}, ["0008,1140[0]/0010,0010"]),
        ({"odd": "true"}, ["0009,1001", "0008,1140[1]/0011,0010"]),
        ({"text": "nowhere"}, []),
    ],
)
def test_elements_are_found_wherever_they_stand(query: dict[str, str], paths: list[str]) -> None:
    status, answer = ask(**query)
    assert status == 200
    assert [hit["path"] for hit in answer["elements"]] == paths
    assert answer["more"] is False


@pytest.mark.parametrize(
    "query", [{}, {"group": "10"}, {"element": "PatientName"}, {"odd": "maybe"}]
)
def test_what_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    assert ask(**query)[0] == 400


def test_what_is_not_there_is_404() -> None:
    assert ask("series", odd="true")[0] == 404
