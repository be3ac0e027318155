# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run over a directory tree is, kept in the crosswalk database.

A tree may hold millions of files, and a run may be killed at any moment. So which files there are,
to which study each belongs and what became of it stands in tables, never in memory, and the same
run begun again goes on where it was. Several processes, on several machines, may share a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.schema import archive_files, archive_runs, archive_studies

_PAGE: Final = 1000  # rows that are read at a time
_FILES, _STUDIES, _RUNS = archive_files.c, archive_studies.c, archive_runs.c


class Found(NamedTuple):
    """A file of the tree as the directory tells of it; `path` is relative to the tree."""

    path: Path
    size: int
    changed_ns: int


class Read(NamedTuple):
    """What a file of the tree says: its study, or why it belongs to none.

    Attributes:
        verdict: `failed` or `left out` of a file without a study, else empty.
    """

    found: Found
    study_instance_uid: str = ""
    verdict: str = ""
    reason: str = ""


class Amount(NamedTuple):
    """A number of studies, their files, and the bytes of those."""

    studies: int = 0
    files: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a study.

    Attributes:
        targets: the files that were written, by those that they come from.
        verdicts: verdict and reason of the files that were not.
        reason: why nothing of it was written; empty if it is done.
    """

    targets: Mapping[Path, Path]
    verdicts: Mapping[Path, tuple[str, str]]
    reason: str = ""


class Archive:
    """One run over one tree.

    Args:
        engine: the crosswalk database.
        settings: a digest of the directories and of all that decides what comes out.
    """

    def __init__(self, engine: sa.Engine, settings: str) -> None:
        self._engine = engine
        with engine.begin() as connection:
            connection.execute(
                database.insert(connection, archive_runs)
                .values(settings=settings)
                .on_conflict_do_nothing()
            )
            query = sa.select(_RUNS.id).where(_RUNS.settings == settings)
            self.id = int(connection.scalar(query) or 0)

    def begin_look(self, *, again: bool = False) -> int:
        """Begin to look through the tree; returns the number of this look.

        Studies that failed get another chance, with `again` all studies.
        """
        states = ("failed", "done") if again else ("failed",)
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(archive_runs)
                .where(_RUNS.id == self.id)
                .values(look=_RUNS.look + 1, looked=False)
            )
            connection.execute(
                sa.update(archive_studies)
                .where(_STUDIES.run_id == self.id, _STUDIES.state.in_(states))
                .values(state="waiting", reason="")
            )
            return int(connection.scalar(sa.select(_RUNS.look).where(_RUNS.id == self.id)) or 0)

    def unknown(self, found: list[Found], look: int, out_dir: Path) -> list[Found]:
        """Return which of some files must be read; the others are the same as before.

        A file whose output is not there any more is read again.
        """
        paths = {os.fsencode(file.path): file for file in found}
        query = sa.select(
            _FILES.path, _FILES.size, _FILES.changed_ns, _FILES.study_id, _FILES.target
        ).where(_FILES.run_id == self.id, _FILES.path.in_(paths))
        with self._engine.begin() as connection:
            same = [
                row.path
                for row in connection.execute(query)
                if row.study_id is not None
                and (row.size, row.changed_ns) == paths[row.path][1:]
                and (row.target is None or (out_dir / os.fsdecode(row.target)).is_file())
            ]
            connection.execute(
                sa.update(archive_files)
                .where(_FILES.run_id == self.id, _FILES.path.in_(same))
                .values(look=look)
            )
        known = {bytes(path) for path in same}
        return [file for path, file in paths.items() if path not in known]

    def add(self, files: list[Read], look: int) -> None:
        """Note files that are new or changed; their studies have to be done, or done again."""
        with self._engine.begin() as connection:
            numbers = self._studies(connection, {file.study_instance_uid for file in files} - {""})
            rows = [
                {
                    "run_id": self.id,
                    "path": os.fsencode(file.found.path),
                    "study_id": numbers.get(file.study_instance_uid),
                    "size": file.found.size,
                    "changed_ns": file.found.changed_ns,
                    "look": look,
                    "target": None,
                    "verdict": file.verdict,
                    "reason": file.reason,
                }
                for file in files
            ]
            insert = database.insert(connection, archive_files)
            new = {
                name: insert.excluded[name] for name in rows[0] if name not in ("run_id", "path")
            }
            connection.execute(
                insert.on_conflict_do_update(index_elements=["run_id", "path"], set_=new), rows
            )

    def _studies(self, connection: sa.Connection, uids: set[str]) -> dict[str, int]:
        """Return the numbers of studies, all of which now wait to be done."""
        if not uids:
            return {}
        insert = database.insert(connection, archive_studies)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["run_id", "study_instance_uid"],
                set_={"state": "waiting", "reason": ""},
            ),
            [
                {"run_id": self.id, "study_instance_uid": uid, "state": "waiting"}
                for uid in sorted(uids)
            ],
        )
        query = sa.select(_STUDIES.study_instance_uid, _STUDIES.id).where(
            _STUDIES.run_id == self.id, _STUDIES.study_instance_uid.in_(uids)
        )
        return {row.study_instance_uid: row.id for row in connection.execute(query)}

    def end_look(self, look: int) -> None:
        """Forget the files that are not in the tree any more, and studies without files."""
        gone = (_FILES.run_id == self.id) & (_FILES.look != look)
        left = sa.exists().where(_FILES.study_id == _STUDIES.id)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(archive_files).where(gone))
            connection.execute(sa.delete(archive_studies).where(_STUDIES.run_id == self.id, ~left))
            connection.execute(
                sa.update(archive_runs).where(_RUNS.id == self.id).values(looked=True)
            )

    def is_under_way(self) -> bool:
        """Whether the tree was looked through and studies of it wait."""
        with self._engine.connect() as connection:
            looked = connection.scalar(sa.select(_RUNS.looked).where(_RUNS.id == self.id))
        return bool(looked) and self.amount("waiting").studies > 0

    def waiting(self) -> Iterator[int]:
        """Yield the numbers of the studies that wait, in the order of their first files."""
        place = sa.func.row_number().over(partition_by=_STUDIES.id, order_by=_FILES.path)
        ranked = (
            sa.select(_STUDIES.id, _FILES.path, place.label("place"))
            .join(archive_files, _FILES.study_id == _STUDIES.id)
            .where(_STUDIES.run_id == self.id, _STUDIES.state == "waiting")
            .subquery()
        )
        query = sa.select(ranked.c.id).where(ranked.c.place == 1).order_by(ranked.c.path)
        with self._engine.connect() as connection:
            numbers = [int(number) for number in connection.scalars(query)]
        yield from numbers

    def files(self, study_id: int) -> list[Path]:
        """Return the files of a study, in the order of their paths."""
        query = sa.select(_FILES.path).where(_FILES.study_id == study_id).order_by(_FILES.path)
        with self._engine.connect() as connection:
            return [Path(os.fsdecode(path)) for path in connection.scalars(query)]

    def amount_of(self, study_id: int) -> Amount:
        """Return how much a study is."""
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_FILES.size), 0)).where(
            _FILES.study_id == study_id
        )
        with self._engine.connect() as connection:
            files, size = connection.execute(query).one()
        return Amount(1, int(files), int(size))

    def is_waiting(self, study_id: int) -> bool:
        """Tell whether a study still has to be done."""
        query = sa.select(_STUDIES.state).where(_STUDIES.id == study_id)
        with self._engine.connect() as connection:
            return connection.scalar(query) == "waiting"

    def end(self, study_id: int, outcome: Outcome) -> None:
        """Note what became of a study."""
        rows = [
            {"at": os.fsencode(path), "target": os.fsencode(target), "verdict": "", "reason": ""}
            for path, target in outcome.targets.items()
        ] + [
            {"at": os.fsencode(path), "target": None, "verdict": verdict, "reason": reason}
            for path, (verdict, reason) in outcome.verdicts.items()
        ]
        with self._engine.begin() as connection:
            if rows:
                at = (_FILES.run_id == self.id) & (_FILES.path == sa.bindparam("at"))
                connection.execute(
                    sa.update(archive_files)
                    .where(at)
                    .values({name: sa.bindparam(name) for name in ("target", "verdict", "reason")}),
                    rows,
                )
            connection.execute(
                sa.update(archive_studies)
                .where(_STUDIES.id == study_id)
                .values(state="failed" if outcome.reason else "done", reason=outcome.reason)
            )

    def amount(self, *states: str) -> Amount:
        """Return how much is in one of these states."""
        query = (
            sa.select(
                sa.func.count(sa.distinct(_STUDIES.id)),
                sa.func.count(),
                sa.func.coalesce(sa.func.sum(_FILES.size), 0),
            )
            .join(archive_files, _FILES.study_id == _STUDIES.id)
            .where(_STUDIES.run_id == self.id, _STUDIES.state.in_(states))
        )
        with self._engine.connect() as connection:
            return Amount(*(int(number) for number in connection.execute(query).one()))

    def written(self) -> int:
        """Return how many instances are in the output."""
        query = sa.select(sa.func.count()).where(
            _FILES.run_id == self.id, _FILES.target.is_not(None)
        )
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def done(self) -> Iterator[Path]:
        """Yield the files that came into the output, page by page."""
        for row in self._pages(_FILES.target.is_not(None)):
            yield Path(os.fsdecode(row.path))

    def not_written(self) -> Iterator[tuple[Path, str, str]]:
        """Yield file, verdict and reason of what is not in the output, page by page."""
        for row in self._pages(_FILES.verdict != ""):
            yield Path(os.fsdecode(row.path)), row.verdict, row.reason

    def _pages(self, condition: sa.ColumnElement[bool]) -> Iterator[Any]:
        after = b""
        while True:
            query = (
                sa.select(_FILES.path, _FILES.verdict, _FILES.reason)
                .where(_FILES.run_id == self.id, condition, _FILES.path > after)
                .order_by(_FILES.path)
                .limit(_PAGE)
            )
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].path


def in_pages(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Yield files by as many as are handled at a time."""
    page: list[Found] = []
    for file in found:
        page.append(file)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
