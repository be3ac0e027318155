# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the lookup table. Every look leaves an event that says who looked.

Filters come in the body: in an address they would stand in logs, and they are patients' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.downloads import Downloads
from orthanc_deid.lookup_export import MEDIA_TYPES, export
from orthanc_deid.lookup_search import LookupSearch, Search, SearchError

_TYPES: Final = {"sort": str, "descending": bool, "after": str, "limit": int}


class LookupRoutes:
    """The answers to an honest broker who looks somebody up."""

    def __init__(self, crosswalk: Crosswalk, downloads: Downloads) -> None:
        self._studies = crosswalk.studies
        self._table = LookupSearch(crosswalk.engine)
        self._downloads = downloads

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("POST", "/lookup", self.look),
            Route("POST", "/lookup/export", self.export),
        ]

    def look(self, request: Request) -> Answer:
        """Return a page of the table."""
        search = _search(request.content(), request.projects)
        try:
            page = self._table.page(search)
        except SearchError as error:
            raise ApiError(400, str(error)) from None
        seen = ", ".join(str(row["study"]) for row in page.rows)
        self._note(request, "lookup viewed", search, f"studies {seen or 'none'}")
        return 200, {"rows": page.rows, "total": page.total, "next": page.next}

    def export(self, request: Request) -> Answer:
        """Send the table, or what of it matches, as a file."""
        content = request.content()
        kind = content.pop("format", "csv")
        if kind not in MEDIA_TYPES:
            raise ApiError(400, f"format: it is one of {', '.join(MEDIA_TYPES)}")
        search = _search(content, request.projects)
        try:
            # What cannot be made is told before anything is sent.
            self._table.has_more_than(0, search)
            pieces = export(self._table, search, kind)
        except SearchError as error:
            raise ApiError(400, str(error)) from None
        # Before the first row, so that none goes out without a trace.
        self._note(request, "lookup exported", search, kind)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"lookup-{moment}.{kind}"
        noted = self._noted_at_end(request, pieces)
        return self._downloads.begin(name, MEDIA_TYPES[kind], noted)

    def _noted_at_end(self, request: Request, pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            yield piece
        self._studies.note("lookup export ended", actor=request.user, detail=f"{size} bytes")

    def _note(self, request: Request, action: str, search: Search, what: str) -> None:
        """Leave an event: by which columns was looked, never for what."""
        filtered = ", ".join(sorted(name for name, text in search.filters.items() if text.strip()))
        detail = f"{what}; by {filtered or 'nothing'}"
        self._studies.note(action, actor=request.user, detail=detail)


def _search(content: dict[str, Any], projects: frozenset[str] | None) -> Search:
    filters = content.pop("filters", {})
    if not isinstance(filters, dict) or not all(isinstance(t, str) for t in filters.values()):
        raise ApiError(400, "filters: an object with a text for each column to filter by")
    given = {name: value for name, value in content.items() if value is not None}
    for name, value in given.items():
        if name not in _TYPES:
            known = ", ".join(chain(("filters",), _TYPES))
            raise ApiError(400, f"{name}: the body knows {known}")
        if not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and name == "limit"):
            raise ApiError(400, f"{name}: it is a {_TYPES[name].__name__}")
    try:
        return Search(filters, **given, projects=projects)
    except SearchError as error:
        raise ApiError(400, str(error)) from None
