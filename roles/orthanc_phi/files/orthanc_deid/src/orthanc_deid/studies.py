# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies in the crosswalk: their states and events, and what persons decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.deliveries import Deliveries
from orthanc_deid.errors import DeidError, Quarantine
from orthanc_deid.events import SERVICE, add_event, now
from orthanc_deid.project_access import within
from orthanc_deid.schema import deliveries, events, projects, studies, subjects
from orthanc_deid.state_counts import StateCounts
from orthanc_deid.states import WITH_JOB, WORKED_ON, IllegalTransitionError, State, sources_of
from orthanc_deid.subject import NOT_LISTED, Subject


@dataclass(frozen=True, slots=True)
class Study:
    """One row of the table of studies."""

    id: int
    project: str
    orthanc_id: str | None
    study_instance_uid: str | None
    anonymous_study_uid: str | None
    number: int | None
    number_modifier: str | None
    state: State
    reason: str | None
    profile: str | None
    review: bool
    chosen_destinations: list[str] | None
    attempts: int
    progress: dict[str, Any] | None
    source_instances: int | None
    source_last_update: str | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


_STUDY_COLUMNS = [
    subjects.c.number if name == "number" else studies.c[name]
    for name in Study.__dataclass_fields__
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a study."""

    at: datetime
    actor: str
    action: str
    detail: str | None


_EVENT_COLUMNS = [events.c[name] for name in Event.__dataclass_fields__]


class AmbiguousNameError(DeidError):
    """More than one study goes by a name."""


class Studies(Deliveries):
    """What the crosswalk knows of studies.

    Args:
        engine: the database.
        project: what new studies belong to, and the subjects that are told by their number;
            everything else asks for the studies of all projects.
    """

    def __init__(self, engine: sa.Engine, project: str) -> None:
        super().__init__(engine)
        self.project = project
        self._counts = StateCounts()

    def add(
        self,
        *,
        orthanc_id: str | None = None,
        study_instance_uid: str | None = None,
        project: str | None = None,
    ) -> Study:
        """Return the study in a project, as `received` if it was not known there before.

        In Orthanc a study is known by its Orthanc identifier, elsewhere by its StudyInstanceUID.
        """
        project = project or self.project
        key = studies.c.project == project
        if orthanc_id is not None:
            key &= studies.c.orthanc_id == orthanc_id
        else:
            key &= studies.c.orthanc_id.is_(None)
            key &= studies.c.study_instance_uid == study_instance_uid
        # In one go: what a study waits for here is the way to the server and back.
        with self._engine.begin() as connection:
            if found := _selected(connection, key):
                return found[0]
            connection.execute(
                database.insert(connection, projects).values(name=project).on_conflict_do_nothing()
            )
            added = connection.scalar(
                database.insert(connection, studies)
                .values(
                    project=project,
                    orthanc_id=orthanc_id,
                    study_instance_uid=study_instance_uid,
                    state=State.RECEIVED,
                    created_at=now(),
                    updated_at=now(),
                )
                .on_conflict_do_nothing()
                .returning(studies.c.id)
            )
            if added is not None:
                add_event(connection, SERVICE, State.RECEIVED, added)
            return _selected(connection, key)[0]

    def get(self, study_id: int) -> Study | None:
        """Return the study with the crosswalk's own number `study_id`."""
        found = self._select(studies.c.id == study_id)
        return found[0] if found else None

    def find_orthanc(self, orthanc_id: str, projects: frozenset[str] | None = None) -> Study | None:
        """Return the study with this identifier of Orthanc, as the first of its projects has it.

        `projects` are those that may be seen; None is all.
        """
        found = self.of_orthanc(orthanc_id, projects)
        return found[0] if found else None

    def of_orthanc(self, orthanc_id: str, projects: frozenset[str] | None = None) -> list[Study]:
        """Return the study with this identifier of Orthanc, as each of its projects has it.

        `projects` are those that may be seen; None is all.
        """
        key = studies.c.orthanc_id == orthanc_id
        return self._select(sa.and_(key, *within(studies.c.project, projects)))

    def find(self, name: str, project: str | None = None) -> Study | None:
        """Return the study called `name`: its number here, a StudyInstanceUID or Orthanc's id.

        Raises:
            AmbiguousNameError: several studies are called so, in the project or in all.
        """
        found = [one for one in self.all_called(name) if project in {None, one.project}]
        if len(found) > 1:
            numbers = ", ".join(f"{study.id} ({study.project})" for study in found)
            raise AmbiguousNameError(
                f"studies {numbers} all have this name; say which by its number, or the project"
            )
        return found[0] if found else None

    def all_called(self, name: str) -> list[Study]:
        """Return the studies called `name`, such as one study in several projects."""
        keys = [
            studies.c.anonymous_study_uid == name,
            studies.c.study_instance_uid == name,
            studies.c.orthanc_id == name,
        ]
        if name.isdecimal() and len(name) < 19:
            keys.append(studies.c.id == int(name))
        return self._select(sa.or_(*keys))

    def in_states(
        self, states: Iterable[State] = State, project: str | None = None, newest: int = 0
    ) -> list[Study]:
        """Return the studies in any of `states`, of a project or of all, in the order they came.

        Only the `newest` so many, unless it is 0.
        """
        projects = None if project is None else frozenset({project})
        wanted = sa.and_(studies.c.state.in_(list(states)), *within(studies.c.project, projects))
        if newest:
            ids = sa.select(studies.c.id).where(wanted).order_by(studies.c.id.desc()).limit(newest)
            return self._select(studies.c.id.in_(ids))
        return self._select(wanted)

    def page(
        self,
        *,
        states: Collection[State] = (),
        projects: frozenset[str] | None = None,
        subject_number: int = 0,
        after: int = 0,
        limit: int,
    ) -> list[Study]:
        """Return the first `limit` studies above the number `after`; None and empty is any."""
        wanted = sa.and_(studies.c.id > after, *within(studies.c.project, projects))
        if states:
            wanted &= studies.c.state.in_(list(states))
        if subject_number:
            wanted &= subjects.c.number == subject_number
        return self._select(wanted, limit)

    def is_anonymous(self, study_instance_uid: str) -> bool:
        """Whether `study_instance_uid` was given to an anonymized study, of any project.

        A profile that keeps UIDs gives none: then an original goes by the same UID.
        """
        query = sa.select(studies.c.id).where(
            studies.c.anonymous_study_uid == study_instance_uid,
            studies.c.study_instance_uid.is_distinct_from(study_instance_uid),
        )
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def identify(
        self, study_id: int, *, study_instance_uid: str, anonymous_study_uid: str, subject: Subject
    ) -> None:
        """Note whose study it is, and which StudyInstanceUID it gets.

        Raises:
            Quarantine: a study of another patient got this anonymous UID, so the two would be
                merged into one (code `study-uid-reused`); or this study has gone out as another
                subject's (code `subject-changed`).
        """
        subject_id = self._subject_id(subject)
        not_out = studies.c.number_modifier.is_(None)
        try:
            with self._engine.begin() as connection:
                updated = connection.execute(
                    studies.update()
                    .where(
                        studies.c.id == study_id,
                        sa.or_(not_out, studies.c.subject_id == subject_id),
                    )
                    .values(
                        study_instance_uid=study_instance_uid,
                        anonymous_study_uid=anonymous_study_uid,
                        subject_id=subject_id,
                        updated_at=now(),
                    )
                )
        except sa.exc.IntegrityError:
            raise Quarantine(
                "study-uid-reused",
                "another patient's study has the same StudyInstanceUID (0020,000D); "
                "correct it at the source and send again",
            ) from None
        if updated.rowcount == 0:
            raise Quarantine(
                "subject-changed",
                "the study has gone out as another subject's; look at its patient with "
                "`orthanc-deid subjects`, and merge the two subjects if they are one person",
            )

    def _subject_id(self, subject: Subject) -> sa.ScalarSelect[int]:
        return (
            sa.select(subjects.c.id)
            .where(
                subjects.c.project == self.project,
                subjects.c.number == subject.number,
                subjects.c.merged_into.is_(None),
            )
            .scalar_subquery()
        )

    def begin_delivery(self, study_id: int, subject: Subject) -> bool:
        """Move the study to `delivering`; returns False if it is not `subject`'s any more.

        The modifier of its number is kept from now on.
        """
        with self._engine.begin() as connection:
            # Whoever merges subjects meanwhile waits, or has done so and is seen.
            connection.execute(
                sa.select(subjects.c.id)
                .where(subjects.c.project == self.project, subjects.c.number == subject.number)
                .with_for_update(read=True)
            )
            same = connection.execute(
                studies.update()
                .where(studies.c.id == study_id, studies.c.subject_id == self._subject_id(subject))
                .values(number_modifier=subject.modifier)
            )
            if same.rowcount == 0:
                return False
            _move(connection, study_id, State.DELIVERING, SERVICE, None)
            return True

    def move(
        self,
        study_id: int,
        target: State,
        *,
        actor: str = SERVICE,
        reason: str | None = None,
        **values: Any,
    ) -> None:
        """Move a study to the state `target`, and leave an event.

        `reason` says why, without any patient's value; `values` are further columns to set.

        Raises:
            IllegalTransitionError: the study's state does not allow this move (see `states`).
        """
        with self._engine.begin() as connection:
            _move(connection, study_id, target, actor, reason, **values)

    def requeue(
        self,
        study_id: int,
        *,
        actor: str = SERVICE,
        reason: str | None = None,
        **values: Any,
    ) -> None:
        """Queue a study afresh: no failed attempt counts, and every destination is to be served.

        `values` are further columns to set.

        Raises:
            IllegalTransitionError: the study is queued already, or was withdrawn.
        """
        with self._engine.begin() as connection:
            _requeue(connection, study_id, actor, reason, findings=None, **values)

    def release(self, study_id: int, *, actor: str, note: str) -> frozenset[str]:
        """Accept what the study waits for, and queue it; returns the findings accepted now.

        Raises:
            IllegalTransitionError: the study does not wait any more.
        """
        with self._engine.begin() as connection:
            found, accepted = connection.execute(
                sa.select(studies.c.findings, studies.c.accepted)
                .where(studies.c.id == study_id)
                .with_for_update()
            ).one()
            if found:
                _requeue(
                    connection,
                    study_id,
                    actor,
                    f"released: {note}" if note else "released",
                    findings=None,
                    accepted=sorted({*(accepted or ()), *found}),
                )
        return frozenset(found or ())

    def findings(self, study_id: int) -> frozenset[str]:
        """Return what a person may accept of a study that waits."""
        return self._marks(studies.c.findings, study_id)

    def accepted(self, study_id: int) -> frozenset[str]:
        """Return what persons have accepted of a study."""
        return self._marks(studies.c.accepted, study_id)

    def _marks(self, column: sa.Column[Any], study_id: int) -> frozenset[str]:
        with self._engine.connect() as connection:
            found = connection.scalar(sa.select(column).where(studies.c.id == study_id))
        return frozenset(found or ())

    def tell_progress(self, study_id: int, progress: dict[str, Any]) -> None:
        """Keep how far a worker has come with the study, until it is done with it."""
        with self._engine.begin() as connection:
            connection.execute(
                studies.update()
                .where(studies.c.id == study_id, studies.c.state.in_(WORKED_ON))
                .values(progress=progress)
            )

    def finish(self, study_id: int, **values: Any) -> None:
        """Note that the study is delivered; `values` tell what was delivered."""
        self.move(study_id, State.DELIVERED, attempts=0, delivered_at=now(), **values)

    def waiting_for_list(self) -> list[Study]:
        """Return the studies in quarantine whose patients no list gives a number."""
        return self._select(
            sa.and_(
                studies.c.project == self.project,
                studies.c.state == State.QUARANTINED,
                studies.c.reason.startswith(f"{NOT_LISTED}:"),
            )
        )

    def note(
        self,
        action: str,
        *,
        actor: str = SERVICE,
        study_id: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Leave an event that is not a move."""
        with self._engine.begin() as connection:
            add_event(connection, actor, action, study_id, detail)

    def events(self, study_id: int) -> list[Event]:
        """Return what happened to the study, oldest first."""
        query = sa.select(*_EVENT_COLUMNS).where(events.c.study_id == study_id)
        with self._engine.connect() as connection:
            return [
                Event(**row) for row in connection.execute(query.order_by(events.c.id)).mappings()
            ]

    def counts(self) -> Mapping[State, int]:
        """Return the number of studies in each state, see `StateCounts`."""
        with self._engine.connect() as connection:
            return self._counts.now(connection)

    def backlog(self) -> tuple[int, datetime | None]:
        """Return how many studies are under way, and since when the oldest one is."""
        query = sa.select(sa.func.count(), sa.func.min(studies.c.updated_at)).where(
            studies.c.state.in_(WITH_JOB)
        )
        with self._engine.connect() as connection:
            count, oldest = connection.execute(query).one()
        return count, oldest

    def _select(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> list[Study]:
        with self._engine.connect() as connection:
            return _selected(connection, condition, limit)


def _selected(
    connection: sa.Connection, condition: sa.ColumnElement[bool], limit: int | None = None
) -> list[Study]:
    query = (
        sa.select(*_STUDY_COLUMNS)
        .select_from(studies.outerjoin(subjects, studies.c.subject_id == subjects.c.id))
        .where(condition)
        .order_by(studies.c.id)
        .limit(limit)
    )
    return [
        Study(**{**row, "state": State(row["state"])})
        for row in connection.execute(query).mappings()
    ]


def _requeue(
    connection: sa.Connection, study_id: int, actor: str, reason: str | None, **values: Any
) -> None:
    connection.execute(
        deliveries.update()
        .where(deliveries.c.study_id == study_id)
        .values(state="pending", last_error=None, updated_at=now())
    )
    _move(connection, study_id, State.QUEUED, actor, reason, attempts=0, **values)


def _move(
    connection: sa.Connection,
    study_id: int,
    target: State,
    actor: str,
    reason: str | None,
    **values: Any,
) -> None:
    if target is not State.DELIVERING:
        values["progress"] = None
    moved = connection.execute(
        studies.update()
        .where(studies.c.id == study_id, studies.c.state.in_(sources_of(target)))
        .values(state=target, reason=reason, updated_at=now(), **values)
    )
    if moved.rowcount == 0:
        state = connection.scalar(sa.select(studies.c.state).where(studies.c.id == study_id))
        raise IllegalTransitionError(state or "not known", target)
    add_event(connection, actor, target, study_id, reason)
