# SPDX-License-Identifier: GPL-3.0-or-later
"""How far studies have come at each destination, as kept in the crosswalk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.events import SERVICE, add_event, now
from orthanc_deid.schema import deliveries


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far a study has come at one destination."""

    destination: str
    state: str
    instances: int
    last_error: str | None
    delivered_at: datetime | None
    anonymous_study_uid: str | None
    profile_digest: str | None


_DELIVERY_COLUMNS = [deliveries.c[name] for name in Delivery.__dataclass_fields__]


class Deliveries:
    """The deliveries of studies."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def deliveries(self, study_id: int) -> list[Delivery]:
        """Return what is known of the study at its destinations."""
        query = sa.select(*_DELIVERY_COLUMNS).where(deliveries.c.study_id == study_id)
        with self._engine.connect() as connection:
            return [
                Delivery(**row)
                for row in connection.execute(query.order_by(deliveries.c.destination)).mappings()
            ]

    def expect_delivery(
        self, study_id: int, destination: str, *, anonymous_study_uid: str, profile_digest: str
    ) -> None:
        """Note that instances of the study are about to go to a destination.

        So it is known, whatever happens then, that something may be there, and by which profile.
        """
        values = {"anonymous_study_uid": anonymous_study_uid, "profile_digest": profile_digest}
        with self._engine.begin() as connection:
            _upsert(connection, study_id, destination, state="pending", **values)

    def end_delivery(
        self, study_id: int, destination: str, *, left: str | None = None, actor: str = SERVICE
    ) -> None:
        """Note that nothing of the study is at the destination any more, and leave an event.

        `left` says that something still is, and what a person must do.
        """
        state = "withdrawn" if left is None else "left"
        values = {"state": state, "instances": 0, "last_error": left, "profile_digest": None}
        with self._engine.begin() as connection:
            _upsert(connection, study_id, destination, **values)
            add_event(connection, actor, f"{state} at {destination}", study_id, left)

    def left_behind(self) -> int:
        """Return how many withdrawn studies a person has to take back from a destination."""
        query = sa.select(sa.func.count()).where(deliveries.c.state == "left")
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def leave_out(self, study_id: int, destination: str) -> None:
        """Note that the filter of a destination leaves the study out.

        What was delivered there before, under another filter, stays noted with its count.
        """
        with self._engine.begin() as connection:
            _upsert(connection, study_id, destination, state="left_out", last_error=None)

    def forget_delivery(self, study_id: int, destination: str) -> None:
        """Forget a destination that the study has left for good, such as its copy for review."""
        with self._engine.begin() as connection:
            connection.execute(
                deliveries.delete().where(
                    deliveries.c.study_id == study_id, deliveries.c.destination == destination
                )
            )

    def set_delivery(
        self,
        study_id: int,
        destination: str,
        *,
        instances: int | None = None,
        error: str | None = None,
    ) -> None:
        """Note that the study arrived whole (`instances` of it), or that it has yet to."""
        delivered = instances is not None
        with self._engine.begin() as connection:
            _upsert(
                connection,
                study_id,
                destination,
                state="delivered" if delivered else "pending",
                instances=instances or 0,
                last_error=error,
                delivered_at=now() if delivered else None,
            )


def _upsert(connection: sa.Connection, study_id: int, destination: str, **values: Any) -> None:
    values["updated_at"] = now()
    connection.execute(
        database.insert(connection, deliveries)
        .values(study_id=study_id, destination=destination, **values)
        .on_conflict_do_update(
            index_elements=[deliveries.c.study_id, deliveries.c.destination], set_=values
        )
    )
