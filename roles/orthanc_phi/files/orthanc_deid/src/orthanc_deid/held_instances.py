# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances hold a study back, and where in them, for the person who has to look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from orthanc_deid.errors import Quarantine, Spot
from orthanc_deid.schema import held_instances

MOST: Final = 500  # of one study; nobody looks at more


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """What was found in an instance, and where: see `errors.Quarantine` and `errors.Spot`."""

    instance_id: str
    code: str
    message: str
    path: str
    frame: int
    box: list[int] | None


class HeldInstances:
    """What holds studies back, of each the last time that it was looked at."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def keep(self, study_id: int, held: Iterable[tuple[str, Quarantine]]) -> None:
        """Note what was found in a study's instances this time; nothing is good, too."""
        # An instance may have been looked at twice.
        once = {tuple(map(str, row.values())): row for row in _rows(study_id, held)}
        rows = list(once.values())[:MOST]
        with self._engine.begin() as connection:
            connection.execute(held_instances.delete().where(held_instances.c.study_id == study_id))
            if rows:
                connection.execute(held_instances.insert(), rows)

    def of_study(self, study_id: int) -> list[HeldInstance]:
        """Return what holds a study back."""
        columns = [held_instances.c[name] for name in HeldInstance.__dataclass_fields__]
        query = (
            sa.select(*columns)
            .where(held_instances.c.study_id == study_id)
            .order_by(held_instances.c.id)
        )
        with self._engine.connect() as connection:
            return [HeldInstance(**row) for row in connection.execute(query).mappings()]


def _rows(study_id: int, held: Iterable[tuple[str, Quarantine]]) -> Iterable[dict[str, Any]]:
    for instance_id, quarantine in held:
        for spot in quarantine.spots or (Spot(),):
            yield {
                "study_id": study_id,
                "instance_id": instance_id,
                "code": quarantine.code,
                "message": quarantine.message,
                "path": spot.path,
                "frame": spot.frame,
                "box": list(spot.box) if spot.box else None,
            }
