# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the studies that the PHI Orthanc holds, and about their patients."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.held_studies import COUNTED, SORTS, HeldStudies, HeldStudy, Search, Standing
from orthanc_deid.states import State

LONGEST_PAGE: Final = 200
LAST_OFFSET: Final = 1_000_000
UNKNOWN: Final = "unknown"


class SearchRoutes:
    """The answers to searches."""

    def __init__(self, held: HeldStudies) -> None:
        self._held = held

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [Route("GET", "/search", self.search), Route("GET", "/sources", self.sources)]

    def search(self, request: Request) -> Answer:
        """Return a page of the studies on PHI that match, each with where it stands."""
        found, total = self._held.search(read_search(request))
        standings = self._held.standings((one.orthanc_id for one in found), request.projects)
        # Who must not anonymize is not told which pseudonym belongs to a patient, either.
        told = "anonymize" in request.may
        return 200, {
            "studies": [
                _describe(study, standings.get(study.orthanc_id, []), told=told) for study in found
            ],
            "total": min(total, COUNTED),
            "more_than_total": total > COUNTED,
        }

    def sources(self, _request: Request) -> Answer:
        """Return every application entity title that studies on PHI came from."""
        return 200, {"sources": self._held.sources()}


def read_search(request: Request) -> Search:
    """Return what a request looks for.

    Raises:
        ApiError: a parameter is not what it should be.
    """
    states = frozenset(filter(None, request.text("state").split(",")))
    if unknown := states - {*State, UNKNOWN}:
        raise ApiError(
            400,
            f"state has {', '.join(sorted(unknown))!r}; there are {', '.join(State)}, {UNKNOWN}",
        )
    sort = request.text("sort") or "-received"
    if sort.removeprefix("-") not in SORTS:
        raise ApiError(400, f"sort must be one of {', '.join(SORTS)}, with - for the other way")
    return Search(
        patient=request.text("patient"),
        accession=request.text("accession"),
        date_from=_date(request, "date_from"),
        date_to=_date(request, "date_to"),
        description=request.text("description"),
        modality=request.text("modality").upper(),
        source=request.text("source"),
        orthanc_id=request.text("study"),
        states=states,
        projects=request.projects,
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        offset=request.number("offset", 0, LAST_OFFSET, 0),
        limit=request.number("limit", 1, LONGEST_PAGE, 50),
    )


def _date(request: Request, name: str) -> str:
    value = request.text(name)
    if value and not re.fullmatch(r"[0-9]{8}", value):
        raise ApiError(400, f"{name} must be a date such as 20261124")
    return value


def _describe(study: HeldStudy, standings: list[Standing], *, told: bool) -> dict[str, Any]:
    return {
        **asdict(study),
        "modalities": study.modalities.split(),
        "received_at": study.received_at.isoformat(),
        "projects": [
            {
                "study": one.study,
                "project": one.project,
                "state": one.state,
                "reason": one.reason,
                "progress": one.progress,
                "subject_number": one.subject_number if told else None,
                "updated_at": one.updated_at.isoformat(),
            }
            for one in standings
        ],
    }
