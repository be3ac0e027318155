# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON API of the PHI Orthanc below `/deid/v1`: requests, routes, and which answers which.

Who may use a route stands in `access.toml`, which is asked before a request comes here. What each
route takes and answers stands in `openapi.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orthanc_deid.agent_client import Answer
from orthanc_deid.errors import DeidError
from orthanc_deid.project_access import ProjectAccess

PLACEHOLDERS: Final = {
    "orthanc_id": "[0-9a-f]{8}(?:-[0-9a-f]{8}){4}",
    "number": "[0-9]{1,18}",
}
"""What may stand for a part of a path; any other part is text without a slash."""

MAX_TEXT: Final = 1000


class ApiError(DeidError):
    """A request that cannot be answered as asked: the HTTP status, and what to do about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has passed the table of accounts.

    Attributes:
        path: below `/deid/v1`, such as `/status`.
        query: the parameters of the address.
        body: as it was sent.
        account: which account of Orthanc's.
        user: the person behind it, or the account where no proxy told one.
        groups: the person's, as the proxy told.
        may: what a page may offer to this account, such as `anonymize` or `lookup`.
        projects: which projects the person may see; None is all. Set by `Api`.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    account: str = ""
    user: str = ""
    groups: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    projects: frozenset[str] | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Request:
        """Return the request that the plugin tells of."""
        known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        sets = {name: frozenset(told.get(name, ())) for name in ("groups", "may")}
        return cls(**{**known, **sets, "projects": None})

    def sees(self, project: str) -> bool:
        """Tell whether the person may see a project."""
        return self.projects is None or project in self.projects

    def content(self) -> dict[str, Any]:
        """Return the JSON object in the body; an empty body is an empty object.

        Raises:
            ApiError: the body is anything else.
        """
        try:
            content = json.loads(self.body) if self.body.strip() else {}
        except ValueError:
            raise ApiError(400, "the body is not JSON") from None
        if not isinstance(content, dict):
            raise ApiError(400, "the body must be a JSON object")
        return content

    def text(self, name: str) -> str:
        """Return a parameter of the address without spaces around it; empty if it is missing."""
        value = self.query.get(name, "").strip()
        if len(value) > MAX_TEXT:
            raise ApiError(400, f"{name} has more than {MAX_TEXT} characters")
        return value

    def number(self, name: str, low: int, high: int, default: int) -> int:
        """Return a parameter of the address that is a whole number from `low` to `high`."""
        value = self.text(name)
        if not value:
            return default
        if not (value.isascii() and value.isdecimal() and low <= int(value[:19]) <= high):
            raise ApiError(400, f"{name} must be a whole number from {low} to {high}")
        return int(value)


Handler = Callable[..., Answer]
"""Takes the request and, by their names, the parts of the path that stand for something."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path such as `/studies/{orthanc_id}`, and what answers."""

    method: str
    path: str
    handler: Handler

    def pattern(self) -> re.Pattern[str]:
        """Return the expression that the whole path of a request must match."""
        parts = re.split(r"\{(\w+)\}", self.path)
        return re.compile(
            "".join(
                f"(?P<{part}>{PLACEHOLDERS.get(part, '[^/]+')})" if index % 2 else re.escape(part)
                for index, part in enumerate(parts)
            )
        )


class Api:
    """Finds the route of a request and has it answered."""

    def __init__(self, routes: Iterable[Route], access: ProjectAccess | None = None) -> None:
        self.routes = tuple(routes)
        self._access = access or ProjectAccess({})
        self._patterns = [(route.pattern(), route) for route in self.routes]

    def answer(self, request: Request) -> Answer:
        """Answer one request; 404 and 405 where there is no such route."""
        found = [
            (match, route)
            for pattern, route in self._patterns
            if (match := pattern.fullmatch(request.path))
        ]
        projects = self._access.visible(request.account, request.groups)
        request = replace(request, projects=projects)
        for match, route in found:
            if route.method == request.method:
                try:
                    return route.handler(request, **match.groupdict())
                except ApiError as error:
                    return error.status, {"error": str(error)}
        if found:
            methods = ", ".join(sorted({route.method for _, route in found}))
            return 405, {"error": f"only {methods} is possible here"}
        return 404, {"error": "the API has no such route; /deid/v1/openapi.json lists them"}
