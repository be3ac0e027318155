# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one backup: dump, encrypt, prove, and remove those that are too old."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

from orthanc_backup import backup_set
from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import Config
from orthanc_backup.encryption import Identity, encrypting, passing_identity
from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import Manifest, new_moment
from orthanc_backup.postgres import Census, Server
from orthanc_backup.proof import prove
from orthanc_backup.retention import expired
from orthanc_backup.running import pipe, program
from orthanc_backup.secret_archive import key_digests, pack, prove_secrets


def create(config: Config) -> BackupSet:
    """Make and prove one backup, then remove what the rule does not keep.

    Raises:
        BackupError: It could not be made, or could not be proven, or rows have vanished.
    """
    last = max(_proven(config), key=lambda one: one.manifest.time, default=None)
    identity = passing_identity() if config.recipients else None
    backup, censuses = _write(config, identity)
    prove(config, backup, identity, censuses)
    if identity:
        prove_secrets(config, backup, identity)
    proof = {"proven_at": _now().isoformat(timespec="seconds"), "tables": backup.manifest.tables}
    backup_set.write(backup.path / backup_set.PROOF, json.dumps(proof, indent=2) + "\n")
    # Before anything is removed: what vanished is in the older ones.
    if last:
        _see_that_nothing_vanished(config, last.manifest, backup)
    prune(config)
    return backup


def prune(config: Config) -> None:
    """Remove the backups that the rule does not keep."""
    found = {one.manifest.time: one for one in backup_set.sets(config.directory, config.name)}
    proven = {time for time, one in found.items() if one.proven}
    for time in expired(proven, found.keys() - proven, config.keep):
        backup_set.remove(found[time].path)


def _write(config: Config, identity: Identity | None) -> tuple[BackupSet, dict[str, Census]]:
    recipients = [*config.recipients, identity.recipient] if identity else []
    moment = new_moment(_now())
    if (config.directory / moment).exists():
        raise BackupError(f"{config.directory / moment} is there already: wait a second.")
    path = backup_set.begin(config.directory)
    censuses = {
        database.name: _dump(Server(config.server), database.name, path, recipients)
        for database in config.databases
    }
    if identity:
        pack(config, recipients, path / (backup_set.SECRETS + backup_set.AGE))
    manifest = Manifest(
        kind=config.kind,
        name=config.name,
        moment=moment,
        encrypted=bool(identity),
        secrets=bool(identity),
        versions={"collection": config.collection_version, "postgresql": _version(config)},
        images={name: _image(name) for name in (config.name, config.server)},
        tables={
            database: {table: rows for table, (rows, _) in census.items()}
            for database, census in censuses.items()
        },
        keys=key_digests(config, moment),
    )
    return backup_set.finish(path, manifest), censuses


def _dump(server: Server, database: str, path: Path, recipients: list[str]) -> Census:
    file = path / f"{database}.dump{backup_set.AGE if recipients else ''}"
    with server.snapshot(database) as snapshot, file.open("wb") as target:
        commands = [server.dump(database, snapshot)]
        if recipients:
            commands.append(encrypting(recipients))
        pipe(f"{database} on {server.container} cannot be dumped", *commands, target=target)
        target.flush()
        os.fsync(target.fileno())
    return snapshot.census


def _proven(config: Config) -> list[BackupSet]:
    return [one for one in backup_set.sets(config.directory, config.name) if one.proven]


def _see_that_nothing_vanished(config: Config, last: Manifest, new: BackupSet) -> None:
    for guarded in config.guarded:
        held = last.tables.get(guarded.database, {}).get(guarded.table, 0)
        holds = new.manifest.tables[guarded.database].get(guarded.table, 0)
        if holds < held:
            raise BackupError(
                f"{new.path.name} is whole, but {guarded.table} in {guarded.database} has {holds} "
                f"rows, and {held} in {last.moment}. Rows are never removed there. If somebody did "
                "it on purpose, nothing needs to be done; otherwise restore the older backup."
            )


def _version(config: Config) -> str:
    return Server(config.server).sql("postgres", "SHOW server_version;")[0][0]


def _image(container: str) -> str:
    form = "{{.Config.Image}} {{.Image}}"
    what = f"{container} cannot be looked at"
    return pipe(what, [program("docker"), "inspect", "--format", form, container]).decode().strip()


def _now() -> datetime:
    return datetime.now(timezone.utc)
