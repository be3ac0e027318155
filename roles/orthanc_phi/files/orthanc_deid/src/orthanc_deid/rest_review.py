# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers to those who look at what is held back, and draw over it."""

from __future__ import annotations

from typing import Any, Final, Literal

import sqlalchemy as sa

from orthanc_deid.admission import Admission, Queue
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.drawn_rules import DEVICE, DrawingError, DrawnRule, Scope
from orthanc_deid.orthanc_client import GoneError, OrthancClient, OrthancError
from orthanc_deid.project_access import within
from orthanc_deid.rectangles import Rectangle
from orthanc_deid.schema import held_instances, lookup, studies
from orthanc_deid.states import IllegalTransitionError, State
from orthanc_deid.studies import Study

MOST: Final = 500
WAITING: Final = (State.QUARANTINED, State.REVIEW)


class ReviewRoutes:
    """The answers about studies that wait for a person, and about the rules that persons drew."""

    def __init__(self, crosswalk: Crosswalk, queue: Queue, phi: OrthancClient) -> None:
        self._crosswalk = crosswalk
        self._studies = crosswalk.studies
        self._rules = crosswalk.drawn_rules
        self._admission = Admission(crosswalk.studies, queue, automatic=True)
        self._phi = phi

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/review", self.waiting),
            Route("GET", "/studies/{orthanc_id}/review", self.study),
            Route("POST", "/studies/{orthanc_id}/blank", self.blank),
            Route("GET", "/drawn-rules", self.rules),
            Route("DELETE", "/drawn-rules/{number}", self.end_rule),
        ]

    def waiting(self, request: Request) -> Answer:
        """List the studies that wait for a person, those that wait longest first."""
        found = (
            sa.select(held_instances.c.study_id, sa.func.count().label("findings"))
            .group_by(held_instances.c.study_id)
            .subquery()
        )
        columns = ("patient_name", "patient_id", "accession", "study_date", "subject_number")
        query = (
            sa.select(
                studies.c.id.label("study"),
                *(studies.c[name] for name in ("orthanc_id", "state", "reason", "updated_at")),
                *(lookup.c[name] for name in columns),
                sa.func.coalesce(found.c.findings, 0).label("findings"),
            )
            .outerjoin(lookup, lookup.c.study_id == studies.c.id)
            .outerjoin(found, found.c.study_id == studies.c.id)
            .where(
                studies.c.state.in_(WAITING),
                studies.c.orthanc_id.is_not(None),
                *within(studies.c.project, request.projects),
            )
            .order_by(studies.c.updated_at)
            .limit(MOST + 1)
        )
        with self._crosswalk.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return 200, {"studies": [_waiting(row) for row in rows[:MOST]], "more": len(rows) > MOST}

    def study(self, request: Request, orthanc_id: str) -> Answer:
        """Tell all that holds a study back, and leave an event: what is shown is the original."""
        study = self._find(request, orthanc_id)
        self._studies.note("review viewed", actor=request.user, study_id=study.id)
        code, _, message = (study.reason or "").partition(": ")
        return 200, {
            "study": study.id,
            "orthanc_id": orthanc_id,
            "project": study.project,
            "state": study.state,
            "can_be_released": bool(self._studies.findings(study.id)),
            "code": code if message else "",
            "message": message or code,
            "subject_number": study.number,
            "anonymous_study_uid": study.anonymous_study_uid,
            "findings": [
                {name: getattr(one, name) for name in one.__dataclass_fields__}
                for one in self._crosswalk.held_instances.of_study(study.id)
            ],
            "rules": [_described(rule) for rule in self._rules.of_study(study.id)],
            "events": [
                {
                    "at": event.at.isoformat(),
                    "actor": event.actor,
                    "action": event.action,
                    "detail": event.detail,
                }
                for event in self._studies.events(study.id)
            ],
        }

    def blank(self, request: Request, orthanc_id: str) -> Answer:
        """Keep what a person drew on an image of a study, and anonymize the study again."""
        content = request.content()
        study = self._find(request, orthanc_id)
        image = self._image(_text(content, "instance"), orthanc_id)
        scope: Scope = _scope(content.get("scope", "study"))
        try:
            rule = self._rules.add(
                study.id,
                {**image, "StudyInstanceUID": image.get("StudyInstanceUID", "")},
                _rectangles(content.get("rectangles")),
                scope=scope,
                actor=request.user,
                note=_text(content, "note", ""),
            )
        except DrawingError as error:
            raise ApiError(400, str(error)) from None
        try:
            self._admission.request(study, actor=request.user, reason="a person drew over it")
        except IllegalTransitionError as error:
            raise ApiError(409, f"the rule is kept, but {error}") from None
        return 202, _described(rule)

    def rules(self, request: Request) -> Answer:
        """List the rules that persons drew and that hold."""
        return 200, {"rules": [_described(rule) for rule in self._seen(request)]}

    def end_rule(self, request: Request, number: str) -> Answer:
        """End a rule: from now on it is not applied any more."""
        seen = any(rule.id == int(number) for rule in self._seen(request))
        if not seen or not self._rules.end(int(number), actor=request.user):
            raise ApiError(404, "no such rule holds")
        return 200, {"ended": int(number)}

    def _seen(self, request: Request) -> list[DrawnRule]:
        """Return the rules that a person may see: those for devices, and for studies seen."""
        return [
            rule
            for rule in self._rules.all()
            if request.projects is None
            or rule.study_id is None
            or ((study := self._studies.get(rule.study_id)) and request.sees(study.project))
        ]

    def _find(self, request: Request, orthanc_id: str) -> Study:
        """Return the study as the project has it in which it waits, else as the first has it."""
        known = self._studies.of_orthanc(orthanc_id, request.projects)
        if not known:
            raise ApiError(404, "this study is not known to the crosswalk yet")
        return next((study for study in known if study.state in WAITING), known[0])

    def _image(self, instance_id: str, orthanc_id: str) -> dict[str, str]:
        """Return what the image says of its device, if it is one of the study."""
        try:
            if instance_id not in self._phi.instance_ids(orthanc_id):
                raise ApiError(400, "instance: it is none of this study")
            tags = self._phi.instance_tags(instance_id)
        except GoneError:
            raise ApiError(404, "PHI does not hold this study any more") from None
        except OrthancError as error:
            raise ApiError(503, f"{error}; try again later") from None
        names = {*DEVICE, "StudyInstanceUID"}
        return {name: text for name in names if isinstance(text := tags.get(name), str)}


