# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons drew on images to have it blanked, kept in the crosswalk for every worker.

A rule is for the images of one study, or for all images of a device that are of the same size.
It only ever adds to what is blanked: what the site's and the shipped rules say holds beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa

from orthanc_deid.errors import DeidError
from orthanc_deid.events import add_event, now
from orthanc_deid.pixel_rules import PixelRule
from orthanc_deid.pixel_signatures import All, compare, find_tag
from orthanc_deid.rectangles import Rectangle
from orthanc_deid.schema import drawn_rules

MOST_RECTANGLES: Final = 50
LONGEST_NOTE: Final = 1000
SIZE: Final = ("Rows", "Columns")
DEVICE: Final = ("Modality", "Manufacturer", "ManufacturerModelName", *SIZE)
STUDY: Final = ("StudyInstanceUID", *SIZE)

Scope = Literal["study", "device"]


class DrawingError(DeidError):
    """What was drawn cannot become a rule; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class DrawnRule:
    """A rule as the crosswalk keeps it."""

    id: int
    study_id: int | None
    conditions: Mapping[str, str]
    rectangles: tuple[Rectangle, ...]
    note: str
    created_by: str
    created_at: datetime
    ended_by: str | None
    ended_at: datetime | None

    def pixel_rule(self) -> PixelRule:
        """Return the rule as the engine applies it."""
        parts = (compare(find_tag(n), "equals", value) for n, value in self.conditions.items())
        name = f"drawn rule {self.id}"
        return PixelRule(name, All(tuple(parts)), "blank", self.rectangles, site=True)


class DrawnRules:
    """The rules that persons drew."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(  # noqa: PLR0913 - what was drawn, where, and by whom
        self,
        study_id: int,
        image: Mapping[str, str],
        rectangles: Sequence[Rectangle],
        *,
        scope: Scope,
        actor: str,
        note: str = "",
    ) -> DrawnRule:
        """Keep what a person drew on an image of a study.

        Args:
            study_id: the crosswalk's number of the study.
            image: what the image says in the attributes of `DEVICE` and `STUDY`.
            rectangles: what is to be blanked, in its pixels.
            scope: whether it is for the images of the study or of the device.
            actor: who drew it.
            note: why.

        Raises:
            DrawingError: there is nothing to blank, or the image does not say what it is.
        """
        conditions = _conditions(image, scope)
        inside = _inside(rectangles, int(conditions["Columns"]), int(conditions["Rows"]))
        with self._engine.begin() as connection:
            row = connection.execute(
                drawn_rules.insert()
                .values(
                    study_id=study_id if scope == "study" else None,
                    conditions=conditions,
                    rectangles=[list(rectangle) for rectangle in inside],
                    note=note.strip()[:LONGEST_NOTE],
                    created_by=actor,
                    created_at=now(),
                )
                .returning(*drawn_rules.c)
            ).one()
            detail = f"rule {row.id} for the {scope}, {len(inside)} rectangles"
            add_event(connection, actor, "pixel rule drawn", study_id, detail)
        return _rule(row)

    def end(self, rule_id: int, *, actor: str) -> bool:
        """End a rule: it is not applied any more. Returns False if there is none to end."""
        with self._engine.begin() as connection:
            ended = connection.execute(
                drawn_rules.update()
                .where(drawn_rules.c.id == rule_id, drawn_rules.c.ended_at.is_(None))
                .values(ended_by=actor, ended_at=now())
            )
            if ended.rowcount:
                add_event(connection, actor, "pixel rule ended", detail=f"rule {rule_id}")
        return bool(ended.rowcount)

    def all(self) -> list[DrawnRule]:
        """Return every rule that holds, the newest first."""
        return self._select(drawn_rules.c.ended_at.is_(None))

    def of_study(self, study_id: int) -> list[DrawnRule]:
        """Return the rules that may hold for a study: its own, and those for devices."""
        return self._select(
            drawn_rules.c.ended_at.is_(None),
            sa.or_(drawn_rules.c.study_id.is_(None), drawn_rules.c.study_id == study_id),
        )

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[DrawnRule]:
        query = sa.select(drawn_rules).where(*conditions).order_by(drawn_rules.c.id.desc())
        with self._engine.connect() as connection:
            return [_rule(row) for row in connection.execute(query)]


def _rule(row: sa.Row[tuple[object, ...]]) -> DrawnRule:
    told = dict(row._mapping)
    areas = told.pop("rectangles")
    return DrawnRule(rectangles=tuple(Rectangle(*area) for area in areas), **told)


def _conditions(image: Mapping[str, str], scope: Scope) -> dict[str, str]:
    names = DEVICE if scope == "device" else STUDY
    conditions = {name: image.get(name, "").strip() for name in names}
    if missing := [name for name, value in conditions.items() if not value]:
        instead = "; draw it for the study only" if scope == "device" else ""
        raise DrawingError(f"the image does not say {' and '.join(missing)}{instead}")
    if any("\\" in value for value in conditions.values()):
        raise DrawingError("the image tells several devices; draw it for the study only")
    return conditions


def _inside(rectangles: Sequence[Rectangle], columns: int, rows: int) -> list[Rectangle]:
    if not 0 < len(rectangles) <= MOST_RECTANGLES:
        raise DrawingError(f"draw 1 to {MOST_RECTANGLES} rectangles")
    inside = [clipped for area in rectangles if (clipped := area.clip(columns, rows))]
    if len(inside) < len(rectangles):
        raise DrawingError("a rectangle lies outside the image or is empty; draw it again")
    return inside
