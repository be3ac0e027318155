# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the databases of a backup back into the running server, and keep what they replace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import INDEX, Config
from orthanc_backup.encryption import Identity
from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import new_moment
from orthanc_backup.postgres import Census, Server, literal, quoted
from orthanc_backup.proof import compare, fill
from orthanc_backup.storage import differences, has_files

# Orthanc's table of patients, studies, series and instances.
RESOURCES = "public.resources"


@dataclass(frozen=True)
class Restore:
    """One backup on its way into the running server of an Orthanc.

    ``index`` is ``always``, ``never`` or ``auto``: Orthanc's index comes back where the server's
    own is empty and there are DICOM files that it can speak of. With ``overwrite`` rows may be
    replaced that can never be made again.
    """

    config: Config
    backup: BackupSet
    identity: Identity | None
    index: str = "auto"
    overwrite: bool = False

    @property
    def server(self) -> Server:
        """The running server."""
        return Server(self.config.server)

    def run(self) -> Iterator[str]:
        """Restore the databases; yield what was done and what was not in the backup.

        It can be run again at any time.

        Raises:
            BackupError: The running database holds rows that the backup does not, or a restored
                one is not what the backup tells. The running database is then as it was.
        """
        manifest = self.backup.manifest
        for name in sorted(manifest.tables, key=lambda name: name == INDEX):
            refused = self._index_stays() if name == INDEX else ""
            if refused:
                yield refused
                continue
            yield from self._restore(name)
            if name == INDEX:
                yield from differences(self.server, self.config.storage)
        yield (
            f"The backup is of {manifest.time:%Y-%m-%d %H:%M:%S} UTC. What came later is not in it,"
            " nor are DICOM files, the spool of the workers and the tree of Disk."
        )

    def _restore(self, name: str) -> Iterator[str]:
        server, new = self.server, f"{name}_restored"
        server.sql("postgres", f"DROP DATABASE IF EXISTS {quoted(new)};")
        server.create(new, self.config.database(name))
        fill(server, new, self.backup, name, self.identity)
        counted = {table: (rows, "") for table, rows in self.backup.manifest.tables[name].items()}
        compare(str(self.backup.dump(name)), counted, server.census(new, index=True))
        if name not in server.databases():
            _rename(server, new, name)
            yield f"{name} was not there and is restored."
            return
        # A run that died while it renamed may have left it closed.
        server.sql("postgres", f"ALTER DATABASE {quoted(name)} WITH ALLOW_CONNECTIONS true;")
        before, after = server.census(name, name == INDEX), server.census(new, name == INDEX)
        if before == after:
            server.sql("postgres", f"DROP DATABASE {quoted(new)};")
            yield f"{name} holds what the backup holds, and stays."
            return
        self._guard(name, new, before)
        yield _swapped(server, name, new, before)
        yield from _lost(before, after)

    def _guard(self, name: str, new: str, before: Census) -> None:
        """Refuse to replace rows that can never be made again by a backup that lacks them."""
        for guarded in self.config.guarded:
            if self.overwrite or guarded.database != name or guarded.table not in before:
                continue
            question = f"SELECT {guarded.columns} FROM {guarded.table};"
            held = {tuple(row) for row in self.server.sql(name, question)}
            lacking = len(held - {tuple(row) for row in self.server.sql(new, question)})
            if lacking:
                self.server.sql("postgres", f"DROP DATABASE {quoted(new)};")
                raise BackupError(
                    f"{name} on this host has {lacking} of {len(held)} rows in {guarded.table} that"
                    " the backup does not have; they would be lost. Use a newer backup, or set "
                    "restore_overwrite=true: the database is then kept under another name."
                )

    def _index_stays(self) -> str:
        """Return why Orthanc's index is not restored, or nothing."""
        if self.index == "always":
            return ""
        if self.index == "never":
            return "Orthanc's index was not restored, as was asked."
        if INDEX in self.server.databases():
            held = self.server.census(INDEX, index=True).get(RESOURCES, (0, ""))[0]
            if held:
                return f"Orthanc's index is in use ({held} resources) and stays as it is."
        if not has_files(self.config.storage):
            return (
                f"Orthanc's index was not restored, since {self.config.storage} has no DICOM files "
                "that it could speak of. Have the studies sent again; they get the same pseudonyms."
            )
        return ""


def _swapped(server: Server, name: str, new: str, before: Census) -> str:
    if not any(rows for rows, _ in before.values()):
        server.sql("postgres", f"DROP DATABASE {quoted(name)} WITH (FORCE);")
        _rename(server, new, name)
        return f"{name} was empty and is restored."
    old = f"{name}_before_{new_moment(datetime.now(timezone.utc)).lower()}"
    _rename(server, name, old)
    _rename(server, new, name)
    return f"{name} is restored; what it replaced is kept as the database {old}."


def _rename(server: Server, name: str, to: str) -> None:
    server.sql(
        "postgres",
        f"ALTER DATABASE {quoted(name)} WITH ALLOW_CONNECTIONS false;\n"
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        f" WHERE datname = {literal(name)};\n"
        f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(to)};\n"
        f"ALTER DATABASE {quoted(to)} WITH ALLOW_CONNECTIONS true;",
    )


def _lost(before: Census, after: Census) -> Iterator[str]:
    for table, (rows, _) in sorted(before.items()):
        restored = after.get(table, (0, ""))[0]
        if rows > restored:
            yield f"Not in the backup: {table} had {rows} rows and now has {restored}."