def _waiting(row: Any) -> dict[str, Any]:
    code, _, message = (row["reason"] or "").partition(": ")
    return {
        **{name: "" if value is None else value for name, value in row.items()},
        "updated_at": row["updated_at"].isoformat(),
        "code": code if message else "",
        "reason": message or code,
    }


def _described(rule: DrawnRule) -> dict[str, Any]:
    return {
        "number": rule.id,
        "scope": "device" if rule.study_id is None else "study",
        "conditions": {n: v for n, v in rule.conditions.items() if n != "StudyInstanceUID"},
        "rectangles": [list(area) for area in rule.rectangles],
        "note": rule.note,
        "created_by": rule.created_by,
        "created_at": rule.created_at.isoformat(),
    }


def _text(content: dict[str, Any], name: str, default: str | None = None) -> str:
    text = content.get(name, default)
    if not isinstance(text, str):
        raise ApiError(400, f"{name}: it is a text")
    return text


def _scope(text: object) -> Literal["study", "device"]:
    if text == "study":
        return "study"
    if text == "device":
        return "device"
    raise ApiError(400, "scope: it is study or device")


def _rectangles(told: object) -> list[Rectangle]:
    areas = told if isinstance(told, list) else []
    if not areas or not all(
        isinstance(area, list)
        and len(area) == 4
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 31 for n in area)
        for area in areas
    ):
        raise ApiError(400, "rectangles: a list of [left, top, width, height] in whole pixels")
    return [Rectangle(*area) for area in areas]
