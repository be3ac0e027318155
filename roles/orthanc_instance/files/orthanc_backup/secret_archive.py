# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of one Orthanc as an encrypted tar, which is never on the disk in clear."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import Config
from orthanc_backup.encryption import Identity, decrypting, encrypting
from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import key_digest
from orthanc_backup.running import pipe

AUTHORITY_KEY = "ca.key"
AUTHORITY = (AUTHORITY_KEY, "ca.crt")
# They are written from the secrets, for the sibling kinds and for Apache.
DERIVED = ".json"


def secret_files(config: Config) -> dict[str, Path]:
    """Return the files of this host's secrets by their names in the archive."""
    files = {
        f"secrets/{path.name}": path
        for path in sorted(config.secrets.glob("*"))
        if path.is_file() and path.suffix != DERIVED
    }
    if config.authority:
        files.update({f"ca/{name}": config.authority / name for name in AUTHORITY})
    return files


def key_digests(config: Config, moment: str) -> dict[str, str]:
    """Return what tells the secrets that can never be made again from others."""
    return {name: key_digest(text, moment) for name, text in _keys(config)}


def _keys(config: Config) -> Iterator[tuple[str, str]]:
    for name in config.keys:
        path = config.secrets / name
        if path.is_file():
            yield name, path.read_text(encoding="ascii").strip()


def pack(config: Config, recipients: list[str], path: Path) -> None:
    """Write the encrypted archive of all secrets."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, file in secret_files(config).items():
            content = _read(file)
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o400
            tar.addfile(member, BytesIO(content))
    with path.open("wb") as target:
        what = "The secrets cannot be encrypted"
        pipe(what, encrypting(recipients), given=archive.getvalue(), target=target)


def unpack(backup: BackupSet, identity: Identity) -> dict[str, bytes]:
    """Return the secrets of a backup by their names in the archive.

    Raises:
        BackupError: The archive cannot be decrypted, or holds what no backup holds.
    """
    what = f"{backup.secrets} cannot be decrypted"
    content = pipe(what, decrypting(str(backup.secrets)), given=identity.text.encode())
    found = {}
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None or len(path.parts) != 2 or path.parts[0] not in ("secrets", "ca"):
                raise BackupError(f"{backup.secrets} holds something other than secrets.")
            found[member.name] = stream.read()
    return found


def prove_secrets(config: Config, backup: BackupSet, identity: Identity) -> None:
    """See that the archive gives back each secret of this host.

    Raises:
        BackupError: One is missing in it, or is another.
    """
    found = unpack(backup, identity)
    for name, file in secret_files(config).items():
        if found.get(name) != _read(file):
            raise BackupError(f"{backup.secrets} does not give back {name}: make another backup.")


def place_secrets(
    config: Config, backup: BackupSet, identity: Identity | None, *, overwrite: bool
) -> list[str]:
    """Put the secrets of a backup where the role looks for them, before it makes new ones.

    What this host has already stays, since its passwords are in use. A key that pseudonyms or
    certificates depend on must be the backup's; with ``overwrite`` another one is kept beside it.
    Returns what was done, in sentences.

    Raises:
        BackupError: The host has another such key, or the key is neither there nor in the backup.
    """
    held = unpack(backup, identity) if backup.manifest.secrets and identity else {}
    told = []
    for name, content in sorted(held.items()):
        path = _place(config, name)
        if path is None:
            told.append(f"{name} was not placed: another host keeps the site's authority.")
        elif not path.exists():
            _write(path, content)
            told.append(f"{path} was placed.")
        elif _read(path) != content and path.name in (*config.keys, *AUTHORITY):
            if not overwrite:
                raise BackupError(
                    f"{path} is not the one of the backup. If the backup's is the right one, set "
                    "restore_overwrite=true: the other is then kept beside it."
                )
            old = path.with_name(f"{path.name}.before-{backup.manifest.moment}")
            path.rename(old)
            _write(path, content)
            told.append(f"{path} was placed, and the other one kept as {old.name}.")
    check_keys(config, backup)
    return told


def check_keys(config: Config, backup: BackupSet) -> None:
    """See that this host has the keys that the backup was made with.

    Raises:
        BackupError: One is missing or is another: the same patient would get other UIDs.
    """
    for name, digest in backup.manifest.keys.items():
        path = config.secrets / name
        if not path.is_file():
            raise BackupError(
                f"{path} is missing, and the backup does not hold it: put the site's copy there "
                "first, as one line, mode 0400. With another one the same studies get other UIDs."
            )
        if key_digest(path.read_text(encoding="ascii").strip(), backup.manifest.moment) != digest:
            raise BackupError(
                f"{path} is not the one that the backup was made with: put the right one there. "
                "With another one the same studies get other UIDs."
            )


def _place(config: Config, name: str) -> Path | None:
    directory, file = name.split("/")
    if directory == "secrets":
        return config.secrets / file
    return config.authority / file if config.authority else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BackupError(f"{path} cannot be read ({error.strerror}): run site.yml.") from None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.chmod(0o444 if path.suffix == ".crt" else 0o400)
    temporary.replace(path)
