# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says about the backups of one Orthanc. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthanc_backup.errors import BackupError

# Orthanc's index, which can be made again from the DICOM files; nothing else can.
INDEX = "orthanc"

WAL_PATHS = ("wal_directory", "pgdata", "postgres_settings")
PATHS = ("directory", "scratch", "storage", "secrets", *WAL_PATHS)


@dataclass(frozen=True)
class Database:
    """A database, the account that owns it and the one that works in it."""

    name: str
    owner: str
    user: str


@dataclass(frozen=True)
class Guarded:
    """A table whose rows can never be made again, and the columns that tell one from another."""

    database: str
    table: str
    columns: str


@dataclass(frozen=True)
class Config:
    """The settings of the backups of one Orthanc.

    ``name`` is the Orthanc's container, whose database's container appends ``-db``; ``image`` is
    PostgreSQL's, and ``max_age`` the hours after which the next backup is overdue. ``keys`` are the
    secrets that can never be made again. ``authority`` is the directory of the site's certificate
    authority, where it is on this host. ``published`` is where the state is told to others.

    With ``wal`` every change is archived in ``wal_directory``; ``pgdata`` has PostgreSQL's files,
    one directory for each major version.
    """

    kind: str
    name: str
    image: str
    memory: str
    postgres_uid: int
    databases: tuple[Database, ...]
    guarded: tuple[Guarded, ...]
    directory: Path
    scratch: Path
    storage: Path
    secrets: Path
    keys: tuple[str, ...]
    authority: Path | None
    published: Path | None
    recipients: tuple[str, ...]
    keep: dict[str, int]
    max_age: int
    mail_to: str
    postgres_major: str
    wal: bool
    wal_directory: Path
    pgdata: Path
    postgres_settings: Path
    collection_version: str

    @property
    def server(self) -> str:
        """The container of the running PostgreSQL."""
        return f"{self.name}-db"

    def database(self, name: str) -> Database:
        """Return a database by its name.

        Raises:
            BackupError: This Orthanc has no such database.
        """
        for database in self.databases:
            if database.name == name:
                return database
        raise BackupError(
            f"{self.name} has no database {name!r}: the backup is of another kind of Orthanc."
        )


def read_config(path: Path) -> Config:
    """Read the settings that the role wrote.

    Raises:
        BackupError: The file is missing or is not what the role writes.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told.update({name: Path(told[name]) for name in PATHS})
        told.update(
            databases=tuple(Database(**database) for database in told["databases"]),
            guarded=tuple(Guarded(**table) for table in told["guarded"]),
            authority=Path(told["authority"]) if told["authority"] else None,
            published=Path(told["published"]) if told["published"] else None,
            keys=tuple(told["keys"]),
            recipients=tuple(told["recipients"]),
        )
        return Config(**told)
    except OSError as error:
        raise BackupError(f"{path} cannot be read ({error.strerror}): run site.yml.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(
            f"{path} is not what the role writes ({type(error).__name__}): run site.yml."
        ) from None
