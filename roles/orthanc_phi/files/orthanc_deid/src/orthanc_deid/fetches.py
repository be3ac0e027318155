# SPDX-License-Identifier: GPL-3.0-or-later
"""What people asked to have fetched from DICOM nodes, as the database keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from orthanc_deid.events import add_event, now
from orthanc_deid.pacs import FoundStudy
from orthanc_deid.schema import fetch_items, fetches

OPEN: Final = ("looking", "waiting", "retrieving")


@dataclass(frozen=True, slots=True)
class Item:
    """One study that is fetched, or one accession that is looked for."""

    id: int
    fetch_id: int
    node: str
    state: str
    study_instance_uid: str
    patient_name: str
    patient_id: str
    accession: str
    study_date: str
    description: str
    modalities: str
    job: str
    error: str
    expected: int | None
    received: int
    attempts: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Fetch:
    """What one person asked for at once, and how many items are in which state."""

    id: int
    node: str
    created_by: str
    created_at: datetime
    states: dict[str, int]


_COLUMNS = [
    fetches.c.node if name == "node" else fetch_items.c[name] for name in Item.__dataclass_fields__
]


class Fetches:
    """The fetches of one PHI Orthanc."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(
        self, node: str, studies: Iterable[FoundStudy], accessions: Iterable[str], *, actor: str
    ) -> int:
        """Note what is to be fetched: studies that are known, and accessions to look for."""
        rows = [{"state": "waiting", **asdict(study)} for study in studies]
        rows += [{"state": "looking", "accession": accession} for accession in accessions]
        with self._engine.begin() as connection:
            fetch: int = connection.execute(
                fetches.insert()
                .values(node=node, created_by=actor, created_at=now())
                .returning(fetches.c.id)
            ).scalar_one()
            for row in rows:
                connection.execute(_insert(fetch, row))
            add_event(connection, actor, "fetch", detail=f"{len(rows)} from {node}")
        return fetch

    def recent(self, limit: int = 20) -> list[Fetch]:
        """Return the newest fetches."""
        query = sa.select(fetches).order_by(fetches.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
            counts = connection.execute(
                sa.select(fetch_items.c.fetch_id, fetch_items.c.state, sa.func.count())
                .where(fetch_items.c.fetch_id.in_([row["id"] for row in rows]))
                .group_by(fetch_items.c.fetch_id, fetch_items.c.state)
            ).all()
        return [
            Fetch(**row, states={state: n for of, state, n in counts if of == row["id"]})
            for row in rows
        ]

    def items(self, fetch: int) -> list[Item]:
        """Return all items of a fetch, in the order in which they were asked for."""
        return self._select(fetch_items.c.fetch_id == fetch)

    def due(self) -> list[Item]:
        """Return what is to be done now, oldest first; what is under way always is."""
        return self._select(
            fetch_items.c.state.in_(OPEN),
            sa.or_(fetch_items.c.state == "retrieving", fetch_items.c.next_at <= now()),
            limit=200,
        )

    def _select(self, *conditions: sa.ColumnElement[bool], limit: int | None = None) -> list[Item]:
        query = (
            sa.select(*_COLUMNS)
            .join(fetches, fetches.c.id == fetch_items.c.fetch_id)
            .where(*conditions)
            .order_by(fetch_items.c.id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [Item(**row) for row in connection.execute(query).mappings()]

    def change(self, item: Item, *, pause: float = 0, **values: Any) -> None:
        """Change an item that is still open; `pause` seconds go by before it is looked at again."""
        with self._engine.begin() as connection:
            connection.execute(
                fetch_items.update()
                .where(fetch_items.c.id == item.id, fetch_items.c.state.in_(OPEN))
                .values(**values, updated_at=now(), next_at=now() + timedelta(seconds=pause))
            )

    def found(self, item: Item, studies: list[FoundStudy]) -> None:
        """Note what an accession that was looked for stands for: one study, or several."""
        first, *others = studies
        self.change(item, state="waiting", attempts=0, error="", **asdict(first))
        with self._engine.begin() as connection:
            for study in others:
                connection.execute(_insert(item.fetch_id, {"state": "waiting", **asdict(study)}))

    def again(self, fetch: int, *, actor: str) -> int:
        """Try once more what was not found, failed or was stopped; returns how much that is."""
        ended = fetch_items.c.state.in_(("failed", "not-found", "stopped"))
        values = {"attempts": 0, "error": "", "job": "", "next_at": now(), "updated_at": now()}
        state = sa.case((fetch_items.c.study_instance_uid == "", "looking"), else_="waiting")
        return self._move(fetch, ended, actor, "fetch again", {**values, "state": state})

    def stop(self, fetch: int, *, actor: str) -> int:
        """Do nothing more for a fetch; returns how many items that concerns."""
        open_ones = fetch_items.c.state.in_(OPEN)
        values = {"state": "stopped", "updated_at": now()}
        return self._move(fetch, open_ones, actor, "fetch stopped", values)

    def _move(
        self,
        fetch: int,
        which: sa.ColumnElement[bool],
        actor: str,
        action: str,
        values: dict[str, Any],
    ) -> int:
        with self._engine.begin() as connection:
            moved = connection.execute(
                fetch_items.update().where(fetch_items.c.fetch_id == fetch, which).values(**values)
            )
            if moved.rowcount:
                add_event(connection, actor, action, detail=f"{moved.rowcount} items")
        return int(moved.rowcount)


def _insert(fetch: int, row: dict[str, Any]) -> sa.Insert:
    return fetch_items.insert().values(fetch_id=fetch, next_at=now(), updated_at=now(), **row)
