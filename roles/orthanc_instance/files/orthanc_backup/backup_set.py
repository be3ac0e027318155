# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as directories: each is there as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import Manifest, parse_manifest, parse_moment

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
PROOF = "proof.json"
UNFINISHED = ".unfinished"
SECRETS = "secrets.tar"
AGE = ".age"


@dataclass(frozen=True)
class BackupSet:
    """One backup: a directory with the manifest, the checksums, the dumps and the secrets."""

    path: Path
    manifest: Manifest

    @property
    def proven(self) -> bool:
        """Whether it was restored once, and all rows were there."""
        return (self.path / PROOF).is_file()

    @property
    def secrets(self) -> Path:
        """The file of the secrets, which only an encrypted backup has."""
        return self.path / (SECRETS + AGE)

    def dump(self, database: str) -> Path:
        """Return the file of a database."""
        return self.path / f"{database}.dump{AGE if self.manifest.encrypted else ''}"

    def verify(self) -> None:
        """See that every file is there and is still what was written.

        Raises:
            BackupError: A file is missing, is not listed, or has changed.
        """
        sums = _listed(self.path)
        wanted = {self.dump(database).name for database in self.manifest.tables} | {MANIFEST}
        if self.manifest.secrets:
            wanted.add(self.secrets.name)
        if wanted - sums.keys():
            missing = ", ".join(sorted(wanted - sums.keys()))
            raise BackupError(f"{self.path / SUMS} does not list {missing}: take another backup.")
        for name, digest in sorted(sums.items()):
            file = self.path / name
            if not file.is_file():
                raise BackupError(f"{file} is missing: take another backup, or copy it again.")
            if sha256(file) != digest:
                raise BackupError(
                    f"{file} is not what was written, its checksum differs: take another backup, "
                    "or copy it again."
                )


def open_set(path: Path) -> BackupSet:
    """Return the backup in a directory.

    Raises:
        BackupError: There is none.
    """
    try:
        manifest = parse_manifest((path / MANIFEST).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BackupError(f"{path / MANIFEST} is damaged: take another backup.") from None
    except OSError as error:
        raise BackupError(
            f"{path / MANIFEST} cannot be read ({error.strerror}): name the directory of one "
            "backup, for example /var/backups/orthanc/phi/20260131T121700Z."
        ) from None
    return BackupSet(path, manifest)


def sets(directory: Path, name: str) -> list[BackupSet]:
    """Return the backups of one Orthanc in a directory, the oldest first.

    What cannot be read is left alone: it is not this program's to remove.
    """
    found = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        try:
            parse_moment(path.name)
            backup = open_set(path)
        except (ValueError, BackupError):
            continue
        if backup.manifest.name == name and backup.manifest.moment == path.name:
            found.append(backup)
    return found


def begin(directory: Path) -> Path:
    """Return an empty directory for a backup that is not finished; the last one's is removed."""
    path = directory / UNFINISHED
    remove(path)
    path.mkdir(parents=True, mode=0o700)
    return path


def finish(path: Path, manifest: Manifest) -> BackupSet:
    """Write manifest and checksums and give an unfinished backup its name."""
    write(path / MANIFEST, manifest.text())
    lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(path.iterdir())]
    write(path / SUMS, "".join(lines))
    _sync(path)
    final = path.parent / manifest.moment
    path.rename(final)
    _sync(path.parent)
    return BackupSet(final, manifest)


def write(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.chmod(0o600)
    temporary.replace(path)


def remove(path: Path) -> None:
    """Remove a directory, so that what is left of it after a crash is no backup."""
    if path.exists():
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)


def sha256(path: Path) -> str:
    """Return a file's checksum."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _listed(path: Path) -> dict[str, str]:
    try:
        lines = (path / SUMS).read_text(encoding="ascii").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        return {name: digest for digest, name in pairs if "/" not in name}
    except (OSError, ValueError):
        raise BackupError(f"{path / SUMS} cannot be read: take another backup.") from None


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
