# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about studies and about the service as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from orthanc_deid.admission import Queue, is_withdrawn
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import MAX_TEXT, ApiError, Request, Route
from orthanc_deid.disk_room import DiskRoom
from orthanc_deid.lifecycle import Decision, Lifecycle, NotPossibleError
from orthanc_deid.numbering import MAX_NUMBER
from orthanc_deid.orthanc_client import GoneError, OrthancClient, OrthancError, SourceStudy
from orthanc_deid.states import WITH_JOB, State
from orthanc_deid.studies import Studies, Study

_BODY: Final[dict[str, type]] = {
    "note": str,
    "force": bool,
    "project": str,
    "profile": str,
    "review": bool,
    "destination": str,
    "destinations": list,
}
_NAMES: Final = {str: "a text", bool: "true or false", list: "a list of texts"}

Operation = Callable[[Study, Decision], Study]

LONGEST_PAGE: Final = 200
MAX_ID: Final = 2**63 - 1  # the database's BIGINT


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person may choose with a project.

    Attributes:
        project: its name.
        base_name: what its pseudonyms begin with.
        destinations: where its studies go.
        review: whether every result waits for a person.
    """

    project: str
    base_name: str = ""
    destinations: Sequence[str] = ()
    review: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """What may be asked for at a site.

    Attributes:
        profiles: which profiles besides the project's.
        projects: the site's projects; without any, only the crosswalk's own may be named.
        room: how full the disk of the PHI Orthanc is.
    """

    profiles: Collection[str] = ()
    projects: Sequence[Offer] = ()
    room: DiskRoom | None = None


class StudyRoutes:
    """The answers to requests about studies, by Orthanc's identifier of the study.

    Args:
        studies: the crosswalk's.
        queue: where jobs are put.
        find: asks the PHI Orthanc for a study.
        site: what may be asked for.
    """

    def __init__(
        self,
        studies: Studies,
        queue: Queue,
        find: Callable[[str], SourceStudy | None],
        site: Site | None = None,
    ) -> None:
        self._studies = studies
        self._site = site or Site()
        offers = self._site.projects
        destinations = {offer.project: offer.destinations for offer in offers}
        self._lifecycle = Lifecycle(studies, queue, self._site.profiles, destinations)
        self._projects = [offer.project for offer in offers] or [studies.project]
        self._find = find

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/status", self.status),
            Route("GET", "/studies", self.studies),
            Route("GET", "/studies/{orthanc_id}", self.study),
            Route("POST", "/studies/{orthanc_id}/anonymize", self.anonymize),
            Route("POST", "/studies/{orthanc_id}/retry", self.retry),
            Route("POST", "/studies/{orthanc_id}/release", self.release),
            Route("POST", "/studies/{orthanc_id}/reject", self.reject),
            Route("POST", "/studies/{orthanc_id}/withdraw", self.withdraw),
            Route("POST", "/studies/{orthanc_id}/settle", self.settle),
        ]

    def anonymize(self, request: Request, orthanc_id: str) -> Answer:
        """Have a study anonymized, and again with `{"force": true}`."""
        content = _content(request)
        found = self._find(orthanc_id)
        if found is None:
            raise ApiError(404, "this Orthanc does not hold such a study")
        if self._studies.is_anonymous(found.study_instance_uid):
            raise ApiError(409, "this study is anonymized already and never anonymized again")
        study = self._join(request, found.orthanc_id, content.get("project"))
        return self._answer(
            lambda: self._lifecycle.anonymize(
                study,
                _decision(request, content),
                last_update=found.last_update,
                force=content.get("force", False),
            )
        )

    def retry(self, request: Request, orthanc_id: str) -> Answer:
        """Have a study anonymized and delivered again, whatever became of it."""
        return self._operate(self._lifecycle.retry, request, orthanc_id)

    def release(self, request: Request, orthanc_id: str) -> Answer:
        """Let a study go out that waits for a person."""
        return self._operate(self._lifecycle.release, request, orthanc_id)

    def reject(self, request: Request, orthanc_id: str) -> Answer:
        """Keep a study from going out until somebody retries it."""
        return self._operate(self._lifecycle.reject, request, orthanc_id)

    def withdraw(self, request: Request, orthanc_id: str) -> Answer:
        """Take a study back from everywhere; without a project, from all that the person sees."""
        content = _content(request)
        known = self._known(request, orthanc_id, content.get("project"))
        decision = _decision(request, content)
        return 202, self._describe_all([self._lifecycle.withdraw(one, decision) for one in known])

    def settle(self, request: Request, orthanc_id: str) -> Answer:
        """Note that a person has taken a withdrawn study back from a destination."""
        destination = _content(request).get("destination", "")
        return self._operate(
            lambda study, decision: self._lifecycle.settle(study, destination, decision),
            request,
            orthanc_id,
        )

    def study(self, request: Request, orthanc_id: str) -> Answer:
        """Tell how far a study has come, and what happened to it."""
        known = self._known(request, orthanc_id, None)
        events = [
            {**asdict(event), "at": event.at.isoformat()}
            for study in known
            for event in self._studies.events(study.id)
        ]
        return 200, {**self._describe_all(known), "events": events}

    def studies(self, request: Request) -> Answer:
        """List studies by the crosswalk's number, a page at a time."""
        states = frozenset(filter(None, request.text("state").split(",")))
        if unknown := states - set(State):
            raise ApiError(
                400, f"state has {', '.join(sorted(unknown))!r}; there are {', '.join(State)}"
            )
        projects = request.projects
        if project := request.text("project"):
            projects = frozenset({project} if request.sees(project) else ())
        page = self._studies.page(
            states=[State(state) for state in sorted(states)],
            projects=projects,
            subject_number=request.number("subject_number", 1, MAX_NUMBER, 0),
            after=request.number("after", 0, MAX_ID, 0),
            limit=request.number("limit", 1, LONGEST_PAGE, LONGEST_PAGE),
        )
        return 200, {"studies": [self._describe(study) for study in page]}

    def status(self, request: Request) -> Answer:
        """Tell how many studies are in each state, and what waits."""
        length, oldest = self._studies.backlog()
        age = None if oldest is None else round((datetime.now(UTC) - oldest).total_seconds())
        return 200, {
            "states": {str(state): count for state, count in self._studies.counts().items()},
            "queue_length": length,
            "oldest_age_seconds": age,
            "to_take_back_by_hand": self._studies.left_behind(),
            "profiles": sorted(self._site.profiles),
            "projects": self._seen(request),
            "choices": [
                asdict(offer) for offer in self._site.projects if request.sees(offer.project)
            ],
            "disk": self._site.room.look()._asdict() if self._site.room else None,
        }

    def _operate(self, operation: Operation, request: Request, orthanc_id: str) -> Answer:
        content = _content(request)
        known = self._known(request, orthanc_id, content.get("project"))
        if len(known) > 1:
            names = ", ".join(study.project for study in known)
            raise ApiError(409, f"the study is in several projects; name one: {names}")
        return self._answer(lambda: operation(known[0], _decision(request, content)))

    def _seen(self, request: Request) -> list[str]:
        return [project for project in self._projects if request.sees(project)]

    def _join(self, request: Request, orthanc_id: str, project: str | None) -> Study:
        """Return the study in the project that is named, or in the only one that it can be."""
        projects = self._seen(request)
        if not projects:
            raise ApiError(403, "none of your groups may work on a project here")
        known = self._studies.of_orthanc(orthanc_id)
        if is_withdrawn(known):
            raise ApiError(409, "this study was withdrawn, and joins no other project")
        if project is None:
            possible = [one.project for one in known if request.sees(one.project)] or projects
            if len(possible) > 1:
                raise ApiError(409, f"name a project: {', '.join(possible)}")
            project = possible[0]
        elif project not in projects:
            raise ApiError(400, f"there is no project {project!r}, but {', '.join(projects)}")
        return self._studies.add(orthanc_id=orthanc_id, project=project)

    def _known(self, request: Request, orthanc_id: str, project: str | None) -> list[Study]:
        """Return the study as each project has it that is seen, or only the one that is named."""
        known = [
            study
            for study in self._studies.of_orthanc(orthanc_id, request.projects)
            if project in {None, study.project}
        ]
        if not known:
            raise ApiError(404, "this study is not known to the crosswalk yet")
        return known

    def _answer(self, act: Callable[[], Study]) -> Answer:
        try:
            return 202, self._describe_all([act()])
        except NotPossibleError as error:
            raise ApiError(409, str(error)) from None

    def _describe_all(self, studies: list[Study]) -> dict[str, Any]:
        """Describe a study; what further projects have of it is told beside the first."""
        first, *others = (self._describe(study) for study in studies)
        return {**first, "other_projects": others}

    def _describe(self, study: Study) -> dict[str, Any]:
        waits = study.state in {State.QUARANTINED, State.REVIEW}
        return {
            "study": study.id,
            "orthanc_id": study.orthanc_id,
            "project": study.project,
            "state": study.state,
            "reason": study.reason,
            "attempts": study.attempts,
            "progress": study.progress,
            "profile": study.profile,
            "review": study.review,
            "chosen_destinations": study.chosen_destinations,
            "can_be_released": waits and bool(self._studies.findings(study.id)),
            "subject_number": study.number,
            "anonymous_study_uid": study.anonymous_study_uid,
            "updated_at": study.updated_at.isoformat(),
            "finished": study.state not in WITH_JOB,
            "destinations": [
                {
                    "destination": delivery.destination,
                    "state": delivery.state,
                    "instances": delivery.instances,
                    "last_error": delivery.last_error,
                    "delivered_at": delivery.delivered_at and delivery.delivered_at.isoformat(),
                }
                for delivery in self._studies.deliveries(study.id)
            ],
        }


def _content(request: Request) -> dict[str, Any]:
    """Return what the body of a request says."""
    content = request.content()
    for key, value in content.items():
        kind = _BODY.get(key)
        if kind is None:
            raise ApiError(400, f"{key!r} is not known; there are {', '.join(_BODY)}")
        texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        if not isinstance(value, kind) or not all(isinstance(text, str) for text in texts):
            raise ApiError(400, f"{key!r} must be {_NAMES[kind]}")
        if len(texts) > MAX_TEXT or any(len(text) > MAX_TEXT for text in texts):
            raise ApiError(400, f"{key!r} has more than {MAX_TEXT} characters")
    return content


def _decision(request: Request, content: dict[str, Any]) -> Decision:
    return Decision(
        request.user,
        content.get("note", ""),
        content.get("profile"),
        content.get("review"),
        content.get("destinations"),
    )


def study_finder(phi: OrthancClient) -> Callable[[str], SourceStudy | None]:
    """Return the function that asks the PHI Orthanc for a study; None if it does not hold it."""

    def find(orthanc_id: str) -> SourceStudy | None:
        try:
            return phi.study(orthanc_id)
        except GoneError:
            return None
        except OrthancError as error:
            raise ApiError(503, f"{error}; try again later") from None

    return find
