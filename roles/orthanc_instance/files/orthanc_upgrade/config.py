# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says about the upgrade of one Orthanc. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orthanc_upgrade.errors import UpgradeError

BEFORE = "-before"
"""What follows the name of a container that was put aside."""


@dataclass(frozen=True)
class Config:
    """The settings of one upgrade.

    Attributes:
        name: the Orthanc's container; its database's appends ``-db``, and a worker's
            ``-worker-`` with its number.
        images: the image that each of them shall have, by container.
        postgres: the directory of PostgreSQL's files, one below it for each major version.
        major: the major version of PostgreSQL that shall run, as ``postgres_uid``.
        crosswalk: the database of the crosswalk; empty where there is none.
        directories: what the containers mount and a deployment writes.
        backup: the directory of the backup program, and ``backups`` of what it makes.
        place: where state and put-aside directories are kept.
    """

    name: str
    images: dict[str, str]
    postgres: Path
    major: str
    postgres_uid: int
    crosswalk: str
    directories: tuple[Path, ...]
    backup: Path
    backups: Path
    place: Path

    @property
    def database(self) -> str:
        """The container of PostgreSQL."""
        return f"{self.name}-db"

    @property
    def moving(self) -> str:
        """The container of the old PostgreSQL, while the new one takes the databases from it."""
        return f"{self.name}-db-moving"


def read_config(path: Path) -> Config:
    """Read the settings that the role wrote.

    Raises:
        UpgradeError: The file is missing or is not what the role writes.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            name=told["name"],
            images=dict(told["images"]),
            postgres=Path(told["postgres"]),
            major=str(told["major"]),
            postgres_uid=int(told["postgres_uid"]),
            crosswalk=told["crosswalk"],
            directories=tuple(Path(item) for item in told["directories"]),
            backup=Path(told["backup"]),
            backups=Path(told["backups"]),
            place=path.parent,
        )
    except OSError as error:
        raise UpgradeError(f"{path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UpgradeError(
            f"{path} is not what the role writes ({type(error).__name__})."
        ) from None
