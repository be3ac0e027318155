# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about single elements: where in a study, series or instance they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.orthanc_client import GoneError, OrthancClient

LEVELS: Final = ("studies", "series", "instances")
MOST_INSTANCES: Final = 200
MOST_HITS: Final = 2000
_GROUP: Final = re.compile(r"[0-9a-f]{4}")
_ELEMENT: Final = re.compile(r"[0-9a-f]{4},[0-9a-f]{4}")


class Wanted(NamedTuple):
    """Which elements are looked for; what is empty may be anything."""

    group: str
    element: str
    text: str
    odd: bool

    def matches(self, tag: str, value: str) -> bool:
        """Tell whether an element, such as `0010,0010`, is one of them."""
        group = tag[:4]
        return (
            self.group in {"", group}
            and self.element in {"", tag}
            and self.text in value.casefold()
            and not (self.odd and int(group, 16) % 2 == 0)
        )


class ElementRoutes:
    """The answers about elements, sequences included."""

    def __init__(self, phi: OrthancClient) -> None:
        self._phi = phi

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", f"/{level}/{{orthanc_id}}/elements", self._search(level))
            for level in LEVELS
        ]

    def _search(self, level: str) -> Any:
        def search(request: Request, orthanc_id: str) -> Answer:
            """Return where the elements stand."""
            wanted = read_wanted(request)
            try:
                instances = self._phi.instances_of(level, orthanc_id)
                hits = list(self._hits(instances[:MOST_INSTANCES], wanted))
            except GoneError:
                raise ApiError(404, f"this Orthanc does not hold such {level}") from None
            return 200, {
                "elements": hits[:MOST_HITS],
                "more": len(hits) > MOST_HITS or len(instances) > MOST_INSTANCES,
            }

        return search

    def _hits(self, instances: list[str], wanted: Wanted) -> Iterator[dict[str, str]]:
        for instance in instances:
            for path, name, value in walk(self._phi.tags(instance)):
                if wanted.matches(path.rpartition("/")[2], value):
                    yield {"instance": instance, "path": path, "name": name, "value": value}


def read_wanted(request: Request) -> Wanted:
    """Return what a request looks for.

    Raises:
        ApiError: it looks for everything, or a parameter is not what it should be.
    """
    group, element = request.text("group").lower(), request.text("element").lower()
    odd = request.text("odd").lower()
    if group and not _GROUP.fullmatch(group):
        raise ApiError(400, "group must be four hexadecimal digits, such as 0010")
    if element and not _ELEMENT.fullmatch(element):
        raise ApiError(400, "element must be such as 0010,0010")
    if odd not in {"", "true", "false"}:
        raise ApiError(400, "odd must be true or false")
    wanted = Wanted(group, element, request.text("text").casefold(), odd == "true")
    if wanted == ("", "", "", False):
        raise ApiError(400, "name a group, an element or a text, or set odd to true")
    return wanted


def walk(tags: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path, name and value of each element as Orthanc tells them, sequences included."""
    for tag, told in tags.items():
        here = f"{path}{tag}"
        if told["Type"] == "Sequence":
            yield here, told["Name"], ""
            for number, item in enumerate(told["Value"]):
                yield from walk(item, f"{here}[{number}]/")
        else:
            yield here, told["Name"], str(told["Value"] or "")
