# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup says about itself. Nothing in it is secret or tells of a patient."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from orthanc_backup.errors import BackupError

FORMAT = 1
NAME = "%Y%m%dT%H%M%SZ"
DIGEST_ROUNDS = 600_000


@dataclass(frozen=True)
class Manifest:
    """One backup: of what, when, by which versions, and how many rows each table had.

    ``moment`` is the UTC time of the snapshots, in the form of the backup's directory.
    ``tables`` has for each database the number of rows by schema and table.
    ``keys`` has for each secret that can never be made again a digest that tells two apart.
    """

    kind: str
    name: str
    moment: str
    encrypted: bool
    secrets: bool
    versions: dict[str, str]
    images: dict[str, str]
    tables: dict[str, dict[str, int]]
    keys: dict[str, str]
    format: int = FORMAT

    @property
    def time(self) -> datetime:
        """The moment as a time."""
        return parse_moment(self.moment)

    def text(self) -> str:
        """Return the file's content."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def new_moment(now: datetime) -> str:
    """Return the name of a backup that is made now."""
    return now.astimezone(timezone.utc).strftime(NAME)


def parse_moment(name: str) -> datetime:
    """Return the time that a backup's name tells.

    Raises:
        ValueError: It is not the name of a backup.
    """
    moment = datetime.strptime(name, NAME).replace(tzinfo=timezone.utc)
    if moment.strftime(NAME) != name:
        raise ValueError(name)
    return moment


def parse_manifest(text: str) -> Manifest:
    """Return what a manifest says.

    Raises:
        BackupError: The text is no manifest, or one of a format that this program does not know.
    """
    try:
        told: Any = json.loads(text)
        version = told["format"]
        manifest = Manifest(**told) if version == FORMAT else None
        if manifest:
            _look(manifest)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackupError(
            "manifest.json is not a backup's manifest: take another backup."
        ) from None
    if manifest is None:
        raise BackupError(
            f"The backup's format is {version!r}, and this version reads {FORMAT}: "
            "use the version of the collection that made it."
        )
    return manifest


def _look(manifest: Manifest) -> None:
    parse_moment(manifest.moment)
    texts = [manifest.kind, manifest.name, *manifest.versions.values(), *manifest.keys.values()]
    flags = [manifest.encrypted, manifest.secrets]
    counts = [rows for tables in manifest.tables.values() for rows in tables.values()]
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(flag, bool) for flag in flags)
        and all(isinstance(rows, int) and not isinstance(rows, bool) for rows in counts)
        and all(rows >= 0 for rows in counts)
        and manifest.tables
    ):
        raise ValueError(manifest.moment)


def key_digest(secret: str, moment: str) -> str:
    """Return what tells one secret from another, slowly, so that it helps nobody to guess it."""
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), moment.encode(), DIGEST_ROUNDS).hex()
