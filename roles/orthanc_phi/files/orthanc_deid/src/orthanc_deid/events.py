# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: what happened, when, and who did it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from orthanc_deid.schema import events

SERVICE: Final = "orthanc_deid"
"""The actor of what no person asked for."""


def now() -> datetime:
    """Return the moment, for a column of the crosswalk."""
    return datetime.now(UTC)


def add_event(
    connection: sa.Connection,
    actor: str,
    action: str,
    study_id: int | None = None,
    detail: str | None = None,
) -> None:
    """Leave an event, in the transaction that makes what it tells of."""
    connection.execute(
        events.insert().values(
            at=now(), actor=actor, action=action, study_id=study_id, detail=detail
        )
    )
