# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a backup: restore it, and compare what is there with what was in the database."""

from __future__ import annotations

from collections.abc import Mapping

from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import INDEX, Config
from orthanc_backup.encryption import Identity, decrypting
from orthanc_backup.errors import BackupError
from orthanc_backup.postgres import Census, Server
from orthanc_backup.running import pipe
from orthanc_backup.scratch import scratch_server


def prove(
    config: Config,
    backup: BackupSet,
    identity: Identity | None,
    censuses: Mapping[str, Census] | None = None,
) -> None:
    """Restore a backup into a server of its own and compare each table.

    With ``censuses``, those of the dumps' snapshots, contents are compared; without, the numbers
    of rows that the manifest tells.

    Raises:
        BackupError: A file is damaged, cannot be restored, or does not hold what it should.
    """
    backup.verify()
    with scratch_server(config) as server:
        for database, told in backup.manifest.tables.items():
            wanted = censuses[database] if censuses else {t: (rows, "") for t, rows in told.items()}
            server.create(database, config.database(database))
            fill(server, database, backup, database, identity)
            found = server.census(database, index=censuses is None or database == INDEX)
            compare(f"{backup.dump(database)}", wanted, found)


def fill(
    server: Server, name: str, backup: BackupSet, database: str, identity: Identity | None
) -> None:
    """Restore the dump of a database into an empty one."""
    file = backup.dump(database)
    what = f"{file} cannot be restored"
    if not backup.manifest.encrypted:
        with file.open("rb") as stream:
            pipe(what, server.restoring(name), source=stream)
        return
    decrypt = decrypting(str(file))
    pipe(what, decrypt, server.restoring(name), given=needed(backup, identity).text.encode())


def needed(backup: BackupSet, identity: Identity | None) -> Identity:
    """Return the identity that an encrypted backup needs.

    Raises:
        BackupError: None was given.
    """
    if identity is None:
        raise BackupError(
            f"{backup.path} is encrypted: give the identity of one of its age recipients "
            "(-e restore_identity=FILE with playbooks/restore.yml)."
        )
    return identity


def compare(where: str, wanted: Census, found: Census) -> None:
    """See that two censuses are the same.

    Raises:
        BackupError: They differ; the message names tables and numbers only.
    """
    for table in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(table), found.get(table)
        if one is None or other is None:
            missing = "was not there" if one is None else "is missing"
            raise BackupError(f"{where} restored: the table {table} {missing}.")
        if one[0] != other[0]:
            raise BackupError(f"{where} restored: {table} has {other[0]} rows, not {one[0]}.")
        if one[1] != other[1]:
            raise BackupError(f"{where} restored: {table} has other contents than it had.")
