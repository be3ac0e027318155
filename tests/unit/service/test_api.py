# SPDX-License-Identifier: GPL-3.0-or-later
"""The routing of the API: which route answers, what is refused first, what is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, cast

import pytest

from orthanc_deid import agent
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import Api, ApiError, Request, Route
from orthanc_deid.downloads import Downloads

STUDY = "0123abcd" + "-0123abcd" * 4


def echo(request: Request, **parts: str) -> Answer:
    return 200, {"user": request.user, "content": request.content(), **parts}


API = Api([Route("GET", "/studies/{orthanc_id}", echo), Route("POST", "/nodes/{name}/query", echo)])


def ask(method: str, path: str, **told: Any) -> Answer:
    return API.answer(Request.of({"method": method, "path": path, **told}))


def test_a_route_gets_the_parts_of_its_path_and_the_person() -> None:
    status, answer = ask("GET", f"/studies/{STUDY}", user="rosa", number=7, call="api")
    assert (status, answer) == (200, {"user": "rosa", "content": {}, "orthanc_id": STUDY})


@pytest.mark.parametrize(
    "path", ["/studies/1", f"/studies/{STUDY}/x", "/", "", f"/studies/{STUDY}\n"]
)
def test_what_is_no_route_is_404(path: str) -> None:
    assert ask("GET", path)[0] == 404


def test_another_method_is_405_and_told() -> None:
    assert ask("GET", "/nodes/pacs/query") == (405, {"error": "only POST is possible here"})


@pytest.mark.parametrize("body", ["{", "[]", "7", '"x"', "\0"])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    assert ask("POST", "/nodes/pacs/query", body=body)[0] == 400


@pytest.mark.parametrize("value", ["x", "-1", "0", "101", "1.5", "\u0663", "9" * 40])
def test_a_number_out_of_its_bounds_is_refused(value: str) -> None:
    request = Request("GET", "/", {"limit": value})
    with pytest.raises(ApiError, match="limit must be a whole number from 1 to 100"):
        request.number("limit", 1, 100, 50)


def test_each_route_is_documented_and_nothing_else() -> None:
    nothing = cast(Any, _Nothing())
    routes = agent.all_routes(
        nothing, nothing, nothing, nothing, downloads=Downloads(), fetcher=nothing
    )
    document = json.loads(resources.files("orthanc_deid").joinpath("openapi.json").read_text())
    documented = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert documented == {(route.method, route.path) for route in routes}
    for path, methods in document["paths"].items():
        told = {parameter["name"] for parameter in methods.get("parameters", ())}
        assert told >= set(re.findall(r"\{(\w+)\}", path)), path


class _Nothing:
    """Stands for all that routes work with, where only their list is asked for."""

    def __getattr__(self, name: str) -> Any:
        return _Nothing()

    def __iter__(self) -> Iterator[Any]:
        return iter(())
