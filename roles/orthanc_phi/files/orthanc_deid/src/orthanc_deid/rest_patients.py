# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the patient of a study on PHI: what the crosswalk knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.held_studies import Search
from orthanc_deid.studies import Study
from orthanc_deid.subjects import KnownSubject, Subjects


class PatientRoutes:
    """The answers about patients; each leaves an event, since it joins identity and pseudonym.

    Args:
        crosswalk: of the project that is meant where none is named and the study is in none.
        projects: the crosswalk of each project, by its name.
    """

    def __init__(self, crosswalk: Crosswalk, projects: Mapping[str, Crosswalk]) -> None:
        self._crosswalk = crosswalk
        self._projects = projects

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [Route("GET", "/studies/{orthanc_id}/patient", self.patient)]

    def patient(self, request: Request, orthanc_id: str) -> Answer:
        """Tell subject, former IDs, other studies, and the pseudonym that results in a project."""
        crosswalk, study = self._of_project(request, orthanc_id)
        found, _ = self._crosswalk.held.search(Search(orthanc_id=orthanc_id, limit=1))
        if not found:
            raise ApiError(404, "this Orthanc does not hold such a study")
        patient_id = found[0].patient_id
        subjects = [
            subject
            for subject in Subjects(crosswalk).find(patient_id)
            if request.sees(crosswalk.project)
            and subject.merged_into is None
            and any(known.patient_id == patient_id for known in subject.identifiers)
        ]
        self._crosswalk.studies.note("patient looked up", actor=request.user, study_id=None)
        patient_ids = {known.patient_id for one in subjects for known in one.identifiers}
        return 200, {
            "subjects": [_describe(subject) for subject in subjects],
            "project": crosswalk.project,
            "pseudonym": _pseudonym(crosswalk, subjects, study),
            "studies": self._studies({patient_id, *patient_ids}, request),
        }

    def _of_project(self, request: Request, orthanc_id: str) -> tuple[Crosswalk, Study | None]:
        """Return the crosswalk of the project that is meant, and the study if it is in it."""
        name = request.text("project")
        seen = [project for project in self._projects if request.sees(project)]
        if name and name not in seen:
            raise ApiError(400, f"there is no project {name!r}, but {', '.join(seen) or 'none'}")
        for study in self._crosswalk.studies.of_orthanc(orthanc_id):
            if study.project in seen and name in {"", study.project}:
                return self._projects[study.project], study
        return self._projects.get(name or next(iter(seen), ""), self._crosswalk), None

    def _studies(self, patient_ids: set[str], request: Request) -> list[dict[str, Any]]:
        found, _ = self._crosswalk.held.search(
            Search(patient_ids=frozenset(patient_ids), sort="date", limit=100)
        )
        standings = self._crosswalk.held.standings(
            (study.orthanc_id for study in found), request.projects
        )
        return [
            {
                "orthanc_id": study.orthanc_id,
                "patient_id": study.patient_id,
                "study_date": study.study_date,
                "description": study.description,
                "modalities": study.modalities.split(),
                "states": [one.state for one in standings.get(study.orthanc_id, ())],
            }
            for study in found
        ]


def _pseudonym(
    crosswalk: Crosswalk, subjects: Sequence[KnownSubject], study: Study | None
) -> dict[str, str]:
    """Return what the patient will be called; of a number to come the digits are not known."""
    if subjects:
        modifier = (study.number_modifier if study else None) or ""
        patient_id, patient_name = crosswalk.pseudonym_of(subjects[0].number, modifier)
    else:
        formats = crosswalk.numbering.pseudonym
        fields = {"base": crosswalk.base_name, "number": _NumberToCome()}
        patient_id = formats.patient_id.format(**fields)
        patient_name = formats.patient_name.format(**fields)
    return {"patient_id": patient_id, "patient_name": patient_name}


def _describe(subject: KnownSubject) -> dict[str, Any]:
    return {
        "number": subject.number,
        "pseudonyms": list(subject.pseudonyms),
        "identifiers": [asdict(identifier) for identifier in subject.identifiers],
        "studies": subject.studies,
        "created_at": subject.created_at.isoformat(),
    }


@dataclass(frozen=True, slots=True)
class _NumberToCome:
    def __format__(self, spec: str) -> str:
        """Return as many question marks as the number will have digits at least."""
        return "?" * max(1, int(spec.strip("0d") or 1))
