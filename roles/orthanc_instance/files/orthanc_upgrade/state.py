# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an upgrade has come, and what ran before it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orthanc_upgrade.config import Config
from orthanc_upgrade.containers import ask
from orthanc_upgrade.errors import UpgradeError

STATE = "state.json"
REVISION = "SELECT version_num FROM alembic_version"
SCHEMA = (
    "SELECT string_agg(value, '.' ORDER BY property) FROM globalproperties WHERE property IN (1, 4)"
)
RESOURCES = "SELECT count(*) FROM resources"
SUBJECTS = "SELECT count(*) FROM subjects"


@dataclass(frozen=True)
class Marks:
    """What tells of a running database whether an older version can still read it.

    ``revision`` and ``schema`` are the crosswalk's and the index's, as they tell them; ``rows``
    how many subjects and resources they hold.
    """

    revision: str
    schema: str
    rows: tuple[int, int]


@dataclass(frozen=True)
class State:
    """An upgrade on its way.

    Attributes:
        images: what ran before, by container.
        major: the major version of PostgreSQL that ran before.
        marks: what the databases held before.
        backup: the proven backup of this upgrade, made while the Orthanc still ran.
        moved: whether the databases are in the new PostgreSQL, where its major version changes.
    """

    images: dict[str, str]
    major: str
    marks: Marks
    backup: str = ""
    moved: bool = False


def marks_of(config: Config) -> Marks:
    """Ask the running databases."""
    database = config.database
    subjects = ask(config.crosswalk, database, SUBJECTS) if config.crosswalk else ""
    resources = ask("orthanc", database, RESOURCES)
    return Marks(
        ask(config.crosswalk, database, REVISION) if config.crosswalk else "",
        ask("orthanc", database, SCHEMA),
        (int(subjects or 0), int(resources or 0)),
    )


def read_state(config: Config) -> State | None:
    """Return the state of an upgrade that has begun, if one has."""
    try:
        told = json.loads((config.place / STATE).read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        raise UpgradeError(
            f"{config.place / STATE} is damaged: see what runs, then remove it."
        ) from None
    marks = told.pop("marks")
    return State(
        marks=Marks(marks["revision"], marks["schema"], (marks["rows"][0], marks["rows"][1])),
        **told,
    )


def write_state(config: Config, state: State) -> None:
    """Write the state so that the file is either the old one or the whole new one."""
    path: Path = config.place / STATE
    temporary = path.with_name(f".{STATE}.new")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(asdict(state), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
