# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writer of the tree needs of Orthanc, and what it keeps from one process to the next."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from disk_writer import Study

STATE_FILE = ".orthanc-disk.json"


class UnknownStudyError(LookupError):
    """Orthanc does not hold the study, or no longer."""


class IndexUnavailableError(Exception):
    """Orthanc's index does not answer now, for instance because its database is down."""


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of Orthanc's log: its place, its time, and the instance if one was stored."""

    sequence: int
    time: float
    instance: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What Orthanc keeps with a study that was written completely or in part."""

    folder: str
    instances: int
    template: str


class Index(Protocol):
    """What the writer needs of Orthanc. Each may raise `IndexUnavailableError`."""

    def study(self, study_id: str) -> Study:
        """Everything about a study; raises `UnknownStudyError`."""

    def read(self, instance_id: str) -> bytes:
        """The file of an instance; raises `UnknownStudyError` if it is gone."""

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """A page of the log after a place, the place of its end, and whether nothing follows."""

    def study_of(self, instance_id: str) -> str:
        """The study of an instance; raises `UnknownStudyError` if it is gone."""

    def last_change(self) -> int:
        """The end of the log."""

    def studies(self, since: int, limit: int) -> list[str]:
        """A page of all studies."""

    def count(self, study_id: str) -> int:
        """The number of instances of a study; raises `UnknownStudyError`."""

    def record(self, study_id: str) -> Record | None:
        """What was recorded of a study."""

    def delete(self, study_id: str) -> None:
        """Delete a study; it may be gone already."""

    def keep_record(self, study_id: str, record: Record) -> None:
        """Record something of a study."""


@dataclass(slots=True)
class Pending:
    """A study to be written: when, in seconds of the monotonic clock, and why not before."""

    due: float
    attempts: int = 0
    problem: str = ""


@dataclass(slots=True)
class State:
    """What is kept in the tree from one process to the next."""

    cursor: int | None = None
    template: str = ""
    audited: float = 0.0
    pending: dict[str, Pending] = field(default_factory=dict)
    writing: str = ""

    @classmethod
    def load(cls, path: Path) -> State:
        """Read the file; one that is missing or damaged gives an empty state and so an audit."""
        try:
            kept = json.loads(path.read_text())
            pending = {str(study): Pending(0.0) for study in kept["pending"]}
            return cls(
                int(kept["cursor"]),
                str(kept["template"]),
                float(kept["audited"]),
                pending,
                str(kept["writing"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Replace the file as a whole."""
        temporary = path.with_suffix(".part")
        text = json.dumps(
            {
                "cursor": self.cursor,
                "template": self.template,
                "audited": self.audited,
                "pending": sorted(self.pending),
                "writing": self.writing,
            }
        )
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        temporary.replace(path)
